"""Tables and figures of label runs: published numbers, misprints, and runs beside them."""

import csv
import json

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from mapsr.cli.main import main
from mapsr.errors import ConfigError
from mapsr.geo import Grid, write_cog, write_raster
from mapsr.legends import load_legend
from mapsr.tables.label_definitions import AccuracyDefinition
from mapsr.tables.loading import load

LEGEND = load_legend("ecovision8")
ACCURACIES = ("ecovision4", "ecovision5", "ecovision7")
# shares of the classes among the validation samples, percent
SHARES = {
    "other impervious": 20.8,
    "grass and shrubs": 8.8,
    "trees": 11.1,
    "soil": 7.5,
    "buildings": 24.5,
    "water": 7.1,
    "roads": 11.9,
    "agriculture": 8.3,
}


def scores(value: float, oa: float) -> dict:
    by_class = dict.fromkeys(LEGEND.names, value)
    keys = ("producers_accuracy", "users_accuracy", "f1")
    return {"oa": oa, "pixels": 9} | {key: dict(by_class) for key in keys}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder as `mapsr label` leaves it, with two rounds and small rasters."""
    monkeypatch.chdir(tmp_path)
    model = {"oa": 0.7125, "scores": scores(0.4, 0.7125)}
    entries = [
        {"round": 0, "trusted": 0.25, "ratio": 0.375, "oa_trusted": 0.9, "model": None},
        {"round": 1, "trusted": 0.5, "ratio": 0.625, "oa_trusted": 0.8, "model": model},
    ]
    for entry in entries:
        entry["scores"] = scores(0.25 + entry["round"] / 2, entry["oa_trusted"])
    truth = scores(0.125, 0.6875) | {"ratio": 1.0}
    metrics = {
        "command": "label",
        "rounds": entries,
        "rejected": {"round": 2, "model": {"oa": 0.6}},
        "final": {"oa": 0.7777, "scores": scores(0.5, 0.7777)},
        "statistics": {"products": {"sinolc1": {"truth": truth}, "ucs": {"truth": {"pixels": 0}}}},
    }
    folder = tmp_path / "koeln"
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    grid = Grid(CRS.from_epsg(25832), Affine(1, 0, 3e5, 0, -1, 5e6), 20, 33)
    for place in ("labels/round_0", "labels/round_1", "models/round_1", "maps"):
        for name in ("north", "north_round", "south"):
            path = folder / place / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            plain = tmp_path / "plain.tif"
            write_raster(plain, np.full((20, 33), 2, np.uint8), grid, nodata=255)
            write_cog(plain, path, tags={}, legend=LEGEND)
    return folder


def values(path) -> dict[tuple[str, ...], str]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(r["row"], r["source"], r["measure"], r["class"]): r["value"] for r in rows}


@pytest.mark.parametrize("name", ACCURACIES)
def test_published_f1_follow_from_published_accuracies(name):
    """With the misprints corrected; each printed value does not."""
    definition = load(name)
    assert isinstance(definition, AccuracyDefinition)
    for row in definition.rows:
        for place in definition.columns:
            pa, ua, f1 = (row.published[key][place] for key in ("pa", "ua", "f1"))
            if f1 is not None:
                assert f1 == pytest.approx(2 * pa * ua / (pa + ua), abs=2.5e-4), (row.name, place)
        for slip in row.misprints:
            three = {key: row.published[key][slip.place] for key in ("pa", "ua", "f1")}
            three[slip.measure] = slip.printed / 100
            wrong = 2 * three["pa"] * three["ua"] / (three["pa"] + three["ua"])
            assert abs(three["f1"] - wrong) > 1e-3


def test_order_of_table_4_gives_the_overall_accuracy():
    """Table 7 prints the same row under other heads, which gives 77.5 instead."""
    for name in ("ecovision4", "ecovision7"):
        row = load(name).rows[0]
        oa = sum(share * row.published["pa"][place] for place, share in SHARES.items())
        assert oa == pytest.approx(83.59, abs=0.01)
    assert load("ecovision4").rows[0].published == load("ecovision7").rows[0].published
    printed = list(load("ecovision4").rows[0].published["pa"].values())
    under = dict(zip(load("ecovision7").columns, printed, strict=True))
    assert sum(share * under[place] for place, share in SHARES.items()) < 78


def test_classes_that_a_product_lacks_are_left_out_of_the_published_accuracy():
    """Hi-ULCM: 72.5 with agriculture left out, near the printed 72.27; as errors 66.5."""
    row = next(one for one in load("ecovision7").rows if one.name == "hi_ulcm")
    known = {place: value for place, value in row.published["pa"].items() if value is not None}
    right = sum(SHARES[place] * value for place, value in known.items())
    assert right / sum(SHARES[place] for place in known) == pytest.approx(row.oa, abs=0.003)


def test_rounds_of_a_run_stand_beside_the_published_ones(run, tmp_path, capsys):
    assert main(["table", "ecovision5", f"runs={run.name}", "--folder", "t"]) == 0
    out = capsys.readouterr().out
    assert "| Label_Map1 | PA (%) | published | 74.25 |" in out
    assert "|  |  | koeln | 75.00 | 75.00 |" in out
    assert "| 80.00 | 62.50 |" in out
    found = values(tmp_path / "t" / "ecovision5.csv")
    assert found["round_0", "koeln", "ratio", ""] == "0.375000"
    assert found["round_0", "published", "ratio", ""] == "0.454300"
    assert found["round_1", "koeln", "f1", "water"] == "0.750000"
    assert r"\toprule" in (tmp_path / "t" / "ecovision5.tex").read_text()


def test_products_and_comparisons_stand_beside_those_of_table_7(run, tmp_path, capsys):
    group = {"classes": ["buildings", "roads"], "producers_accuracy": 0.875,
             "users_accuracy": 0.5, "f1": None}  # fmt: skip
    own = {"pixels": 4, "oa": 0.8125, "ratio": 1.0, "groups": [group]}
    compared = {"products": {"esri": own, "mine": own | {"groups": []}}}
    folder = tmp_path / "compared"
    folder.mkdir()
    (folder / "comparison.json").write_text(json.dumps(compared))
    assert main(["table", "ecovision7", "runs=koeln,compared", "--folder", "t"]) == 0
    out = capsys.readouterr().out
    found = values(tmp_path / "t" / "ecovision7.csv")
    assert found["sinolc1", "koeln", "pa", "trees"] == "0.125000"
    assert found["final", "koeln", "oa", ""] == "0.777700"
    assert found["esri", "compared", "pa", "buildings"] == "0.875000"
    assert found["esri", "compared", "pa", "roads"] == ""
    assert found["mine", "compared", "oa", ""] == "0.812500"
    assert "buildings, roads are one class to this product." in out
    assert not any(row == "ucs" for row, *_ in found)
    assert "UA is printed as 80.50" in out


def test_figure_of_the_rounds_has_every_label_map(run, tmp_path, capsys):
    assert main(["table", "ecovision_fig4", "runs=koeln", "--folder", "t"]) == 0
    out = capsys.readouterr().out
    assert "| Label_Map0 | 25.00 | 37.50 | 90.00 | 71.25 | 80.12 |" in out
    assert "| Label_Map1 | 50.00 | 62.50 | 80.00 | 60.00 | 82.26 |" in out
    assert "OA of the final map: 77.77 %" in out
    for name in ("labels", "models"):
        assert (tmp_path / "t" / f"ecovision_fig4_{name}.png").read_bytes()[1:4] == b"PNG"
    words = ["scene=south", "window=2,3,9,12", "--folder", "t"]
    assert main(["table", "ecovision_fig4", "runs=koeln", *words]) == 0


def test_figure_of_cities_sets_means_beside_the_published_ones(run, tmp_path, capsys):
    shares = dict.fromkeys(LEGEND.names, 0.125)
    product = {"mean_shares": shares, "by_city": {"a": {"shares": shares}}}
    found = {
        "colors": {one.name: one.color for one in LEGEND.classes},
        "cities": {"boundaries": {"a": {"group": "N"}}, "products": {"map": product}},
    }
    (run / "comparison.json").write_text(json.dumps(found))
    assert main(["table", "ecovision_fig7", "runs=koeln", "--folder", "t"]) == 0
    assert "| buildings | 12.50 | 19.17 |" in capsys.readouterr().out
    assert (tmp_path / "t" / "ecovision_fig7.png").read_bytes()[1:4] == b"PNG"
    assert sum(load("ecovision_fig7").published.values()) == pytest.approx(100)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ecovision5", "runs=nowhere"], "'nowhere' is neither a finished run of `mapsr label`"),
        (["ecovision5", "run=koeln"], "'run' is not a setting of 'ecovision5', expected runs"),
        (["ecovision4", "runs"], "'runs' is not a setting, expected key=value"),
        (["ecovision_fig4"], "runs= names 0 folders, expected one"),
        (["ecovision_fig4", "runs=koeln", "scene=nroth"], "Did you mean 'north'?"),
        (["ecovision_fig4", "runs=koeln", "window=1,2"], "expected [first row, first column,"),
        (["ecovision_fig4", "runs=koeln", "window=90,0,5,5"], "lies outside of 20 x 33 pixels"),
        (["ecovision_fig7", "runs=koeln"], "'koeln' has no cities"),
        (["ecovision5", "runs=koeln/labels"], "is neither a finished run"),
    ],
)
def test_bad_input_is_one_sentence(words, message, run, capsys):
    assert main(["table", *words]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("of: [finals]", "an entry of of is 'finals', .* Did you mean 'final'"),
        ("rows: [{name: a, label: a, pa: [1], ua: [2], f1: [101]}]", "f1 is \\[101\\], expected 1"),
        ("rows: [{name: a, label: a, pa: [1, 2], ua: [2], f1: [3]}]", "expected 1 percentages"),
        (
            "rows: [{name: a, label: a, pa: [1], ua: [2], f1: [null], misprints: "
            "[{measure: f1, class: trees, printed: 2, reason: r}]}]",
            "printed is 2, expected a percentage, of a class that has a corrected one",
        ),
    ],
)
def test_definitions_are_read_strictly(change, message, tmp_path):
    lines = {
        "kind": "kind: accuracies",
        "title": "title: t",
        "caption": "caption: c",
        "of": "of: [final]",
        "head": "head: h",
        "columns": "columns: [{label: Trees, class: trees}]",
    }
    lines[change.partition(":")[0]] = change
    path = tmp_path / "own.yaml"
    path.write_text("\n".join(lines.values()))
    with pytest.raises(ConfigError, match=message):
        load(str(path))
