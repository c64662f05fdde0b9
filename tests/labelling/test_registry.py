"""The registry: strict reading, presets, and each mistake by file and key."""

import textwrap
from pathlib import Path

import pytest

import mapsr.labelling.registry
from mapsr.errors import ConfigError, LegendError
from mapsr.labelling.builtin import preset_names, registry_names, values_of
from mapsr.labelling.levels import VotingSettings
from mapsr.labelling.plan import make_plan
from mapsr.labelling.products import RasterSource
from mapsr.labelling.registry import load_registry
from mapsr.labelling.voting import Rule
from mapsr.legends import legend_names, load_legend

SIX = ("cbf", "ucs", "hi_ulcm", "sinolc1", "gisa", "osm")
TEXT = """\
name: mine
title: A city
target: ecovision8
resolution_m: 0.5
reference: 2020
products:
  houses:
    path: houses.tif
    kind: thematic
    reference: 2019-06-30
    resolution_m: 0.5
    accuracy: 91
    measure: F1
    licence: own
    weight: 0.4
    values: {0: null, 1: buildings}
  map:
    path: [a.tif, b.tif]
    kind: general
    level: 2
    nodata: [255]
    values: {3: [roads, other impervious], 4: trees}
  osm:
    path: osm.gpkg
    kind: general
    layers:
      areas:
        may_lack: [shop]
        classes: {buildings: [building=*, shop=car], trees: natural=wood}
      lines:
        buffer_m: 1.5
        buffers_m: {highway=motorway: 7}
        classes: {roads: [highway=path, highway=motorway]}
"""


def load(folder: Path, *changes: tuple[str, str], **paths):
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_registry(str(path), paths)


def test_registry_by_hand(tmp_path):
    registry = load(tmp_path)
    houses, general, osm = registry.products
    assert (registry.name, registry.title, registry.target.name) == ("mine", "A city", "ecovision8")
    assert (registry.resolution_m, registry.reference) == (0.5, 2020)
    assert (houses.thematic, houses.reference, houses.accuracy) == (True, 2019, 91.0)
    assert (houses.measure, houses.licence, houses.weight, houses.level) == ("F1", "own", 4, None)
    assert houses.source == RasterSource((tmp_path / "houses.tif",), {0: (), 1: ("buildings",)})
    assert general.source.paths == (tmp_path / "a.tif", tmp_path / "b.tif")
    assert general.source.nodata == {255}
    assert general.targets() == {"roads": True, "other impervious": True, "trees": False}
    areas, lines = osm.source.layers
    assert [str(tag) for tag in areas.tags] == ["building=*", "shop=car", "natural=wood"]
    assert areas.keys == ("building", "shop", "natural")
    assert areas.may_lack == {"shop"}
    assert [(str(tag), tag.buffer_m) for tag in lines.tags] == [
        ("highway=path", 1.5),
        ("highway=motorway", 7.0),
    ]
    assert lines.around_m == 7.0
    assert osm.targets() == {"buildings": False, "trees": False, "roads": False}


def test_tag_under_two_classes_votes_for_both_and_is_complex(tmp_path):
    registry = load(tmp_path, ("trees: natural=wood", "trees: [natural=wood, shop=car]"))
    assert registry.products[2].targets() == {"buildings": True, "trees": True, "roads": False}


def test_pattern_meets_files_by_name(tmp_path):
    for name in ("t_2.tif", "t_1.tif", "other.tif"):
        (tmp_path / name).touch()
    paths = load(tmp_path, ("houses.tif", '"t_*.tif"')).products[0].source.paths
    assert [path.name for path in paths] == ["t_1.tif", "t_2.tif"]
    absolute = load(tmp_path, houses=str(tmp_path / "t_*.tif")).products[0].source.paths
    assert absolute == paths
    with pytest.raises(
        ConfigError, match=r"mine.yaml: houses.path=u_\*.tif, expected at least one"
    ):
        load(tmp_path, ("houses.tif", '"u_*.tif"'))


def test_registry_of_ecovision_gives_table_3():
    assert registry_names() == ("ecovision", "ecovision_table6", "west_virginia")
    registry = load_registry("ecovision", dict.fromkeys(SIX, "a.tif"))
    assert tuple(product.name for product in registry.products) == SIX
    table3 = Rule(tuple(range(8)), (4, 5, 4, 3, 3, 4, 4, 4))
    for thresholds in ("given", "region"):
        plan = make_plan(registry, VotingSettings(thresholds=thresholds))
        assert plan.rule == table3
        assert plan.weights == (3, 3, 2, 1, 1, 1)
        assert plan.findings() == []
    assert [one.suggested for one in plan.standings] == [2, 1, 2, 3, 3, 3]


