from pathlib import Path

import pytest

from mapsr.errors import LegendError
from mapsr.legends import crosswalk_names, legend_names, load_crosswalk, load_legend

TARGET = load_legend("chesapeake4")

PRODUCT = """\
name: toy
title: Toy
source: invented
nodata: [0]
classes:
  - {code: 7, name: beech, color: [1, 2, 3], target: tree canopy}
  - {code: 9, name: haze, color: [4, 5, 6], target: null}
  - {code: 300, name: pond, color: [7, 8, 9], target: water}
"""

PRESET = """\
name: own
title: Own
products:
  toy: {9: impervious}
"""


def write(path: Path, text: str, old: str = "", new: str = "") -> str:
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text, encoding="utf-8")
    return str(path)


def test_target_legend():
    assert TARGET.names == ("water", "tree canopy", "low vegetation", "impervious")
    assert TARGET.codes == (0, 1, 2, 3)


def test_package_names():
    assert legend_names() == (
        *("chesapeake4", "chesapeake_1m", "dynamic_world", "ecovision8", "esa_worldcover"),
        *("esri_10m", "esri_10m_2020", "from_glc10", "glc_fcs30", "nlcd"),
        *("openearthmap", "sinolc1"),
    )
    assert crosswalk_names() == ("mapsr", "paraformer", "robinson")


@pytest.mark.parametrize("name", legend_names())
@pytest.mark.parametrize("preset", crosswalk_names())
def test_every_crosswalk_of_the_package_loads(name: str, preset: str):
    legend = load_legend(name)
    crosswalk = load_crosswalk(preset, legend, TARGET, complete=True)
    assert crosswalk.name == preset
    assert set(crosswalk.targets().values()) - {None} == set(TARGET.names)


def targets(preset: str, product: str) -> dict[int, str | None]:
    short = {"water": "W", "tree canopy": "T", "low vegetation": "L", "impervious": "I", None: None}
    crosswalk = load_crosswalk(preset, load_legend(product), TARGET)
    return {code: short[name] for code, name in crosswalk.targets().items()}


PARAFORMER = (
    dict.fromkeys([11], "W")
    | dict.fromkeys([12], None)
    | dict.fromkeys([21, 22, 23, 24], "I")
    | dict.fromkeys([31], "L")
    | dict.fromkeys([41, 42, 43], "T")
    | dict.fromkeys([51, 52, 71, 72, 73, 74, 81, 82], "L")
    | {90: "T", 95: "L"}
)


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("paraformer", {}),
        ("mapsr", {12: "W", 90: "W", 95: "W"}),
        ("robinson", {21: "L", 52: "T"}),
    ],
)
def test_nlcd_as_published(preset: str, changes: dict[int, str]):
    assert targets(preset, "nlcd") == PARAFORMER | changes


# mean share of water, trees, low vegetation, impervious in each NLCD class (Robinson et al. 2019)
COMPOSITION = {
    11: (0.97, 0.01, 0.01, 0.02),
    21: (0.00, 0.42, 0.46, 0.11),
    22: (0.01, 0.31, 0.34, 0.35),
    31: (0.09, 0.13, 0.45, 0.32),
    52: (0.00, 0.71, 0.26, 0.03),
    71: (0.01, 0.38, 0.54, 0.07),
    81: (0.00, 0.11, 0.86, 0.03),
    82: (0.00, 0.11, 0.86, 0.03),
    90: (0.01, 0.90, 0.08, 0.00),
    95: (0.11, 0.07, 0.81, 0.01),
}


def test_robinson_is_the_most_frequent_class():
    named = targets("robinson", "nlcd")
    for code, shares in COMPOSITION.items():
        assert named[code] == "WTLI"[shares.index(max(shares))], code


def test_barren_truth_depends_on_the_preset():
    assert targets("paraformer", "chesapeake_1m") == {
        1: "W",
        2: "T",
        3: "L",
        4: "L",
        5: "I",
        6: "I",
    }
    assert targets("robinson", "chesapeake_1m")[4] == "I"


def test_target_legend_maps_to_itself():
    assert load_crosswalk("paraformer", TARGET, TARGET).table == (0, 1, 2, 3)


