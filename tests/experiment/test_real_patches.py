"""The experiments on real patches reach the numbers that they are held to."""

import pytest
import torch

from mapsr.cli.compose import compose_run
from mapsr.experiment import run_experiment
from mapsr.progress import Quiet

pytestmark = [pytest.mark.shared, pytest.mark.slow]

RUNS = {
    "all": ("experiment=patches_all",),
    "cross": ("experiment=patches_cross",),
    "cross_bilinear": ("experiment=patches_cross", "upsampler=bilinear"),
    "truth": ("experiment=patches_truth",),
    "all_em": ("experiment=patches_all_em",),
    "cross_em": ("experiment=patches_cross_em",),
    "cross_em_alone": ("experiment=patches_cross_em", "product_prior=0"),
}


@pytest.fixture(scope="module")
def metrics(shared, tmp_path_factory):
    """Metrics of a run by its name; each run is done once."""
    done = {}
    threads = torch.get_num_threads()

    def of(name):
        if name not in done:
            output = tmp_path_factory.mktemp("patches") / name
            settings = compose_run([*RUNS[name], "logger=none", f"output={output}"])
            done[name] = run_experiment(settings, Quiet())[1]
        return done[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAPSR_SHARED", str(shared))
        patch.setenv("MAPSR_OFFLINE", "1")
        torch.set_num_threads(2)
        yield of
    torch.set_num_threads(threads)


def test_fitted_on_all_patches(metrics):
    scores = metrics("all")
    assert scores["transductive"] is True
    assert scores["trained_parameters"] == 4 * 192
    assert scores["miou"] >= 0.50
    assert scores["oa"] >= 0.85


def test_fitted_on_one_tile_and_scored_on_the_other(metrics):
    scores = metrics("cross")
    assert scores["transductive"] is False
    assert scores["miou"] >= 0.49
    assert scores["miou"] > scores["probe"]["miou"]
    assert scores["miou"] > scores["coarse"]["miou"]


def test_guided_features_are_better_than_interpolated_ones(metrics):
    assert metrics("cross")["miou"] > metrics("cross_bilinear")["miou"]


def test_prompts_from_truth_are_the_upper_bound(metrics):
    scores = metrics("truth")
    assert scores["trained_parameters"] == 0
    assert scores["probe"]["miou"] is None
    assert scores["miou"] >= 0.58
    assert scores["miou"] > metrics("cross")["miou"]


def test_water_is_absent_from_the_patches(metrics):
    iou = metrics("cross")["iou"]
    assert len(iou) == 4
    assert [name for name, value in iou.items() if value is None] == [next(iter(iou))]


@pytest.mark.parametrize(
    ("name", "miou", "oa"),
    [("all_em", 0.55, 0.89), ("cross_em", 0.62, 0.92), ("cross_em_alone", 0.57, 0.88)],
)
def test_em_prompts_are_better_than_agreement(metrics, name, miou, oa):
    scores = metrics(name)
    assert scores["miou"] >= miou and scores["oa"] >= oa
    assert scores["trained_parameters"] == 0
    assert scores["product_prior"] == (0 if name.endswith("alone") else 1)
    assert scores["miou"] > metrics(name.partition("_")[0])["miou"]
