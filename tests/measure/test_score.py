"""`mapsr sample` and `mapsr score`: from a map to a sample, and from its labels to estimates."""

import json

import numpy as np
import pyogrio
import pytest
from make_labels import ALBERS, HEIGHT, WIDTH, map_file, quarters
from make_vectors import write_vectors
from rasterio.crs import CRS
from rasterio.warp import transform

from mapsr.cli.main import main
from mapsr.geo import write_raster
from mapsr.geo.points import pixel_centres


def true_labels():
    """The map's labels with errors: a tenth of the forest is built."""
    labels = quarters()
    labels[22:24, :45] = 2
    return labels


def record_of(capsys, *words):
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def path(tmp_path):
    return map_file(tmp_path / "map.tif", quarters())


def filled(sample, out, value):
    """Copy a sample with column truth set to value(row, column) of the pixel of each point."""
    meta, _, wkb, values = pyogrio.raw.read(sample)
    import shapely

    points = shapely.from_wkb(wkb)
    across, down = ~ALBERS.transform @ (shapely.get_x(points), shapely.get_y(points))
    fields = list(meta["fields"])
    truth = [value(int(row), int(col)) for row, col in zip(down, across, strict=True)]
    values[fields.index("truth")] = np.array(truth, object)
    pyogrio.raw.write(
        out, wkb, values, fields, driver="GPKG", layer="s", crs=meta["crs"], geometry_type="Point"
    )
    return out


NAMES = ("water", "forest", "built")


def test_a_sample_is_drawn_at_random_in_each_class(path, tmp_path, capsys, monkeypatch):
    out = tmp_path / "sample.gpkg"
    words = ["sample", str(path), f"out={out}", "points=300", "minimum=60"]
    record = record_of(capsys, *words)
    shares = {one["class"]: one["points"] for one in record["strata"]}
    assert shares == {"water": 140, "forest": 100, "built": 60}
    meta, _, wkb, values = pyogrio.raw.read(out)
    columns = dict(zip(meta["fields"], values, strict=True))
    assert len({bytes(one) for one in wkb}) == 300  # no pixel twice
    assert set(columns["truth"]) == {None}
    assert set(columns["stratum_pixels"][columns["stratum"] == "built"]) == {19 * 15}
    assert len(set(columns["stratum"][:40])) == 3  # in an order that tells nothing
    again = tmp_path / "again.gpkg"
    record_of(capsys, "sample", str(path), f"out={again}", "points=300", "minimum=60")
    assert [bytes(one) for one in pyogrio.raw.read(again)[2]] == [bytes(one) for one in wkb]
    assert main(words) == 1
    assert "is there already, perhaps with labels" in capsys.readouterr().err
    other = tmp_path / "other.gpkg"
    record_of(capsys, "sample", str(path), f"out={other}", "points=300", "minimum=60", "seed=1")
    assert {bytes(one) for one in pyogrio.raw.read(other)[2]} != {bytes(one) for one in wkb}


def test_a_census_by_points_is_what_the_truth_s_raster_says(path, tmp_path, capsys):
    truth = true_labels()
    out, done = tmp_path / "sample.gpkg", tmp_path / "done.gpkg"
    assert main(["sample", str(path), f"out={out}", f"points={39 * 60}", "minimum=2"]) == 0
    capsys.readouterr()
    filled(out, done, lambda row, col: NAMES[truth[row, col]])
    record = record_of(capsys, "score", str(path), f"truth={done}")
    by_class = {one["class"]: one for one in record["classes"]}
    for index, name in enumerate(NAMES):
        hectares = by_class[name]["hectares"]
        assert hectares["estimate"] == pytest.approx((truth == index).sum(), rel=1e-6)
        assert hectares["standard_error"] == pytest.approx(0, abs=1e-9)
    raster = map_file(tmp_path / "truth.tif", truth)
    counted = record_of(capsys, "score", str(path), f"truth={raster}")
    assert counted["confusion"] == record["confusion"]
    scores = counted["scores"]
    assert scores["oa"] == pytest.approx(1 - 90 / 2340)
    assert record["overall_accuracy"]["estimate"] == pytest.approx(scores["oa"])
    assert record["miou"] == pytest.approx(scores["miou"])
    assert by_class["built"]["iou"] == pytest.approx(285 / 375)
    for key in ("users_accuracy", "producers_accuracy"):
        for name in NAMES:
            assert by_class[name][key]["estimate"] == pytest.approx(scores[key][name])
        assert by_class["forest"]["f1"] == pytest.approx(scores["f1"]["forest"])