def test_own_files(tmp_path: Path):
    legend = load_legend(write(tmp_path / "toy.yaml", PRODUCT))
    assert legend.codes == (7, 9, 300)
    assert legend.nodata == {0}
    assert load_crosswalk("mapsr", legend, TARGET).table == (1, 255, 0)
    own = load_crosswalk(write(tmp_path / "own.yml", PRESET), legend, TARGET)
    assert (own.name, own.table) == ("own", (1, 3, 0))


def test_class_may_go_without_target(tmp_path: Path):
    legend = load_legend(write(tmp_path / "toy.yaml", PRODUCT, ", target: null", ""))
    assert legend.classes[1].target is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("code: 9", "code: 7", "has the code 7 2 times"),
        ("haze", "beech", "has the name 'beech' 2 times"),
        ("[4, 5, 6]", "[4, 5, 600]", r"has color \[4, 5, 600\]"),
        ("[4, 5, 6]", "[4, 5]", r"'color' is \[4, 5\], expected red, green and blue"),
        ("[4, 5, 6]", "[4, 5, red]", r"'color' is \[4, 5, 'red'\], expected integers"),
        ("[4, 5, 6]", "'#040506'", "'color' is '#040506' in 'haze', expected a list"),
        ("nodata: [0]", "nodata: [0, 9]", "code 9 both as nodata and as a class"),
        ("nodata: [0]", "nodata: [none]", r"'nodata' is \['none'\], expected integers"),
        ("title: Toy", "titel: Toy", "unknown key 'titel'.*Did you mean 'title'"),
        ("code: 9", "kode: 9", "unknown key 'kode'.*Did you mean 'code'"),
        ("code: 9", "code: nine", "'code' is 'nine' in 'haze', expected an integer"),
        ("title: Toy\n", "", "'title' is None in 'toy', expected text"),
        ("name: haze", "name: no", "'name' is False.*expected text"),
        (PRODUCT, "- 3\n", r"got \[3\], expected the keys name, title"),
        (PRODUCT, "name: [", "is not valid YAML"),
        ("code: 9", "code: 8, code: 9", "the key 'code' stands twice in one mapping"),
        ("title: Toy\n", "title: Toy\ntitle: Toys\n", "the key 'title' stands twice"),
        ("[0]\n", "&own\n  - *own\n", "'nodata' is .* expected integers"),
    ],
)
def test_faulty_legend_is_refused_by_file(tmp_path: Path, old: str, new: str, message: str):
    path = write(tmp_path / "toy.yaml", PRODUCT, old, new)
    with pytest.raises(LegendError, match=rf"(?s)toy\.yaml.*{message}"):
        load_legend(path)


def test_too_many_classes_are_refused_by_file(tmp_path: Path):
    rows = "".join(f"  - {{code: {i}, name: n{i}, color: [0, 0, 0]}}\n" for i in range(1000, 1256))
    path = write(tmp_path / "toy.yaml", PRODUCT + rows)
    with pytest.raises(LegendError, match=r"toy\.yaml: .*has 259 classes, expected 1 to 255"):
        load_legend(path)


def test_mistyped_names_get_near_matches():
    with pytest.raises(LegendError, match=r"no legend 'nlcdd'.*Did you mean 'nlcd'\?"):
        load_legend("nlcdd")
    with pytest.raises(LegendError, match=r"no crosswalk 'paraforma'.*Did you mean 'paraformer'\?"):
        load_crosswalk("paraforma", TARGET, TARGET)


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(LegendError, match=r"There is no file .*absent\.yaml"):
        load_legend(str(tmp_path / "absent.yaml"))


def test_unknown_target_in_a_product(tmp_path: Path):
    legend = load_legend(write(tmp_path / "toy.yaml", PRODUCT, "tree canopy", "tree canopi"))
    with pytest.raises(
        LegendError, match=r"Legend 'toy': class 'beech' stands for 'tree canopi'.*'tree canopy'\?"
    ):
        load_crosswalk("paraformer", legend, TARGET)


def test_unknown_target_in_a_preset(tmp_path: Path):
    legend = load_legend(write(tmp_path / "toy.yaml", PRODUCT))
    preset = write(tmp_path / "own.yaml", PRESET, "impervious", "imperviouss")
    with pytest.raises(LegendError, match=r"own\.yaml: class 'haze' .*Did you mean 'impervious'\?"):
        load_crosswalk(preset, legend, TARGET)


