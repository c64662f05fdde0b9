"""Levels, thresholds and priority: the paper's Table 3, and where products are missing."""

from pathlib import Path

import pytest
from make_votes import LEGEND, LEVELS, PRODUCTS, VALUES, WEIGHTS

from mapsr.errors import ConfigError, LegendError
from mapsr.labelling.levels import (
    VotingSettings,
    claims_of,
    derive_rule,
    given_rule,
    rank_products,
    suggest_level,
    unreachable,
)
from mapsr.labelling.products import Product, RasterSource
from mapsr.labelling.voting import Rule

RESOLUTIONS = dict(zip(PRODUCTS, (0.5, 0.5, 2.0, 1.0, 10.0, None), strict=True))
THEMATIC = ("cbf", "ucs", "gisa")
NAMES = LEGEND.names


def product(name: str, **changes) -> Product:
    values = VALUES.get(name, {code: [code] for code in range(1, 9)})  # OpenStreetMap has all
    named = {code: tuple(NAMES[one - 1] for one in classes) for code, classes in values.items()}
    fields = {"level": LEVELS[name], "resolution_m": RESOLUTIONS[name]}
    fields |= {"thematic": name in THEMATIC}
    return Product(name, RasterSource((Path(name),), named), **(fields | changes))


def claims(names=PRODUCTS):
    products = [product(name) for name in names]
    return claims_of(products, rank_products(products, 0.5, 2020, VotingSettings()), LEGEND)


def rule(present, cap="floored"):
    settings = VotingSettings(cap=cap)
    shown = [name in present for name in PRODUCTS]
    return derive_rule(claims(), 8, settings, shown)


def test_all_products_give_table_3():
    found = rule(PRODUCTS)
    assert found == Rule(tuple(range(8)), (4, 5, 4, 3, 3, 4, 4, 4))
    assert rule(PRODUCTS, "total") == found
    # the rule as printed gives more for the two classes whose three products are all needed
    assert rule(PRODUCTS, "none").thresholds == (4, 5, 4, 3, 3, 5, 4, 5)


def test_weak_product_alone_decides_nothing_with_a_floor():
    assert rule(["osm"]).thresholds == (3,) * 8
    assert rule(["osm"], "total").thresholds == (1,) * 8
    assert len(unreachable(rule(["osm", "cbf"]), claims(["osm", "cbf"]), LEGEND)) == 7


def test_priority_starts_with_fine_thematic_products():
    order = [NAMES[index] for index in rule(["sinolc1", "osm", "ucs"]).priority]
    assert order[0] == "soil"
    assert order[-1] == "other impervious"  # SinoLC-1 has no such class
    assert order[1:3] == ["buildings", "roads"]  # two products each, in the order of the legend


def test_fine_product_of_several_classes_gives_no_precedence():
    """A sharp map of impervious land says of no class alone where it is."""
    sharp = product("gisa", resolution_m=0.5)
    others = [product("sinolc1"), product("osm")]
    standings = rank_products([sharp, *others], 0.5, 2020, VotingSettings())
    found = derive_rule(claims_of([sharp, *others], standings, LEGEND), 8, VotingSettings())
    # three products have buildings and roads, two have the others
    assert [NAMES[index] for index in found.priority][:3] == ["buildings", "roads", "soil"]
    assert found.priority[-2:] == (6, 7)


def test_settings_of_every_patch_of_the_oracle(reference):
    renamed = {"grass_shrub": "grass and shrubs", "oisas": "other impervious"}
    keys = {"total": "threshold", "none": "threshold_without_cap"}
    keys["floored"] = "threshold_floored_cap"
    assert len(reference.facts["patch_settings"]) == 13
    for want in reference.facts["patch_settings"].values():
        for cap, key in keys.items():
            found = rule(want["present"], cap)
            assert found.thresholds == tuple(want[key].values())
            names = [NAMES[index] for index in found.priority]
            assert names == [renamed.get(name, name) for name in want["priority"]]


def test_complex_prompts_of_the_oracle(reference):
    renamed = {"grass_shrub": "grass and shrubs", "oisas": "other impervious"}
    found = {(PRODUCTS[one.product], NAMES[one.target]) for one in claims() if one.complex}
    want = reference.facts["complex_prompts"]
    assert found == {(name, renamed.get(target, target)) for name, target in want}


