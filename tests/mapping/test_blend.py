import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_rasters import EVERY
from stand_ins import generator, uniform

from mapsr.geo import Window, WindowSettings
from mapsr.mapping import MapPlan, Output
from mapsr.mapping.blend import UnitBlend, join
from mapsr.mapping.outputs import Channels, empty_values, values_of

CLASSES = 3


@st.composite
def plans(draw, side=40):
    chip = draw(st.integers(1, 16))
    windows = WindowSettings(chip, draw(st.integers(0, chip - 1)), draw(st.integers(1, side)))
    return MapPlan((draw(st.integers(1, side)), draw(st.integers(1, side))), windows)


def mapped(plan, valid, score, outputs=EVERY, channels=None):
    """The outputs of a raster from units that are scored one by one; chips without data are not."""
    results = []
    for unit in plan:
        blend = UnitBlend(plan, unit)
        for window in plan.chips(unit):
            if valid[window.slices].any():
                scores = {layer: one[None] for layer, one in score(window).items()}
                blend.add([window], valid[window.slices][None], scores)
        results.append(blend.result(outputs, channels))
    whole = empty_values(outputs, CLASSES, plan.size)
    for unit in plan:
        near = [results[other.number] for other in plan.touching(unit)]
        rows, columns = unit.owned.slices
        for key, values in (join(plan, unit, near, outputs, CLASSES, channels) or {}).items():
            assert values.shape[1:] == (unit.owned.height, unit.owned.width)
            whole[key][:, rows, columns] = values
    return {key: torch.from_numpy(values) for key, values in whole.items()}


def blended_at_once(plan, score, layer="map"):
    """The slow way: all chips of the whole raster in one sum."""
    total = torch.zeros(CLASSES, *plan.size)
    for unit in plan:
        for window in plan.chips(unit):
            rows, columns = window.slices
            total[:, rows, columns] += score(window)[layer] * plan.weight(window)
    return total


def noise(window):
    """Scores that have nothing to do with those of other chips."""
    seed = 1000 * window.row + window.col
    return {"map": torch.rand(CLASSES, window.height, window.width, generator=generator(seed))}


@settings(deadline=None, max_examples=80)
@given(plans(), st.floats(0, 1), st.booleans())
def test_units_joined_are_the_raster_blended_at_once(plan, share, barred):
    valid = uniform(3, *plan.size) < share

    def score(window):
        scores = noise(window)["map"]
        if barred:
            scores[1] = float("-inf")
        return {"map": scores}

    found = mapped(plan, valid, score)
    scores = torch.where(valid, blended_at_once(plan, score), torch.nan)
    written = torch.where(scores.isfinite(), scores, torch.nan)  # a class that can't win has none
    torch.testing.assert_close(found["map_scores"], written, equal_nan=True, rtol=1e-5, atol=1e-6)
    best, second = scores.topk(2, dim=0).values
    clear = valid & (best - second > 1e-5)
    labels = found["map_labels"][0].long()
    assert (labels[~valid] == 255).all()
    assert (labels == scores.argmax(0))[clear].all()
    torch.testing.assert_close(
        found["map_confidence"][0], best - second, equal_nan=True, rtol=1e-5, atol=1e-6
    )


@settings(deadline=None, max_examples=40)
@given(plans())
def test_a_pixelwise_score_gives_the_same_map_however_it_is_cut(plan):
    image = uniform(5, CLASSES, *plan.size)
    valid = torch.ones(plan.size, dtype=torch.bool)
    found = mapped(plan, valid, lambda window: {"map": image[:, *window.slices]})
    torch.testing.assert_close(found["map_scores"], image, rtol=1e-5, atol=1e-6)
    best, second = image.topk(2, dim=0).values
    assert (found["map_labels"][0] == image.argmax(0))[best - second > 1e-5].all()


