from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsr.errors import ConfigError
from mapsr.geo import Window, WindowSettings, cover
from mapsr.mapping import MapPlan
from mapsr.mapping.plan import blend_weight, spans, strips

LASTS, WEIGHTS = ("short", "whole"), ("ramp", "even", "centre")


@st.composite
def cuts(draw, longest=90):
    chip = draw(st.integers(1, 30))
    overlap = draw(st.integers(0, chip - 1))
    unit = draw(st.integers(1, longest))
    last, weight = draw(st.sampled_from(LASTS)), draw(st.sampled_from(WEIGHTS))
    return WindowSettings(chip, overlap, unit, last, weight)


@st.composite
def plans(draw, side=60):
    size = draw(st.integers(1, side)), draw(st.integers(1, side))
    return MapPlan(size, draw(cuts(side)))


def count(windows, size):
    """How many of the windows see each pixel."""
    seen = torch.zeros(size, dtype=torch.long)
    for window in windows:
        seen[window.slices] += 1
    return seen


@settings(deadline=None)
@given(st.integers(1, 120), cuts())
def test_chips_cover_a_side_and_stay_inside(side, windows):
    cut = spans(side, windows)
    seen = torch.zeros(side)
    for start, length in cut:
        assert start >= 0 and start + length <= side
        assert length <= windows.chip
        seen[start : start + length] += 1
    assert seen.min() >= 1
    assert all(length == windows.chip for _, length in cut[:-1])
    assert cut[-1][1] >= min(side, max(1, windows.chip // 2))
    assert windows.last == "short" or cut[-1][1] == min(side, windows.chip)


@settings(deadline=None)
@given(st.integers(1, 120), cuts())
def test_neighbours_share_the_overlap_and_follow_each_other(side, windows):
    for (start, length), (after, beyond) in pairwise(spans(side, windows)):
        assert start < after and start + length < after + beyond
        assert start + length - after >= windows.overlap


@pytest.mark.parametrize(
    ("side", "chip", "overlap", "expected"),
    [
        (11, 4, 1, [(0, 4), (3, 4), (6, 4), (9, 2)]),
        (10, 4, 1, [(0, 4), (3, 4), (6, 4)]),
        (8, 6, 1, [(0, 6), (5, 3)]),  # ends with the side, half a chip
        (7, 6, 1, [(0, 6), (4, 3)]),  # begins earlier, to be half a chip
        (12, 4, 0, [(0, 4), (4, 4), (8, 4)]),
        (5, 4, 3, [(0, 4), (1, 4)]),
        (3, 1, 0, [(0, 1), (1, 1), (2, 1)]),
        (1, 30, 8, [(0, 1)]),
        (30, 30, 8, [(0, 30)]),
    ],
)
def test_spans_by_hand(side, chip, overlap, expected):
    assert spans(side, WindowSettings(chip, overlap)) == expected


def test_the_last_chip_may_be_whole():
    whole = WindowSettings(224, 112, last="whole")
    assert spans(500, whole) == [(0, 224), (112, 224), (224, 224), (276, 224)]
    assert spans(448, whole) == [(0, 224), (112, 224), (224, 224)]
    assert spans(100, whole) == [(0, 100)]
    # as the released code tiles 6000 px
    released = spans(6000, WindowSettings(448, 0, last="whole"))
    assert (len(released), released[-2:]) == (14, [(5376, 448), (5552, 448)])


def test_cover_by_hand():
    assert cover(3, 8, WindowSettings(6, 1)) == [[Window(0, 0, 3, 6), Window(0, 5, 3, 3)]]


def blend_weights(side, windows):
    cut = spans(side, windows)
    return [
        blend_weight(cut, index, 1 if windows.weight == "even" else windows.overlap + 1)
        for index in range(len(cut))
    ]


@settings(deadline=None)
@given(st.integers(1, 120), cuts())
def test_weights_are_positive_and_sum_to_one(side, windows):
    total = torch.zeros(side)
    for (start, length), weight in zip(
        spans(side, windows), blend_weights(side, windows), strict=True
    ):
        assert weight.shape == (length,) and weight.dtype == torch.float32
        assert weight.min() > 0
        total[start : start + length] += weight
    assert (total - 1).abs().max() <= 1e-6


def test_weights_by_hand():
    # two chips of 4 px that share 2: each rises 1/3, 2/3 towards its inside, in the end too
    first, second = blend_weights(6, WindowSettings(4, 2))
    torch.testing.assert_close(first, torch.tensor([1, 1, 2 / 3, 1 / 3]))
    torch.testing.assert_close(second, first.flip(0))


def test_the_middle_of_a_chip_counts_five_times():
    # chips at 0 and 2 of 4 px; the middle is 1 px away from the edges, in rows and in columns
    plan = MapPlan((4, 6), WindowSettings(4, 2, weight="centre"))
    first = plan.weight(Window(0, 0, 4, 4))
    edge = torch.tensor([1, 1, 0.5, 0.5])
    inside = torch.tensor([1, 1, 5 / 6, 1 / 6])
    torch.testing.assert_close(first, torch.stack([edge, inside, inside, edge]))
    torch.testing.assert_close(plan.weight(Window(0, 2, 4, 4)), first.flip(1))


def slowly(plan):
    """The authors' way: kernels summed over the whole raster, and each divided by the sum."""
    kernels, total = {}, torch.zeros(plan.size)
    half = plan.settings.overlap // 2
    for chip in (chip for unit in plan for chip in plan.chips(unit)):
        kernel = torch.ones(chip.height, chip.width)
        if plan.settings.weight == "centre":
            for row in range(chip.height):
                for column in range(chip.width):
                    margin = min(row, column, chip.height - 1 - row, chip.width - 1 - column)
                    kernel[row, column] = 5 if margin >= half else 1
        kernels[chip] = kernel
        total[chip.slices] += kernel
    return {chip: kernel / total[chip.slices] for chip, kernel in kernels.items()}


@settings(deadline=None, max_examples=40)
@given(plans(30), st.sampled_from(WEIGHTS[1:]))
def test_even_and_centred_weights_are_those_of_kernels_summed_over_the_raster(plan, weight):
    plan = MapPlan(plan.size, replace(plan.settings, weight=weight))
    for chip, expected in slowly(plan).items():
        torch.testing.assert_close(plan.weight(chip), expected)


@settings(deadline=None)
@given(plans())
def test_weights_in_the_plane_sum_to_one(plan):
    total = torch.zeros(plan.size)
    for unit in plan:
        for chip in plan.chips(unit):
            weight = plan.weight(chip)
            assert weight.min() > 0
            total[chip.slices] += weight
    assert (total - 1).abs().max() <= 5e-6  # of up to 30 x 30 chips, in float32


@settings(deadline=None)
@given(plans())
def test_units_partition_the_chips_and_the_raster(plan):
    chips = [chip for unit in plan for chip in plan.chips(unit)]
    assert len(set(chips)) == len(chips)
    assert set(chips) == {chip for row in cover(*plan.size, plan.settings) for chip in row}
    assert (count([unit.owned for unit in plan], plan.size) == 1).all()
    for unit in plan:
        seen = count(plan.chips(unit), plan.size) > 0
        assert (seen == (count([unit.extent], plan.size) > 0)).all()
        assert unit.extent.contains(unit.owned)


@settings(deadline=None)
@given(plans())
def test_what_is_inner_no_other_unit_sees(plan):
    seen = count([unit.extent for unit in plan], plan.size)
    for unit in plan:
        parts = [unit.inner, *unit.seams] if unit.inner else unit.seams
        assert (count(parts, plan.size) == count([unit.extent], plan.size)).all()
        if unit.inner:
            assert (seen[unit.inner.slices] == 1).all()
            assert unit.owned.contains(unit.inner)


@settings(deadline=None, max_examples=60)
@given(plans(24))
def test_no_touching_unit_is_forgotten(plan):
    for unit in plan:
        near = [other for other in plan if other.extent.intersect(unit.owned)]
        assert plan.touching(unit) == near
        assert unit in near


@settings(deadline=None)
@given(st.integers(1, 120), cuts())
def test_strips_by_side(side, windows):
    found = strips(side, windows)
    assert [strip.owned[0] for strip in found[1:]] == [strip.owned[1] for strip in found[:-1]]
    assert (found[0].owned[0], found[-1].owned[1]) == (0, side)
    assert all(len(strip.chips) <= windows.unit_chips for strip in found)


def test_units_by_hand():
    # chips at 0, 3, 6, 9 (of 2); two to a unit
    first, second = strips(11, WindowSettings(4, 1, 7))
    assert (first.extent, first.inner, first.owned) == ((0, 7), (0, 6), (0, 6))
    assert (second.extent, second.inner, second.owned) == ((6, 11), (7, 11), (6, 11))


def test_a_unit_that_others_see_everywhere_has_no_inner():
    first, middle, last = MapPlan((4, 6), WindowSettings(4, 3, 1))
    assert middle.inner is None
    assert middle.seams == [middle.extent]
    assert (first.inner, last.inner) == (Window(0, 0, 4, 1), Window(0, 5, 4, 1))


@pytest.mark.parametrize("size", [(1, 50), (50, 1), (1, 1)])
def test_narrow_rasters(size):
    plan = MapPlan(size, WindowSettings(8, 3, 13))
    assert (count([unit.owned for unit in plan], size) == 1).all()
    total = torch.zeros(size)
    for unit in plan:
        for chip in plan.chips(unit):
            total[chip.slices] += plan.weight(chip)
    torch.testing.assert_close(total, torch.ones(size))


def test_a_unit_that_is_not_there():
    plan = MapPlan((5, 6), WindowSettings(4, 1))
    with pytest.raises(IndexError):
        plan[len(plan)]
    with pytest.raises(IndexError):
        plan[-1]


@pytest.mark.parametrize(
    ("unit", "chips"), [(1, 1), (448, 1), (639, 1), (641, 2), (832, 2), (1024, 2), (1100, 3)]
)
def test_units_are_rounded_to_whole_chips(unit, chips):
    assert WindowSettings(448, 64, unit).unit_chips == chips


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 0, 9), r"windows.chip is 0, expected a number in \[1"),
        ((8, -1, 9), r"windows.overlap is -1, expected a number in \[0"),
        ((8, 8, 9), "windows.overlap=8 must be smaller than windows.chip=8"),
        ((8, 2, 0), r"windows.unit is 0, expected a number in \[1"),
        ((8, 2, 9, "hole"), r"windows.last is 'hole', expected one of .*Did you mean 'whole'"),
        ((8, 2, 9, "short", "center"), r"windows.weight is 'center', .*Did you mean 'centre'"),
    ],
)
def test_bad_windows_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        WindowSettings(*values)