def test_registry_of_ecovision_maps_values_as_the_oracle(reference):
    registry = load_registry("ecovision", dict.fromkeys(SIX, "a.tif"))
    renamed = {"grass_shrub": "grass and shrubs", "oisas": "other impervious"}
    for product in registry.products[:-1]:
        want = reference.facts["mapping"][product.name]
        want = {int(code): {renamed.get(one, one) for one in some} for code, some in want.items()}
        found = {code: set(some) for code, some in product.source.values.items() if some}
        assert found == want, product.name


def test_words_of_table_2_are_an_option():
    registry = load_registry("ecovision", {"osm": "a.gpkg", "osm_printed": "a.gpkg"})
    usual, printed = (product.source.layers for product in registry.products)
    first = {str(tag) for tag in usual[0].tags if tag.targets == ("buildings",)}
    second = {str(tag) for tag in printed[0].tags if tag.targets == ("buildings",)}
    assert first == {"building=*"}
    assert "landuse=commercial" in second
    assert "building=*" not in second
    assert usual[1] == printed[1]
    # the same word is an area of sport or a way, by its key
    by_tag = {str(tag): tag.targets for layer in usual for tag in layer.tags}
    assert by_tag["leisure=track"] == ("other impervious",)
    assert by_tag["highway=track"] == ("roads",)


def test_products_without_path_are_left_out_of_the_packages_registries():
    registry = load_registry("ecovision", {"cbf": ["b.tif", "a.tif"]})
    assert [product.name for product in registry.products] == ["cbf"]
    assert [path.name for path in registry.products[0].source.paths] == ["b.tif", "a.tif"]
    with pytest.raises(ConfigError, match=r"no product has a path, .*give paths for some of cbf"):
        load_registry("ecovision")
    with pytest.raises(ConfigError, match=r"paths is 'cbv', .* Did you mean 'cbf'"):
        load_registry("ecovision", {"cbv": "a.tif"})


@pytest.mark.parametrize("name", sorted(set(legend_names()) - {"ecovision8"}))
@pytest.mark.parametrize("target", ["chesapeake4", "ecovision8"])
def test_every_legend_is_a_preset_for_every_target(tmp_path, name, target):
    assert name in preset_names()
    path = tmp_path / "r.yaml"
    path.write_text(f"target: {target}\nproducts: {{one: {{preset: {name}, path: a.tif}}}}\n")
    (product,) = load_registry(str(path)).products
    legend = load_legend(name)
    assert set(product.source.values) == set(legend.codes)
    assert product.source.nodata == legend.nodata
    assert product.resolution_m in (1.0, 10.0, 30.0, None)
    assert len(product.targets()) >= 4


def test_codes_of_a_legend_follow_its_crosswalk():
    four, eight = load_legend("chesapeake4"), load_legend("ecovision8")
    nlcd, worldcover = load_legend("nlcd"), load_legend("esa_worldcover")
    assert values_of(nlcd, four, "paraformer")[95] == ("low vegetation",)
    assert values_of(nlcd, four, "mapsr")[95] == ("water",)
    assert values_of(nlcd, four, "paraformer")[12] == ()
    found = values_of(worldcover, eight, "paraformer")
    # the paper's Table 6
    assert found == {
        **{10: ("trees",), 20: ("grass and shrubs",), 30: ("grass and shrubs",)},
        **{40: ("agriculture",), 50: ("buildings", "roads", "other impervious"), 60: ("soil",)},
        **{70: (), 80: ("water",), 90: (), 95: ("trees",), 100: ()},
    }


def test_example_of_the_docstring_loads(tmp_path):
    text = textwrap.dedent(mapsr.labelling.registry.__doc__.split("\n", 2)[2])
    (tmp_path / "worldcover").mkdir()
    (tmp_path / "worldcover" / "N48.tif").touch()
    (tmp_path / "r.yaml").write_text(text)
    worldcover, impervious, streets = load_registry(str(tmp_path / "r.yaml")).products
    assert worldcover.title.startswith("ESA WorldCover")
    assert (worldcover.accuracy, worldcover.resolution_m) == (76.7, 10.0)
    assert (impervious.weight, impervious.thematic) == (2, True)
    assert [tag.buffer_m for tag in streets.source.layers[0].tags] == [7.0, 1.5, 1.5]


def test_preset_of_ecovision_in_a_registry_of_ones_own(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "target: ecovision8\n"
        "products: {streets: {preset: ecovision.osm, path: o.gpkg, level: 2, reference: 2024}}\n"
    )
    (streets,) = load_registry(str(path)).products
    (osm,) = load_registry("ecovision", {"osm": "o.gpkg"}).products
    assert streets.source.layers == osm.source.layers
    assert (streets.level, streets.reference, streets.licence) == (2, 2024, "ODbL 1.0")