@settings(deadline=None, max_examples=30)
@given(plans())
def test_a_constant_score_gives_a_constant_map(plan):
    constant = torch.tensor([0.1, 0.7, 0.2])[:, None, None]

    def score(window):
        return {"map": constant.expand(-1, window.height, window.width)}

    found = mapped(plan, torch.ones(plan.size, dtype=torch.bool), score)
    assert (found["map_labels"] == 1).all()
    torch.testing.assert_close(found["map_scores"], constant.expand(-1, *plan.size))


def test_scores_of_two_units_are_blended_by_hand():
    # two chips of 4 px that share 2, each a unit: weights 1 1 2/3 1/3 and 1/3 2/3 1 1
    plan = MapPlan((1, 6), WindowSettings(4, 2, 1))
    assert len(plan) == 2

    def score(window):
        first = torch.tensor([1.0, 0.0, 0.0]) if window.col == 0 else torch.tensor([0.0, 1.0, 0.0])
        return {"map": first[:, None, None].expand(-1, 1, 4)}

    found = mapped(plan, torch.ones(1, 6, dtype=torch.bool), score)
    expected = torch.tensor([[1, 1, 2 / 3, 1 / 3, 0, 0], [0, 0, 1 / 3, 2 / 3, 1, 1], [0.0] * 6])
    torch.testing.assert_close(found["map_scores"][:, 0], expected)
    assert found["map_labels"].tolist() == [[[0, 0, 0, 1, 1, 1]]]
    torch.testing.assert_close(
        found["map_confidence"][0, 0], torch.tensor([1, 1, 1 / 3, 1 / 3, 1, 1])
    )


@pytest.mark.parametrize("shift", [1, 3, 5])
def test_maps_from_windows_cut_elsewhere_agree_inside(shift):
    """A score that sees 2 px around a pixel can't tell, away from chips' edges, where it is cut."""
    size, reach, windows = (9, 120), 2, WindowSettings(24, 6, 50)
    image = uniform(9, CLASSES, *size)

    def means(plane):
        def score(window):
            part = plane[:, *window.slices]
            wide = 2 * reach + 1
            return {
                "map": torch.nn.functional.avg_pool2d(part, wide, 1, reach, count_include_pad=False)
            }

        return score

    whole = means(image)(Window(0, 0, *size))["map"]
    near = torch.zeros(size[1], dtype=torch.bool)
    found = []
    for by in (0, shift):
        plan = MapPlan((size[0], size[1] - by), windows)
        valid = torch.ones(plan.size, dtype=torch.bool)
        found.append(mapped(plan, valid, means(image[:, :, by:]))["map_scores"])
        for unit in plan:
            for chip in plan.chips(unit):
                for edge in (chip.col, chip.col + chip.width):
                    near[max(0, edge + by - reach) : edge + by + reach] = True
    first, second = found[0][:, :, shift:], found[1]
    inside = ~near[shift:]
    assert inside.float().mean() > 0.2
    torch.testing.assert_close(first[:, :, inside], second[:, :, inside])
    torch.testing.assert_close(first[:, :, inside], whole[:, :, shift:][:, :, inside])


def test_outputs_are_averaged_over_windows_before_their_classes_are_taken():
    # two windows that see one pixel; outputs stand for tree, tree, low vegetation and nothing
    plan = MapPlan((1, 1), WindowSettings(1, 0))
    scores = torch.tensor([[0.36, 0.30, 0.34, 0.9], [0.30, 0.36, 0.34, 0.9]]).mean(0)
    channels = Channels((0, 0, 1, 255), 3)
    found = mapped(
        plan,
        torch.ones(1, 1, dtype=torch.bool),
        lambda window: {"map": scores[:, None, None]},
        channels=channels,
    )
    assert found["map_labels"].flatten() == 1  # the largest of each class first would be tree
    wanted = torch.tensor([0.33, 0.34, torch.nan])
    torch.testing.assert_close(found["map_scores"].flatten(), wanted, equal_nan=True)
    # the same two windows, one above the other, with a pixel that both see in the middle
    plan = MapPlan((3, 1), WindowSettings(2, 1, 1, weight="even"))

    def score(window):
        first = [0.36, 0.30, 0.34, 0.0] if window.row == 0 else [0.30, 0.36, 0.34, 0.0]
        return {"map": torch.tensor(first)[:, None, None].expand(-1, 2, 1)}

    found = mapped(plan, torch.ones(3, 1, dtype=torch.bool), score, channels=channels)
    assert found["map_labels"].flatten().tolist() == [0, 1, 0]