def test_a_sample_is_an_estimate_with_an_error_and_holds_the_truth(path, tmp_path, capsys):
    truth = true_labels()
    out, done = tmp_path / "sample.gpkg", tmp_path / "done.gpkg"
    assert main(["sample", str(path), f"out={out}", "points=400"]) == 0
    filled(out, done, lambda row, col: NAMES[truth[row, col]])
    capsys.readouterr()
    record = record_of(capsys, "score", str(path), f"truth={done}", f"out={tmp_path / 'r.json'}")
    built = record["classes"][2]["hectares"]
    low, high = built["interval"]
    assert low < 375 < high and built["standard_error"] > 0
    assert json.loads((tmp_path / "r.json").read_text()) == record
    # the strata of one map serve another one, too: Stehman's estimator
    second = map_file(tmp_path / "second.tif", true_labels())
    record = record_of(capsys, "score", str(second), f"truth={done}")
    assert record["overall_accuracy"]["estimate"] == 1
    assert record["classes"][2]["hectares"] == built  # the area depends on no map
    assert main(["score", str(path), f"truth={done}"]) == 0
    shown = capsys.readouterr().out
    assert "overall accuracy 0.9" in shown and "400 points; ± is one standard error" in shown


def test_points_of_ones_own_in_another_crs_and_legend(path, tmp_path, capsys):
    """Points of a simple random sample, in degrees, with codes of a legend."""
    rows, columns = np.divmod(np.random.default_rng(0).choice(39 * 60, 200, False), WIDTH)
    centres = pixel_centres(ALBERS, rows, columns)
    x, y = transform(
        ALBERS.crs, CRS.from_epsg(4326), [p.x for p in centres], [p.y for p in centres]
    )
    import shapely

    legend = tmp_path / "field.yaml"
    legend.write_text(
        "name: field\ntitle: Field codes\nsource: drawn\nnodata: []\nclasses:\n"
        "  - {code: 7, name: lake, color: [0, 0, 255], target: water}\n"
        "  - {code: 8, name: trees, color: [0, 255, 0], target: forest}\n"
        "  - {code: 9, name: house, color: [255, 0, 0], target: built}\n"
    )
    codes = [[7, 8, 9][true_labels()[row, col]] for row, col in zip(rows, columns, strict=True)]
    points = write_vectors(
        tmp_path / "points.gpkg", "p", "EPSG:4326",
        [*(shapely.Point(one) for one in zip(x, y, strict=True)), shapely.Point(0, 0)],
        kind=[*map(str, codes[:-2]), "trees", None, "7"],
    )  # fmt: skip
    words = ["score", str(path), f"truth={points}", "column=kind", f"legend={legend}"]
    assert main(words) == 1
    assert "does not say how its points were drawn" in capsys.readouterr().err
    assert main([*words, "design=simple", "--json"]) == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert record["left_out"] == {"outside": 1, "without_truth": 1}
    assert "1 point(s) are left out: without truth" in shown.err
    right = sum(
        [7, 8, 9][quarters()[row, col]] == code
        for row, col, code in zip(rows[:-2], columns[:-2], codes[:-2], strict=True)
    ) + (quarters()[rows[-2], columns[-2]] == 1)
    assert record["overall_accuracy"]["estimate"] == pytest.approx(right / 199)
    (stratum,) = record["strata"]
    assert (stratum["pixels"], stratum["points"]) == (39 * 60, 199)
    record = record_of(capsys, *words, "design=map")
    assert [one["stratum"] for one in record["strata"]] == list(NAMES)


def test_a_truth_raster_goes_through_its_legend(path, tmp_path, capsys):
    codes = np.array([1, 2, 5], np.uint8)[np.minimum(quarters(), 2)]
    truth = tmp_path / "truth.tif"
    write_raster(truth, np.where(quarters() == 255, 0, codes).astype(np.uint8), ALBERS, nodata=0)
    assert main(["score", str(path), f"truth={truth}"]) == 1
    assert "does not say what its classes are called" in capsys.readouterr().err
    assert main(["score", str(path), f"truth={truth}", "legend=chesapeake_1m"]) == 1
    assert "expected one of the classes water, forest, built" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "says"),
    [("fores", "Did you mean 'forest'"), (None, "has no labelled point on")],
)
def test_labels_that_say_nothing_are_a_sentence(path, tmp_path, capsys, value, says):
    out, done = tmp_path / "sample.gpkg", tmp_path / "done.gpkg"
    assert main(["sample", str(path), f"out={out}", "points=200"]) == 0
    filled(out, done, lambda row, col: value)
    assert main(["score", str(path), f"truth={done}"]) == 1
    assert says in capsys.readouterr().err
    assert HEIGHT != WIDTH
