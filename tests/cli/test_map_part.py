"""`mapsr map window= aoi=`: a part is to the last bit what the map of all has there."""

import json

import numpy as np
import pytest
import rasterio
import shapely
from make_maps import QUICK, finished_run, labels_of, mapped
from make_vectors import write_vectors

from mapsr.cli.main import main
from mapsr.geo import Window, read_grid
from mapsr.mapping import local


@pytest.fixture(scope="module")
def run(scene_folder, tmp_path_factory):
    return finished_run(scene_folder, tmp_path_factory.mktemp("part") / "run")


@pytest.fixture
def image(scene_folder):
    return scene_folder / "val" / "village_naip.tif"


def values_of(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_a_part_is_what_the_map_of_all_has_there(run, image, tmp_path, monkeypatch, capsys):
    whole, out = tmp_path / "whole.tif", tmp_path / "part.tif"
    more = ("confidence=true", "scores=true")
    assert mapped(run, image, whole, *more) == 0
    scored = []
    plain = local.score_batch
    monkeypatch.setattr(
        local, "score_batch", lambda raster, windows, score: (
            scored.extend(windows), plain(raster, windows, score))[1],
    )  # fmt: skip
    part = Window(3, 60, 21, 45)
    assert mapped(run, image, out, "window=3,60,21,45", *more) == 0
    assert 0 < len(scored) < 6  # not all of the chips
    assert read_grid(out) == read_grid(image).crop(part)
    for name in ("", "_confidence", "_scores"):
        all_of_it = values_of(tmp_path / f"whole{name}.tif")[:, *part.slices]
        assert np.array_equal(values_of(tmp_path / f"part{name}.tif"), all_of_it, equal_nan=True)
    left, bottom, right, top = read_grid(out).bounds
    coordinates = tmp_path / "coordinates.tif"
    assert mapped(run, image, coordinates, f"window={left},{bottom},{right},{top},map") == 0
    assert np.array_equal(labels_of(coordinates), labels_of(out))
    record = json.loads((tmp_path / "part_record.json").read_text())
    assert record["areas"]["mapped_hectares"] == pytest.approx(21 * 45 / 1e4, rel=2e-3)
    capsys.readouterr()
    assert mapped(run, image, out, "window=3,60,21,44") == 1
    assert "made from other inputs or settings" in capsys.readouterr().err


def test_what_lies_outside_of_the_polygons_is_nodata(run, image, tmp_path):
    whole, out, grid = tmp_path / "whole.tif", tmp_path / "part.tif", read_grid(image)
    assert mapped(run, image, whole) == 0
    x, y = grid.transform.c, grid.transform.f
    shapes = [
        shapely.Polygon([(x + 10, y - 10), (x + 50, y - 10), (x + 10, y - 40)]),
        shapely.box(x + 60, y - 60, x + 70, y - 50),
    ]
    aoi = write_vectors(tmp_path / "aoi.gpkg", "a", "EPSG:26917", shapes)
    assert mapped(run, image, out, f"aoi={aoi}") == 0
    assert read_grid(out) == grid.crop(Window(10, 10, 50, 60))
    expected = labels_of(whole)[10:60, 10:70]
    rows, columns = np.indices(expected.shape) + 0.5
    below = rows / 30 + columns / 40 - 1
    inside = (below < 0) | ((rows > 40) & (columns > 50))
    clear = abs(below) > 1e-9  # a centre on the border is either's
    assert np.array_equal(labels_of(out)[clear], np.where(inside, expected, 255)[clear])


def test_a_place_that_can_not_be_is_a_sentence(run, image, scene_folder, tmp_path, capsys):
    for words, says in (
        (["window=900,0,10,10"], "beside the 70 x 110 pixels"),
        (["window=1,2,3"], "can't be read"),
        (["window=0,0,1,1,EPSG:4326"], "beside the 70 x 110 pixels"),
        (["window=5,0,1,1,EPSG:4326"], "an empty rectangle"),
        (["aoi=nowhere.gpkg"], "there is no such file"),
    ):
        assert mapped(run, image, tmp_path / "map.tif", *words) == 1
        err = capsys.readouterr().err
        assert says in err and "Traceback" not in err
    several = [f"image={scene_folder}/*/*_naip.tif", f"out={tmp_path / 'maps'}"]
    assert main(["map", f"fitted={run}", *several, "window=0,0,10,10"]) == 1
    assert "map a part of one raster" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [] and QUICK
