from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsr.errors import ConfigError
from mapsr.geo import Window
from mapsr.mapping import WindowSettings, blend_weights, cover


@st.composite
def rasters(draw):
    chip = draw(st.integers(1, 40))
    overlap = draw(st.integers(0, chip - 1))
    return draw(st.integers(1, 90)), draw(st.integers(1, 90)), WindowSettings(chip, overlap)


@settings(deadline=None, max_examples=60)
@given(rasters())
def test_chips_cover_a_raster_and_stay_inside(raster):
    height, width, chips = raster
    seen = torch.zeros(height, width)
    whole = Window(0, 0, height, width)
    for row in cover(height, width, chips):
        assert len({window.row for window in row}) == 1
        for window in row:
            assert whole.contains(window)
            assert window.height == min(chips.chip, height)
            assert window.width == min(chips.chip, width)
            seen[window.slices] += 1
    assert seen.min() >= 1


@settings(deadline=None, max_examples=60)
@given(rasters())
def test_neighbours_share_the_overlap_at_the_least(raster):
    height, width, chips = raster
    for row in cover(height, width, chips):
        for left, right in pairwise(row):
            assert left.col < right.col
            assert left.col + left.width - right.col >= chips.overlap
    assert row[-1].col + row[-1].width == width
    assert row[-1].row + row[-1].height == height


def test_cover_by_hand():
    rows = cover(5, 11, WindowSettings(4, 1))
    assert [[(w.row, w.col) for w in row] for row in rows] == [
        [(0, 0), (0, 3), (0, 6), (0, 7)],
        [(1, 0), (1, 3), (1, 6), (1, 7)],
    ]


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (7, 30), (30, 1)])
def test_a_raster_smaller_than_a_chip_is_one_chip(size):
    assert cover(*size, WindowSettings(30, 8)) == [[Window(0, 0, *size)]]


def test_without_overlap_chips_touch():
    [row] = cover(4, 12, WindowSettings(4, 0))
    assert [window.col for window in row] == [0, 4, 8]


def test_blend_weights_by_hand():
    row = torch.tensor([1, 2, 3, 3, 3, 2, 1]) / 3
    torch.testing.assert_close(blend_weights(1, 7, 2)[0], row / 3)
    torch.testing.assert_close(blend_weights(5, 7, 2)[2], row)
    assert (blend_weights(4, 6, 0) == 1).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 60))
def test_no_pixel_is_without_weight(height, width, overlap):
    weights = blend_weights(height, width, overlap)
    assert weights.shape == (height, width)
    assert weights.min() > 0 and weights.max() <= 1
    assert torch.equal(weights, weights.flip(0)) and torch.equal(weights, weights.flip(1))


@pytest.mark.parametrize(
    ("chip", "overlap", "message"),
    [
        (0, 0, r"windows.chip is 0, expected a number in \[1"),
        (8, -1, r"windows.overlap is -1, expected a number in \[0"),
        (8, 8, "windows.overlap=8 must be smaller than windows.chip=8"),
    ],
)
def test_bad_windows_are_named(chip, overlap, message):
    with pytest.raises(ConfigError, match=message):
        WindowSettings(chip, overlap)
