import pytest

from mapsr.tables.results import Run, average_of, entry_of


def run(seed, miou, oa=0.5, **more):
    metrics = {
        "miou": miou,
        "oa": oa,
        "iou": {"water": miou and miou / 2, "trees": None},
        "intervals": {"miou": [0.1, 0.9], "oa": [0, 1], "level": 0.95, "scenes": 8},
        "coarse": {"miou": 0.25},
        "crosswalk": "paraformer",
        "trained_parameters": 3072,
        "seconds": {"weights": 9.0, "fit": 2.0, "map": 1.0, "total": 20.0},
    }
    return Run(seed, f"runs/s{seed}", metrics | more)


def test_seeds_are_put_together_by_hand():
    entry = entry_of([run(0, 0.50, 0.6), run(1, 0.54, 0.7), run(2, 0.58, 0.8)], 0.6, 4000)
    assert entry.miou == pytest.approx(0.54)
    assert entry.seed_std == pytest.approx(0.04)  # of the sample: sqrt((0.04² + 0.04²) / 2)
    assert entry.oa == pytest.approx(0.7)
    assert entry.iou == {"water": pytest.approx(0.27), "trees": None}
    assert (entry.interval, entry.level, entry.scenes) == ((0.1, 0.9), 0.95, 8)
    assert (entry.coarse_miou, entry.crosswalk) == (0.25, "paraformer")
    assert (entry.trained_parameters, entry.published_parameters) == (3072, 4000)
    assert (entry.seconds, entry.published) == (3.0, 0.6)
    assert entry.sources == ("runs/s0",)


def test_one_seed_has_no_deviation():
    assert entry_of([run(5, 0.5)]).seed_std is None


def test_nothing_done_is_empty():
    entry = entry_of([], 0.6, remarks=["Seed 0 failed."])
    assert (entry.miou, entry.oa, entry.interval, entry.sources) == (None, None, None, ())
    assert (entry.published, entry.remarks) == (0.6, ("Seed 0 failed.",))


def test_without_truth_the_cell_is_empty_and_says_so():
    nothing = {"oa": None, "iou": None, "intervals": None, "coarse": {"miou": None}}
    entry = entry_of([run(0, None, **nothing)])
    assert (entry.miou, entry.seed_std, entry.interval) == (None, None, None)
    assert entry.remarks == ("no scored scene has truth",)
    assert entry.trained_parameters == 3072


def test_an_average_by_hand():
    first = entry_of([run(0, 0.50), run(1, 0.54)])
    second = entry_of([run(1, 0.60), run(0, 0.70)])
    entry = average_of([first, second], 0.6)
    assert entry.miou == pytest.approx((0.52 + 0.65) / 2)
    # by seed: (0.50 + 0.70) / 2 and (0.54 + 0.60) / 2
    assert entry.seed_std == pytest.approx(0.03 / 2**0.5)
    assert (entry.interval, entry.published) == (None, 0.6)
    assert entry.sources == ("runs/s0", "runs/s1")


def test_an_average_needs_every_column():
    entry = average_of([entry_of([run(0, 0.5)]), entry_of([])], 0.6)
    assert (entry.miou, entry.seed_std, entry.sources) == (None, None, ())
    assert entry.published == 0.6


def test_other_parameters_have_no_average():
    entries = [entry_of([run(0, 0.5)]), entry_of([run(0, 0.5, trained_parameters=7)])]
    assert average_of(entries).trained_parameters is None
