"""What lies beside a map: ours, a user's, and what an older raster left."""

import logging

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from mapsr.errors import RasterError
from mapsr.geo import (
    Grid,
    clear_sidecars,
    read_codes,
    write_raster,
    write_sidecars,
)
from mapsr.geo.sidecars import write_ramp
from mapsr.geo.styles import CONFIDENCE, ERROR, is_ours
from mapsr.legends import load_legend

LEGEND = load_legend("chesapeake4")
GRID = Grid(CRS.from_epsg(26917), Affine(1.0, 0.0, 500000.0, 0.0, -1.0, 4150000.0), 6, 9)
MOVED = "<PAMDataset><GeoTransform>9, 1, 0, 9, 0, -1</GeoTransform></PAMDataset>"
SIDES = ("m.tif.aux.xml", "m.tif.ovr", "m.tif.msk", "m.tfw", "m.wld")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_ours_are_marked_and_replaced(tmp_path):
    for _ in range(2):
        write_sidecars(tmp_path / "m.tif", LEGEND)
        assert names(tmp_path) == ["m.qml", "m.tif.aux.xml"]
        assert all(map(is_ours, tmp_path.iterdir()))


def test_gdal_reads_a_marked_table(tmp_path):
    path = tmp_path / "m.tif"
    write_raster(path, np.zeros((6, 9), np.uint8), GRID)
    write_sidecars(path, LEGEND)
    with rasterio.open(path) as dataset:
        assert f"{path}.aux.xml" in dataset.files
    assert (read_codes(path, GRID, GRID.window) == 0).all()


def test_a_users_own_style_was_replaced(tmp_path, caplog):
    style = tmp_path / "m.qml"
    style.write_text("<qgis>mine</qgis>")
    with caplog.at_level(logging.WARNING):
        write_sidecars(tmp_path / "m.tif", LEGEND)
    assert style.read_text() == "<qgis>mine</qgis>"
    assert "m.qml is not ours and stays" in caplog.text
    write_sidecars(tmp_path / "m.tif", LEGEND, overwrite=True)
    assert is_ours(style)


def test_a_style_for_numbers_has_the_values_of_the_middle(tmp_path):
    """0 to 99 once each: 98 of them lie between 0.99 and 98.01; outliers would grey the rest."""
    path, grid = tmp_path / "sure.tif", Grid(GRID.crs, GRID.transform, 5, 20)
    values = np.arange(100, dtype=np.float32).reshape(5, 20)
    write_raster(path, values, grid)
    write_ramp(path, CONFIDENCE, None)
    style = path.with_suffix(".qml")
    assert 'minimumValue="0.99" maximumValue="98.01"' in style.read_text()
    write_raster(path, np.full_like(values, np.nan), grid)
    write_ramp(path, CONFIDENCE, None)
    assert 'minimumValue="0" maximumValue="1"' in style.read_text()
    style.write_text("<qgis>mine</qgis>")
    write_ramp(path, ERROR, (0.0, 1.0))
    assert style.read_text() == "<qgis>mine</qgis>"
    write_ramp(path, ERROR, (0.0, 1.0), overwrite=True)
    assert is_ours(style)


@pytest.mark.parametrize("side", SIDES)
def test_what_lay_beside_an_older_raster_changed_the_new_one(tmp_path, side):
    (tmp_path / side).write_text(MOVED)
    with pytest.raises(RasterError, match=rf"{side} would be read with .*m\.tif and change what"):
        write_sidecars(tmp_path / "m.tif", LEGEND)
    assert names(tmp_path) == [side]
    assert (tmp_path / side).read_text() == MOVED
    clear_sidecars(tmp_path / "m.tif", overwrite=True)
    assert names(tmp_path) == []


def test_side_files_of_other_rasters_stay(tmp_path):
    others = ["m.tif.txt", "m2.tif.ovr", "m.csv", "mm.tfw"]
    for name in others:
        (tmp_path / name).write_text("mine")
    write_sidecars(tmp_path / "m.tif", LEGEND, overwrite=True)
    assert names(tmp_path) == sorted([*others, "m.qml", "m.tif.aux.xml"])


def test_a_raster_that_replaces_one_was_where_the_old_one_lay(tmp_path):
    path = tmp_path / "m.tif"
    (tmp_path / "m.tif.aux.xml").write_text(MOVED)
    values = np.ones((6, 9), np.uint8)
    with pytest.raises(RasterError, match="would be read with"):
        write_raster(path, values, GRID)
    assert names(tmp_path) == ["m.tif.aux.xml"]
    path.write_bytes(b"older")
    write_raster(path, values, GRID)
    assert names(tmp_path) == ["m.tif"]
    with rasterio.open(path) as dataset:
        assert dataset.transform == GRID.transform


def test_a_path_with_nul_was_cut_there(tmp_path):
    with pytest.raises(RasterError, match=r"Can't write '.*m\\x00\.tif': a path can't hold NUL"):
        write_raster(tmp_path / "m\0.tif", np.ones((6, 9), np.uint8), GRID)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_gave_a_trace(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RasterError, match=r"Can't write .*m\.tif: (Not a directory|File exists)"):
        write_raster(tmp_path / "file" / "m.tif", np.ones((6, 9), np.uint8), GRID)
