"""The package's products against their own documents: codes, names, colours, targets."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import mapsr.legends
from mapsr.legends import NODATA, crosswalk_names, legend_names, load_crosswalk, load_legend

PRODUCTS = legend_names()
TARGET = load_legend("chesapeake4")
FOLDER = Path(mapsr.legends.__file__).parent / "products"

# classes that share a colour in the product's own legend
SHARED_COLORS = {"glc_fcs30": {(10, 11), (120, 122), (150, 153), (200, 202)}}

# water, tree canopy, low vegetation, impervious, left out, nodata
TARGETS = {
    "esri_10m_2020": ([1], [2], [3, 4, 5, 6, 8], [7], [9, 10], [0]),
    "esri_10m": ([1], [2], [4, 5, 8, 11], [7], [9, 10], [0]),
    "from_glc10": ([60], [20], [10, 30, 40, 50, 70, 90], [80], [100, 120], [0]),
    "glc_fcs30": (
        [210],
        [51, 52, 61, 62, 71, 72, 81, 82, 91, 92, 181, 185],
        [
            *(10, 11, 12, 20, 120, 121, 122, 130, 140, 150, 152, 153),
            *(180, 182, 183, 184, 186, 187, 200, 201, 202),
        ],
        [190],
        [220],
        [0, 250, 255],
    ),
    "dynamic_world": ([0], [1], [2, 3, 4, 5, 7], [6], [8], [255]),
    "sinolc1": ([9], [2], [3, 4, 5, 7, 10, 11], [1, 6], [8], [0]),
    "esa_worldcover": ([80], [10, 95], [20, 30, 40, 60, 90, 100], [50], [70], [0]),
}

SAMPLES = {
    "esri_10m_2020": {3: ("grass", "#88b053"), 6: ("scrub", "#dfc35a"), 10: ("clouds", "#616161")},
    "esri_10m": {
        1: ("water", "#419bdf"),
        7: ("built area", "#c4281b"),
        9: ("snow and ice", "#a8ebff"),
        11: ("rangeland", "#e3e2c3"),
    },
    "from_glc10": {
        10: ("cropland", "#a3ff73"),
        20: ("forest", "#267300"),
        60: ("water", "#005cff"),
        90: ("bareland", "#ffaa00"),
    },
    "glc_fcs30": {
        12: ("orchard cropland", "#ffff00"),
        52: ("closed evergreen broadleaved forest", "#006400"),
        181: ("swamp", "#00a884"),
        187: ("tidal flat", "#444f89"),
        210: ("water body", "#0046c8"),
    },
    "dynamic_world": {
        0: ("water", "#419bdf"),
        2: ("grass", "#88b053"),
        5: ("shrub and scrub", "#dfc35a"),
        8: ("snow and ice", "#b39fe1"),
    },
    "sinolc1": {1: ("traffic route", "#6e6e6e"), 6: ("building", "#fa0000")},
    "esa_worldcover": {10: ("tree cover", "#006400"), 95: ("mangroves", "#00cf75")},
    "nlcd": {11: ("open water", "#466b9f"), 95: ("emergent herbaceous wetlands", "#6c9fb8")},
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_file_is_called_as_its_legend(name: str):
    assert yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))["name"] == name
    assert load_legend(name).name == name


@pytest.mark.parametrize(
    "name", sorted(set(PRODUCTS) - {"chesapeake4", "ecovision8", "openearthmap"})
)
def test_title_says_resolution_and_years(name: str):
    assert re.search(r" \d{4}.*, (1|10|30) m$", load_legend(name).title)


@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - {"nlcd"}))
def test_source_names_place_and_licence(name: str):
    assert re.match(r"https?://.*\(.*CC BY 4\.0\)$", load_legend(name).source)


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_code_is_one_class_or_nodata(name: str):
    legend = load_legend(name)
    codes = np.array([*legend.codes, *legend.nodata])
    indices, unknown = legend.encode(codes)
    assert not unknown
    assert indices.tolist() == [*range(len(legend)), *[NODATA] * len(legend.nodata)]
    # products are 8-bit rasters
    assert codes.max() <= 255


@pytest.mark.parametrize("name", PRODUCTS)
def test_names_are_plain_and_unique(name: str):
    names = load_legend(name).names
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+([ -][a-z]+)*", one) for one in names)


@pytest.mark.parametrize("name", PRODUCTS)
def test_colors_are_unique_where_the_product_has_them_so(name: str):
    legend = load_legend(name)
    pairs = {
        (one.code, other.code)
        for one in legend.classes
        for other in legend.classes
        if one.code < other.code and one.color == other.color
    }
    assert pairs == SHARED_COLORS.get(name, set())


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_target_exists(name: str):
    assert {one.target for one in load_legend(name).classes} - {None} <= set(TARGET.names)


@pytest.mark.parametrize("name", TARGETS)
def test_targets_by_hand(name: str):
    legend = load_legend(name)
    *mapped, left_out, nodata = TARGETS[name]
    expected = dict.fromkeys(left_out)
    for target, codes in zip(TARGET.names, mapped, strict=True):
        expected |= dict.fromkeys(codes, target)
    assert load_crosswalk("paraformer", legend, TARGET).targets() == expected
    assert legend.nodata == set(nodata)


@pytest.mark.parametrize("name", TARGETS)
def test_presets_change_nlcd_and_the_truth_alone(name: str):
    legend = load_legend(name)
    tables = {load_crosswalk(preset, legend, TARGET).table for preset in crosswalk_names()}
    assert len(tables) == 1


@pytest.mark.parametrize("name", SAMPLES)
def test_names_and_colors_by_hand(name: str):
    found = {
        one.code: (one.name, "#{:02x}{:02x}{:02x}".format(*one.color))
        for one in load_legend(name).classes
    }
    assert {code: found[code] for code in SAMPLES[name]} == SAMPLES[name]


def test_grass_and_scrub_of_esris_first_edition_were_nodata():
    codes = np.array([3, 6, 11, 0], np.uint8)
    first, unknown = load_legend("esri_10m_2020").encode(codes)
    labels = load_crosswalk("paraformer", load_legend("esri_10m_2020"), TARGET).apply(first)
    assert (labels.tolist(), unknown) == ([2, 2, 255, 255], {11: 1})
    later, unknown = load_legend("esri_10m").encode(codes)
    labels = load_crosswalk("paraformer", load_legend("esri_10m"), TARGET).apply(later)
    assert (labels.tolist(), unknown) == ([255, 255, 2, 255], {3: 1, 6: 1})  # told, not silent


def test_zero_is_water_in_dynamic_world():
    legend = load_legend("dynamic_world")
    codes = np.array([[0, 255, 6], [8, 0, 9]], np.uint8)
    indices, unknown = legend.encode(codes)
    labels = load_crosswalk("paraformer", legend, TARGET).apply(indices)
    assert labels.tolist() == [[0, 255, 3], [255, 0, 255]]
    assert unknown == {9: 1}