def test_crosswalk_of_a_registry_counts_and_own_keys_beat_the_presets(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        textwrap.dedent("""\
        target: chesapeake4
        crosswalk: mapsr
        products:
          new: {preset: nlcd, path: a.tif, reference: 2013, level: 2, title: NLCD 2013}
        """)
    )
    (product,) = load_registry(str(path)).products
    assert product.source.values[95] == ("water",)
    assert (product.title, product.level, product.resolution_m) == ("NLCD 2013", 2, 30.0)


def test_lines_narrower_than_a_pixel_are_named(tmp_path):
    plan = make_plan(load(tmp_path, ("resolution_m: 0.5", "resolution_m: 5")), VotingSettings())
    found = [one.text for one in plan.findings() if one.topic == "osm"]
    assert found == ["highway=path is burnt 3 m wide, less than a pixel of 5 m, and will be broken"]
    sharp = make_plan(load(tmp_path), VotingSettings())
    assert not [one for one in sharp.findings() if one.topic == "osm"]


def test_thresholds_that_a_registry_lacks_cannot_be_given(tmp_path):
    with pytest.raises(ConfigError, match=r"voting.thresholds is 'given', and registry 'mine'"):
        make_plan(load(tmp_path), VotingSettings(thresholds="given"))


MISTAKES = [
    ("name: mine", "nmae: mine", r"mine.yaml: unknown key 'nmae', .* Did you mean 'name'"),
    ("    accuracy", "    acuracy", r"yaml: houses: unknown key 'acuracy'.* Did you mean 'accur"),
    ("kind: thematic", "kind: themati", r"houses.kind is 'themati', .*Did you mean 'thematic'"),
    ("    kind: thematic\n", "", r"houses.kind is None, expected text"),
    ("1: buildings", "1: building", r"houses.values.1: .*no class 'building'.*'buildings'"),
    ("1: buildings", "one: buildings", r"houses.values has the code 'one', expected a number"),
    ("1: buildings", "1: 5", r"houses.values.1 holds 5, expected text"),
    ("accuracy: 91", "accuracy: 910", r"houses.accuracy is 910.0, expected a number in \[0, 100\]"),
    ("accuracy: 91", "accuracy: high", r"houses.accuracy is 'high', expected a number"),
    ("weight: 0.4", "weight: 0.25", r"houses.weight is 0.25, expected tenths"),
    ("level: 2", "level: 4", r"map.level is 4, expected 1, 2 or 3"),
    ("level: 2", "level: 1.5", r"map.level is 1.5, expected a whole number"),
    ("reference: 2020", "reference: 20", r"reference is 20, expected a year or a date"),
    ("nodata: [255]", "nodata: [4]", r"map has the code 4 both in nodata and in values"),
    ("nodata: [255]", "nodata: [none]", r"map.nodata is \['none'\], expected a list of codes"),
    ("    path: houses.tif\n", "", r"houses.path is missing, expected a path, pattern or list"),
    ("    values: {0", "    layers: {}\n    values: {0", r"houses has the keys .*either values"),
    ("{0: null, 1: buildings}", "{0: null}", r"houses votes for no class"),
    ("building=*", "building", r"layers.areas: 'building' is not a tag, .* building=\* for any"),
    ("building=*", "building:*", r"areas: 'building:\*' is not a tag, expected key=value"),
    ("{buildings: [", "{bildings: [", r"areas.classes.bildings: .*Did you mean 'buildings'"),
    ("highway=motorway: 7", "highway=motorwy: 7", r"lines.buffers_m: unknown key.*=motorway'"),
    ("buffer_m: 1.5", "buffer_m: 0.000015", r"buffer of highway=path is 1.5e-05, .*never degrees"),
    ("buffer_m: 1.5", "buffer: 1.5", r"lines: unknown key 'buffer', .*Did you mean 'buffer"),
    ("buffer_m: 1.5", "buffer_m: wide", r"lines.buffer_m is 'wide', expected a number"),
    ("target: ecovision8", "target: ecovision", r"no legend 'ecovision'.*Did you mean 'ecovision8"),
    ("  map:", "  houses:", r"mine.yaml: the key 'houses' stands twice .*\(line 17\)"),
    ("products:", "products: [", r"mine.yaml is not valid YAML"),
    ("path: houses.tif", "preset: ecovison.osm", r"houses.preset is 'ecovison.osm'.*'ecovision.os"),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=[one[1] for one in MISTAKES])
def test_mistake_is_named_by_file_and_key(tmp_path, old, new, message):
    with pytest.raises((ConfigError, LegendError), match=message):
        load(tmp_path, (old, new))


def test_registry_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no registry 'ecovison', .* Did you mean 'ecovision'"):
        load_registry("ecovison")
    with pytest.raises(ConfigError, match=r"There is no file .*none\.yaml; check the path"):
        load_registry(str(tmp_path / "none.yaml"))
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(ConfigError, match=r"holds \[1, 2\], expected a mapping"):
        load_registry(str(tmp_path / "list.yaml"))