def test_unknown_code_in_a_preset(tmp_path: Path):
    legend = load_legend(write(tmp_path / "toy.yaml", PRODUCT))
    preset = write(tmp_path / "own.yaml", PRESET, "9:", "8:")
    with pytest.raises(LegendError, match=r"own\.yaml: code 8 is not in legend 'toy', .*7, 9, 300"):
        load_crosswalk(preset, legend, TARGET)


def test_changes_must_be_a_mapping(tmp_path: Path):
    legend = load_legend(write(tmp_path / "toy.yaml", PRODUCT))
    preset = write(tmp_path / "own.yaml", PRESET, "{9: impervious}", "[9, impervious]")
    with pytest.raises(
        LegendError, match=r"own\.yaml: 'toy' is \[9, 'impervious'\], expected \{cod"
    ):
        load_crosswalk(preset, legend, TARGET)


def test_product_without_any_target(tmp_path: Path):
    text = PRODUCT.replace("tree canopy", "null").replace("water", "null")
    legend = load_legend(write(tmp_path / "toy.yaml", text))
    with pytest.raises(LegendError, match="no class of legend 'toy' stands for a class of 'chesa"):
        load_crosswalk("paraformer", legend, TARGET)


def test_code_twice_in_a_preset_was_silently_the_last_one(tmp_path: Path):
    legend = load_legend(write(tmp_path / "toy.yaml", PRODUCT))
    preset = write(tmp_path / "own.yaml", PRESET, "{9: impervious}", "{9: impervious, 9: water}")
    with pytest.raises(LegendError, match=r"own\.yaml: the key '9' stands twice in one mapping"):
        load_crosswalk(preset, legend, TARGET)


def test_every_target_class_needs_a_product_class_where_maps_are_made_from_it(tmp_path: Path):
    legend = load_legend(write(tmp_path / "toy.yaml", PRODUCT))
    with pytest.raises(
        LegendError,
        match=r"paraformer\.yaml: no class of legend 'toy' stands for 'low vegetation', "
        r"'impervious' of legend 'chesapeake4', expected one for each class: else it could never "
        r"be mapped; make it the target of a class of 'toy', or use a target legend without it\.$",
    ):
        load_crosswalk("paraformer", legend, TARGET, complete=True)
    assert load_crosswalk("paraformer", legend, TARGET).table == (1, 255, 0)


def test_class_that_is_left_out_is_named_as_the_way_to_a_dead_target(tmp_path: Path):
    meadow = "{code: 5, name: low vegetations, color: [1, 1, 1], target: null}\n"
    legend = load_legend(write(tmp_path / "toy.yaml", f"{PRODUCT}  - {meadow}"))
    preset = write(tmp_path / "own.yaml", PRESET)
    with pytest.raises(
        LegendError, match=r"stands for 'low vegetation' of.*Did you mean 'low vegetations'\?"
    ):
        load_crosswalk(preset, legend, TARGET, complete=True)
    preset = write(tmp_path / "own.yaml", PRESET, "9: imp", "5: low vegetation, 9: imp")
    crosswalk = load_crosswalk(preset, legend, TARGET, complete=True)
    assert crosswalk.table == (1, 3, 0, 2)


def test_preset_can_take_a_target_its_last_class(tmp_path: Path):
    preset = write(tmp_path / "own.yaml", PRESET, "toy: {9: impervious}", "nlcd: {11: impervious}")
    with pytest.raises(LegendError, match=r"own\.yaml: no class of legend 'nlcd' .* 'water' of"):
        load_crosswalk(preset, load_legend("nlcd"), TARGET, complete=True)


@pytest.mark.parametrize("name", ["long" * 100, "nul\0", "folder", "absent"])
def test_a_path_that_no_file_has_gave_a_trace(tmp_path, name):
    (tmp_path / "folder.yaml").mkdir()
    path = f"{tmp_path}/{name}.yaml"
    for load in (load_legend, lambda path: load_crosswalk(path, TARGET, TARGET)):
        with pytest.raises(
            LegendError, match=r"^There is no file|^Can't read .*: (File name|Is a)"
        ):
            load(path)
