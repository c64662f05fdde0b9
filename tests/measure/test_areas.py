"""`mapsr areas`: hectares of classes, beside a product's and by polygon."""

import csv
import json

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from make_labels import ALBERS, HEIGHT, LEGEND, WIDTH, map_file, quarters
from make_vectors import write_vectors
from rasterio.crs import CRS

from mapsr.cli.main import main
from mapsr.errors import DataError
from mapsr.geo import Grid, write_raster
from mapsr.geo.ground import pixel_areas
from mapsr.measure.joint import Joint


def asked(capsys, *words):
    """The record that a command prints with --json, and what it says besides."""
    assert main([*words, "--json"]) == 0
    shown = capsys.readouterr()
    return json.loads(shown.out), shown.err


def test_hectares_are_counted_by_hand(tmp_path, capsys):
    path = map_file(tmp_path / "map.tif", quarters())
    record, _ = asked(capsys, "areas", str(path))
    rows = {row["class"]: row for row in record["areas"]["classes"]}
    assert {name: row["hectares"] for name, row in rows.items()} == {
        "water": pytest.approx(20 * 60, rel=1e-7),
        "forest": pytest.approx(19 * 45, rel=1e-7),
        "built": pytest.approx(19 * 15, rel=1e-7),
    }
    assert rows["built"]["per_cent"] == pytest.approx(100 * 19 * 15 / (39 * 60), abs=1e-3)
    assert rows["forest"]["pixels"] == 19 * 45
    assert record["areas"]["nodata_hectares"] == pytest.approx(60, rel=1e-7)
    assert record["product"] is None and record["confidence"] is None


def test_degrees_are_measured_on_the_ground(tmp_path, capsys):
    grid = Grid(CRS.from_epsg(4326), Affine(0.01, 0, 10, 0, -0.02, 60), HEIGHT, WIDTH)
    path = map_file(tmp_path / "map.tif", quarters(), grid)
    record, _ = asked(capsys, "areas", str(path))
    areas, labels = pixel_areas(grid, grid.window), quarters()
    for index, row in enumerate(record["areas"]["classes"]):
        slow = sum(areas[place] for place in zip(*np.nonzero(labels == index), strict=True))
        assert row["hectares"] == pytest.approx(slow / 1e4, abs=1e-4)
    # 20 rows further south a pixel is larger: counting pixels would not see it
    water, forest = record["areas"]["classes"][:2]
    assert water["hectares"] / water["pixels"] < 0.995 * forest["hectares"] / forest["pixels"]


def test_a_large_map_is_read_in_windows_that_add_up(tmp_path, monkeypatch, capsys):
    path = map_file(tmp_path / "map.tif", quarters())
    whole, _ = asked(capsys, "areas", str(path))
    monkeypatch.setattr("mapsr.measure.labels.BLOCK_PX", 16)
    monkeypatch.setattr("mapsr.measure.labels.blocks.__defaults__", (16,))
    parts, _ = asked(capsys, "areas", str(path))
    assert parts["areas"]["classes"] == whole["areas"]["classes"]


@pytest.fixture
def product(tmp_path):
    """NLCD codes on cells of 3 x 3 pixels of the map: water where it is, a strip of built."""
    place = ALBERS.transform @ Affine.scale(3)
    codes = np.full((14, 20), 41, np.uint8)
    codes[:7] = 11
    codes[7:, 19:] = 23
    codes[0, 0] = 0  # nodata
    path = tmp_path / "nlcd.tif"
    write_raster(path, codes, Grid(ALBERS.crs, place, 14, 20), nodata=0)
    return path


def test_a_product_stands_beside_the_map_and_several_times_its_area_is_a_warning(
    tmp_path, product, capsys
):
    path = map_file(tmp_path / "map.tif", quarters())
    walk = tmp_path / "walk.yaml"
    walk.write_text(
        "name: walk\ntitle: to three classes\nproducts:\n  nlcd: {11: water, 12: null, 21: built, "
        "22: built, 23: built, 24: built, 31: null, 41: forest, 42: forest, 43: forest, 51: null, "
        "52: forest, 71: forest, 72: null, 73: null, 74: null, 81: forest, 82: forest, 90: forest, "
        "95: forest}\n"
    )
    given = [f"product={product}", "product_legend=nlcd", f"crosswalk={walk}"]
    record, err = asked(capsys, "areas", str(path), *given)
    rows = {row["class"]: row for row in record["areas"]["classes"]}
    # the product: water on rows 0..20 less its nodata, built on columns 57..59 below
    assert rows["water"]["product_hectares"] == pytest.approx(21 * 60 - 9, rel=1e-6)
    assert rows["built"]["product_hectares"] == pytest.approx(18 * 3, rel=1e-6)
    assert rows["built"]["times_product"] == pytest.approx(19 * 15 / 54, abs=1e-3)
    assert rows["water"]["hectares_compared"] == pytest.approx(20 * 60 - 9, rel=1e-6)
    assert rows["water"]["product_that_agrees_per_cent"] == pytest.approx(
        100 * 1191 / 1251, abs=1e-3
    )
    cells = record["product"]["hectares_by_map_and_product"]
    assert cells["built"]["forest"] == pytest.approx(18 * 12, rel=1e-6)
    agreed = 1191 + 18 * 45 + 54
    assert record["product"]["agreement_per_cent"] == pytest.approx(
        100 * agreed / (39 * 60 - 9), abs=1e-3
    )
    (warning,) = record["warnings"]
    assert "has 285.00 ha of 'built', 5.3 times the 54.00 ha of the product" in warning
    assert f"WARNING: {path}: {warning}" in err