def test_levels_of_the_oracle(reference):
    for case in reference.facts["level_cases"]:
        keys = ("gap_years", "pixel_ratio", "accuracy", "thematic")
        level, reason = suggest_level(*(case[key] for key in keys))
        assert level == case["level"], case
        assert (reason == "") == (level == 1)


def test_level_says_what_keeps_a_product_from_a_better_one():
    assert suggest_level(0, 1.0, 94.2, True) == (1, "")
    assert suggest_level(0, 1.0, 83.71, True) == (2, "83.71 % right, not above 85 %")
    level, reason = suggest_level(6, None, 80.0, False)
    assert level == 3
    assert reason == (
        "6 years from the image, not within 5; its resolution is unknown, not within 4; "
        "80 % right, not above 80 %"
    )
    assert suggest_level(5, 4.0, 80.1, True)[0] == 2
    assert suggest_level(1, 1.0, 99.0, False) == (2, "only thematic products are of level 1")


def test_given_level_and_weight_count_beside_the_suggestion():
    cbf = product("cbf", reference=2019, accuracy=83.71)
    heavy = product("hi_ulcm", reference=2015, accuracy=88.6, level=None, weight=5)
    bare = product("osm", level=None)
    one, two, three = rank_products([cbf, heavy, bare], 0.5, 2020, VotingSettings())
    assert (one.gap_years, one.pixel_ratio) == (1, 1.0)
    assert (one.suggested, one.level, one.weight) == (2, 1, 3)
    assert (two.suggested, two.level, two.weight) == (2, 2, 5)
    assert (three.suggested, three.weight, three.gap_years) == (3, 1, None)
    assert one.as_dict()["reason"] == "83.71 % right, not above 85 %"
    assert WEIGHTS["cbf"] == one.weight


def test_class_that_no_weight_can_reach_is_named():
    found = unreachable(rule(PRODUCTS), claims(["cbf", "sinolc1", "gisa", "osm"]), LEGEND)
    by_class = {one.topic: one.text for one in found}
    assert by_class["soil"] == (
        "can never be labelled by votes: its products weigh 0.2 together, and the threshold is 0.5"
    )
    assert "buildings" not in by_class
    assert unreachable(rule(PRODUCTS), claims(), LEGEND) == []


def test_strict_rule_can_never_label_three_classes():
    strict = Rule(tuple(range(8)), (4, 5, 4, 3, 3, 4, 4, 4), strict=True)
    found = unreachable(strict, claims(), LEGEND)
    assert [one.topic for one in found] == ["grass and shrubs", "other impervious", "agriculture"]
    assert "the threshold is more than 0.4" in found[0].text


def test_weights_that_reach_no_threshold_at_all_are_refused():
    with pytest.raises(ConfigError, match=r"No class of legend 'ecovision8' can ever.*weigh 0\.1"):
        unreachable(rule(["osm"]), claims(["osm"]), LEGEND)


def test_given_rule_by_name():
    found = given_rule({"water": 3, "trees": 2}, ["trees", "water"], LEGEND)
    assert found.priority == (4, 3)
    assert found.thresholds == (None, None, None, 3, 2, None, None, None)
    with pytest.raises(LegendError, match=r"no class 'tree'.*Did you mean 'trees'"):
        given_rule({"tree": 3}, ["tree"], LEGEND)
    with pytest.raises(ConfigError, match=r"class 'water' has a threshold or .* Did you mean 'wat"):
        given_rule({"water": 3}, ["wate"], LEGEND)


def test_product_of_a_class_that_the_legend_lacks_is_refused():
    odd = Product("odd", RasterSource((Path("odd"),), {1: ("building",)}))
    standings = rank_products([odd], 0.5, 2020, VotingSettings())
    with pytest.raises(LegendError, match=r"no class 'building'.*Did you mean 'buildings'"):
        claims_of([odd], standings, LEGEND)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"voting\.cap is 'floor', .*Did you mean 'floored'"):
        VotingSettings(cap="floor")
    with pytest.raises(ConfigError, match=r"voting\.level_weights is 0"):
        VotingSettings(level_weights=(3, 2, 0))
