"""The package's products against their own documents: codes, names, colours, targets."""

import re
from pathlib import Path

import numpy as np
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


# every class's colour as its publisher has it, NLCD's as Paraformer's code does
COLORS = {
    "chesapeake4": "0:4285be 1:2c6a3c 2:b0d070 3:ce6048",
    "chesapeake_1m": "1:00c5ff 2:267300 3:a3ff73 4:ffaa00 5:9c9c9c 6:000000",
    "dynamic_world": """
        0:419bdf 1:397d49 2:88b053 3:7a87c6 4:e49635 5:dfc35a 6:c4281b 7:a59b8f 8:b39fe1
    """,
    "ecovision8": "1:c8322d 2:b2865c 3:606068 4:4285be 5:2c6a3c 6:96c864 7:cea0be 8:ecce60",
    "esa_worldcover": """
        10:006400 20:ffbb22 30:ffff4c 40:f096ff 50:fa0000 60:b4b4b4 70:f0f0f0 80:0064c8
        90:0096a0 95:00cf75 100:fae6a0
    """,
    "esri_10m": """
        1:419bdf 2:397d49 4:7a87c6 5:e49635 7:c4281b 8:a59b8f 9:a8ebff 10:616161 11:e3e2c3
    """,
    "esri_10m_2020": """
        1:419bdf 2:397d49 3:88b053 4:7a87c6 5:e49635 6:dfc35a 7:c4281b 8:a59b8f 9:a8ebff
        10:616161
    """,
    "from_glc10": """
        10:a3ff73 20:267300 30:4ce600 40:70a800 50:0096a0 60:005cff 70:bed2ff 80:c500ff
        90:ffaa00 100:00ffc5 120:ffffff
    """,
    "glc_fcs30": """
        10:ffff64 11:ffff64 12:ffff00 20:aaf0f0 51:4c7300 52:006400 61:aac800 62:00a000
        71:005000 72:003c00 81:286400 82:285000 91:a0b432 92:788200 120:966400 121:964b00
        122:966400 130:ffb432 140:ffdcd2 150:ffebaf 152:ffd278 153:ffebaf 180:00dc82 181:00a884
        182:73ffdf 183:9ebbd7 184:828282 185:f57ab6 186:66cdab 187:444f89 190:c31400 200:fff5d7
        201:dcdcdc 202:fff5d7 210:0046c8 220:ffffff
    """,
    "nlcd": """
        11:466b9f 12:d1def8 21:dec5c5 22:d99282 23:eb0000 24:ab0000 31:b3ac9f 41:68ab5f
        42:1c5f2c 43:b5c58f 51:af963c 52:ccb879 71:dfdfc2 72:d1d182 73:a3cc51 74:82ba9e
        81:dcd939 82:ab6c28 90:b8d9eb 95:6c9fb8
    """,
    "openearthmap": "1:800000 2:00ff24 3:949494 4:ffffff 5:226126 6:0045ff 7:4bb549 8:de1f07",
    "sinolc1": """
        1:6e6e6e 2:006400 3:ffbb22 4:ffff4c 5:f096ff 6:fa0000 7:b4b4b4 8:f0f0f0 9:0064c8
        10:0096a0 11:fae6a0
    """,
}


def test_file_is_called_as_its_legend():
    for name in PRODUCTS:
        assert yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))["name"] == name, name
        assert load_legend(name).name == name, name


def test_title_says_resolution_and_years():
    for name in sorted(set(PRODUCTS) - {"chesapeake4", "ecovision8", "openearthmap"}):
        assert re.search(r" \d{4}.*, (1|10|30) m$", load_legend(name).title), name


def test_source_names_place_and_licence():
    for name in sorted(SAMPLES.keys() - {"nlcd"}):
        assert re.match(r"https?://.*\(.*CC BY 4\.0\)$", load_legend(name).source), name


def test_every_code_is_one_class_or_nodata():
    for name in PRODUCTS:
        legend = load_legend(name)
        codes = np.array([*legend.codes, *legend.nodata])
        indices, unknown = legend.encode(codes)
        assert not unknown, name
        assert indices.tolist() == [*range(len(legend)), *[NODATA] * len(legend.nodata)], name
        # products are 8-bit rasters
        assert codes.max() <= 255, name


def test_names_are_plain_and_unique():
    for name in PRODUCTS:
        names = load_legend(name).names
        assert len(set(names)) == len(names), name
        assert all(re.fullmatch(r"[a-z]+([ -][a-z]+)*", one) for one in names), name


def test_colors_are_unique_where_the_product_has_them_so():
    for name in PRODUCTS:
        legend = load_legend(name)
        pairs = {
            (one.code, other.code)
            for one in legend.classes
            for other in legend.classes
            if one.code < other.code and one.color == other.color
        }
        assert pairs == SHARED_COLORS.get(name, set()), name


def test_every_target_exists():
    for name in PRODUCTS:
        assert {one.target for one in load_legend(name).classes} - {None} <= set(TARGET.names), name


def test_targets_by_hand():
    for name in TARGETS:
        legend = load_legend(name)
        *mapped, left_out, nodata = TARGETS[name]
        expected = dict.fromkeys(left_out)
        for target, codes in zip(TARGET.names, mapped, strict=True):
            expected |= dict.fromkeys(codes, target)
        assert load_crosswalk("paraformer", legend, TARGET).targets() == expected, name
        assert legend.nodata == set(nodata), name


def test_presets_change_nlcd_and_the_truth_alone():
    for name in TARGETS:
        legend = load_legend(name)
        tables = {load_crosswalk(preset, legend, TARGET).table for preset in crosswalk_names()}
        assert len(tables) == 1, name


def color_of(one):
    return "#{:02x}{:02x}{:02x}".format(*one.color)


def test_names_and_colors_by_hand():
    for name, samples in SAMPLES.items():
        found = {one.code: (one.name, color_of(one)) for one in load_legend(name).classes}
        assert {code: found[code] for code in samples} == samples, name


def test_every_color_is_the_published_one():
    assert COLORS.keys() == set(PRODUCTS)
    for name, typed in COLORS.items():
        found = [f"{one.code}:{color_of(one)[1:]}" for one in load_legend(name).classes]
        assert found == typed.split(), name


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
