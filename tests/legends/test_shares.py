from collections import Counter
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsr.legends import CodeShare, code_table, load_crosswalk, load_legend

TARGET = load_legend("chesapeake4")
ESRI = load_crosswalk("paraformer", load_legend("esri_10m"), TARGET)


def test_table_by_hand():
    assert code_table(ESRI, {0: 2, 1: 4, 2: 10, 10: 1, 77: 3}) == [
        CodeShare(2, "trees", "tree canopy", 0.5),
        CodeShare(1, "water", "water", 0.2),
        CodeShare(77, "unknown code", None, 0.15),
        CodeShare(0, "nodata", None, 0.1),
        CodeShare(10, "clouds", None, 0.05),
    ]


def test_masked_pixels_are_nodata_and_equal_shares_go_by_code():
    rows = code_table(ESRI, {300: 1, 7: 1, -1: 1, 0: 1})
    assert [(row.code, row.name) for row in rows] == [
        (-1, "nodata"),
        (0, "nodata"),
        (7, "built area"),
        (300, "unknown code"),
    ]


def test_preset_decides_the_target():
    nlcd = load_legend("nlcd")
    for preset, target in (("paraformer", "tree canopy"), ("mapsr", "water")):
        rows = code_table(load_crosswalk(preset, nlcd, TARGET), {90: 5})
        assert rows == [CodeShare(90, "woody wetlands", target, 1.0)]


@pytest.mark.parametrize("counts", [{}, {1: 0, 99: 0}])
def test_no_pixel_makes_no_row(counts: dict[int, int]):
    assert code_table(ESRI, counts) == []


def test_codes_without_pixels_are_left_out():
    assert [row.code for row in code_table(ESRI, Counter({1: 3, 2: 0}))] == [1]


def test_row_is_frozen():
    with pytest.raises(FrozenInstanceError):
        code_table(ESRI, {1: 1})[0].share = 0.0  # type: ignore[misc]


@given(st.dictionaries(st.integers(-1, 300), st.integers(0, 10**12)))
def test_shares_sum_to_one_and_descend(counts: dict[int, int]):
    shares = [row.share for row in code_table(ESRI, counts)]
    assert shares == sorted(shares, reverse=True)
    assert not shares or sum(shares) == pytest.approx(1)


@pytest.mark.parametrize("name", ["nlcd", "glc_fcs30", "dynamic_world"])
def test_targets_have_the_pixels_that_encoding_gives_them(name: str):
    legend = load_legend(name)
    crosswalk = load_crosswalk("mapsr", legend, TARGET)
    raster = np.random.default_rng(8231).integers(-1, 256, (37, 52))
    codes, counts = np.unique(raster, return_counts=True)
    rows = code_table(crosswalk, dict(zip(codes.tolist(), counts.tolist(), strict=True)))
    indices, unknown = legend.encode(raster)
    labels = crosswalk.apply(indices)
    for index, target in enumerate(TARGET.names):
        share = sum(row.share for row in rows if row.target == target)
        assert share == pytest.approx((labels == index).mean())
    assert {row.code for row in rows if row.name == "unknown code"} == set(unknown)