def test_zones_are_told_one_by_one_and_written_as_a_table(tmp_path, capsys):
    path, out = map_file(tmp_path / "map.tif", quarters()), tmp_path / "areas.csv"
    x, y = ALBERS.transform.c, ALBERS.transform.f
    shapes = [
        shapely.box(x + 4000, y - 2500, x + 5000, y - 1500),  # rows 15..24, columns 40..49
        shapely.box(x - 9000, y - 2500, x - 8000, y - 1500),  # beside the map
        shapely.box(x, y - 4000, x + 6000, y),
    ]
    zones = write_vectors(
        tmp_path / "zones.gpkg", "z", "EPSG:5070", shapes, name=["town", "sea", "all"]
    )
    record, _ = asked(capsys, "areas", str(path), f"zones={zones}", f"csv={out}")
    town, everything = record["zones"]
    assert town["attributes"] == {"name": "town"}
    assert [row["pixels"] for row in town["classes"]] == [50, 25, 25]
    assert everything["classes"] == record["areas"]["classes"]
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["name"] for row in rows] == [""] * 3 + ["town"] * 3 + ["all"] * 3
    assert float(rows[4]["hectares"]) == pytest.approx(25, rel=1e-6)
    assert main(["areas", str(path), f"zones={zones}"]) == 0
    shown = capsys.readouterr().out
    assert "zone 1: town" in shown and "forest     25.00     25.00" in shown


def test_low_confidence_is_a_share_of_the_ground(tmp_path, capsys):
    tags = {"MAPSR_JOB": "same", "MAPSR_CONFIGURATION": '{"outputs": ["map_probability"]}'}
    path = map_file(tmp_path / "map.tif", quarters(), tags=tags)
    sure = np.full((HEIGHT, WIDTH), 0.9, np.float32)
    sure[:10] = 0.4
    sure[-1] = np.nan
    beside = tmp_path / "map_confidence.tif"
    write_raster(beside, sure, ALBERS, nodata=np.nan)
    record, _ = asked(capsys, "areas", str(path))
    assert record["confidence"] is None  # of another map, for all one knows
    with rasterio.open(beside, "r+") as dataset:
        dataset.update_tags(MAPSR_JOB="same")
    record, _ = asked(capsys, "areas", str(path))
    told = record["confidence"]
    assert told["low_per_cent"] == pytest.approx(100 * 10 / 39, abs=1e-3)
    assert told["classes"]["water"] == {
        "mean": pytest.approx(0.65, abs=1e-4),
        "low_per_cent": pytest.approx(50, abs=1e-3),
    }
    record, _ = asked(capsys, "areas", str(path), "low=0.3")
    assert record["confidence"]["low_per_cent"] == 0


def test_any_raster_of_labels_is_measured_by_its_legend_or_its_codes(tmp_path, product, capsys):
    record, _ = asked(capsys, "areas", str(product), "legend=nlcd")
    named = {row["class"]: row["hectares"] for row in record["areas"]["classes"]}
    assert named["open water"] == pytest.approx(9 * (7 * 20 - 1), rel=1e-6)
    record, _ = asked(capsys, "areas", str(product), "legend=codes")
    assert [row["class"] for row in record["areas"]["classes"]] == ["11", "23", "41"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "does not say what its classes are called"),
        (["legend=esa_worldcover"], "codes such as"),
        (["legend=nlcd", "zone=x.gpkg"], "Did you mean 'zones'"),
        (["legend=nlcd", "low=2"], "low is 2.0"),
        (["legend=nlcd", "low=high"], "expected a value of type float"),
        (["legend=nlcd", "zones=nowhere.gpkg"], "there is no such file"),
    ],
)
def test_what_can_not_be_measured_is_a_sentence(product, capsys, words, says):
    assert main(["areas", str(product), *words]) == 1
    err = capsys.readouterr().err
    assert says in err and "Traceback" not in err


def test_labels_that_are_no_class_are_refused():
    with pytest.raises(DataError, match=r"A label is 3, expected 0\.\.2 or 255"):
        Joint.of(np.full((2, 3), 3, np.uint8), None, np.ones((2, 3)), len(LEGEND), 0)
