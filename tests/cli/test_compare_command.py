"""`mapsr compare`, from the command line to text, JSON, CSV and figures."""

import csv
import json

import numpy as np
import pytest
from affine import Affine
from make_vectors import write_vectors
from rasterio.crs import CRS
from shapely import box

from mapsr.cli.main import main
from mapsr.geo import Grid, write_raster

X, Y = 346000.0, 5648000.0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A truth, two maps of other codes and resolution, and two cities."""
    monkeypatch.chdir(tmp_path)
    truth = np.repeat(np.array([[1, 5, 8, 3], [4, 8, 8, 4]], np.uint8), 3, axis=1)
    cover = np.array([[50, 10], [80, 40]], np.uint8)
    for name, codes, size in (("truth", truth, 1), ("map", truth[:, ::-1], 1), ("wc", cover, 6)):
        grid = Grid(CRS.from_epsg(25832), Affine(size, 0, X, 0, -size, Y), *codes.shape)
        write_raster(tmp_path / f"{name}.tif", np.ascontiguousarray(codes), grid, nodata=0)
    shapes = [box(X, Y - 2, X + 6, Y), box(X + 6, Y - 2, X + 12, Y)]
    write_vectors(tmp_path / "c.gpkg", "c", "EPSG:25832", shapes, city=["west", "east"])
    return tmp_path


MAPS = ["compare", "map.tif", "wc.tif", "legends=ecovision8,esa_worldcover"]
TRUTH = ["target=ecovision8", "truth=truth.tif", "truth_legend=ecovision8"]
CITIES = ["cities=c.gpkg", "cities_name=city"]


def test_text_json_and_files_say_the_same(folder, capsys):
    assert main([*MAPS, *TRUTH, *CITIES, "out=found"]) == 0
    text = capsys.readouterr().out
    assert main([*MAPS, *TRUTH, *CITIES, "--json"]) == 0
    given = json.loads(capsys.readouterr().out)
    assert given == json.loads((folder / "found" / "comparison.json").read_text())
    oa = given["products"]["map"]["oa"]
    assert oa == pytest.approx(1 / 2)  # the second row is the same from both sides
    assert f"{100 * oa:.2f}" in text.splitlines()[1]
    assert "map, % of 2 cities" in text
    with (folder / "found" / "cities.csv").open(newline="") as file:
        rows = {(row["product"], row["city"], row["class"]): row for row in csv.DictReader(file)}
    west = given["cities"]["products"]["map"]["by_city"]["west"]
    assert float(rows["map", "west", "roads"]["share"]) == pytest.approx(west["shares"]["roads"])
    assert float(rows["map", "west", "roads"]["hectares"]) == pytest.approx(3e-4)
    for name in ("composition_1_map", "accuracies_1_map", "composition_2_wc"):
        assert (folder / "found" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert {path.suffix for path in (folder / "found").iterdir()} == {".json", ".csv", ".png"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare"], "nothing to compare, expected maps"),
        ([*MAPS, *TRUTH, "tagret=x"], "'tagret' is not a setting of `mapsr compare`, "),
        ([*MAPS, *TRUTH, "truth=truth.tif"], "truth= is given twice"),
        ([*MAPS, *TRUTH, "cities="], "cities= has no value"),
        ([*MAPS, *TRUTH, "registry=ecovison"], "Did you mean 'ecovision'?"),
        ([*MAPS, "target=ecovision", *TRUTH[1:]], "There is no legend 'ecovision'"),
        (["compare", "gone.tif", "legends=ecovision8", *TRUTH], "gone.tif"),
    ],
)
def test_bad_input_is_one_sentence(words, message, folder, capsys):
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