def test_layers_are_kept_apart():
    plan = MapPlan((7, 9), WindowSettings(4, 1, 4))
    image = uniform(2, CLASSES, 7, 9)
    outputs = (Output(), Output("probe"))

    def score(window):
        part = image[:, *window.slices]
        return {"map": part, "probe": 1 - part}

    found = mapped(plan, torch.ones(7, 9, dtype=torch.bool), score, outputs)
    assert (found["map_labels"][0] == image.argmax(0)).all()
    assert (found["probe_labels"][0] == image.argmin(0)).all()


def test_a_unit_without_data_is_empty():
    plan = MapPlan((4, 20), WindowSettings(4, 1, 4))
    valid = torch.zeros(4, 20, dtype=torch.bool)
    valid[:, :2] = True
    *_, last = plan
    assert UnitBlend(plan, last).result(EVERY).seams == ()
    found = mapped(plan, valid, noise)
    assert (found["map_labels"][0] == 255).equal(~valid)
    assert found["map_scores"].isnan().all(0).equal(~valid)


def test_batches_add_up_as_single_chips_do():
    [unit] = plan = MapPlan((4, 10), WindowSettings(4, 1, 20))
    windows = plan.chips(unit)
    scores = torch.stack([noise(window)["map"] for window in windows])
    valid = torch.ones(len(windows), 4, 4, dtype=torch.bool)
    together, alone = UnitBlend(plan, unit), UnitBlend(plan, unit)
    together.add(windows, valid, {"map": scores})
    for part, window in enumerate(windows):
        alone.add([window], valid[part : part + 1], {"map": scores[part : part + 1]})
    one, other = together.result(EVERY), alone.result(EVERY)
    for key, values in one.inner.items():
        assert (values == other.inner[key]).all()


SCORES = torch.tensor([[[0.2, 0.5, -1.0]], [[0.7, 0.1, float("-inf")]], [[0.4, 0.1, -3.0]]])
VALID = torch.tensor([[True, False, True]])


def test_outputs_by_hand():
    found = values_of(EVERY, {"map": SCORES}, VALID)
    assert found["map_labels"].tolist() == [[[1, 255, 0]]]
    assert found["map_labels"].dtype == "uint8"
    confidence = torch.from_numpy(found["map_confidence"])
    torch.testing.assert_close(
        confidence, torch.tensor([[[0.3, float("nan"), 2.0]]]), equal_nan=True
    )
    scores = torch.from_numpy(found["map_scores"])
    expected = torch.where(SCORES.isfinite(), SCORES, torch.nan)[:, 0, [0, 2]]
    torch.testing.assert_close(scores[:, 0, [0, 2]], expected, rtol=0, atol=0, equal_nan=True)
    assert scores[:, 0, 1].isnan().all()


def test_the_confidence_of_an_only_class_is_endless():
    confidence = Output(kind="confidence")
    assert confidence.of(torch.zeros(1, 1, 3), VALID)[0, 0, [0, 2]].tolist() == [float("inf")] * 2
    barred = torch.stack([SCORES[0], torch.full((1, 3), float("-inf"))])
    assert confidence.of(barred, VALID)[0, 0, 0] == float("inf")


def test_what_outputs_say_of_themselves():
    labels, confidence, scores = EVERY
    assert [one.key for one in EVERY] == ["map_labels", "map_confidence", "map_scores"]
    assert [one.bands(5) for one in EVERY] == [1, 1, 5]
    assert (labels.dtype, labels.nodata) == ("uint8", 255)
    assert scores.dtype == confidence.dtype == "float32"
    empty = empty_values(EVERY, 3, (2, 4))
    assert (empty["map_labels"] == 255).all() and empty["map_scores"].shape == (3, 2, 4)
