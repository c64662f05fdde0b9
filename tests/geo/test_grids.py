from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from mapsr.errors import RasterError
from mapsr.geo import Grid, Window, band_count, overlap, read_grid, write_raster

UTM = CRS.from_epsg(26917)
GRID = Grid(UTM, Affine(2.0, 0.0, 500000.0, 0.0, -1.0, 4150000.0), 30, 40)


def write(path: Path, grid: Grid) -> Path:
    write_raster(path, np.ones((grid.height, grid.width), np.uint8), grid)
    return path


def test_by_hand():
    assert GRID.window == Window(0, 0, 30, 40)
    assert GRID.pixel_size == (1.0, 2.0)
    assert GRID.bounds == (500000.0, 4149970.0, 500080.0, 4150000.0)


def test_crop_may_reach_over_the_edge():
    crop = GRID.crop(Window(-5, 10, 6, 7))
    assert crop == Grid(UTM, Affine(2.0, 0.0, 500020.0, 0.0, -1.0, 4150005.0), 6, 7)


def test_crop_of_crop_is_one_crop():
    outer = Window(3, 4, 20, 21)
    inner = Window(5, 6, 7, 8)
    assert GRID.crop(outer).crop(inner.relative_to(outer)) == GRID.crop(inner)


def test_read_grid_inverts_writing(tmp_path: Path):
    path = write(tmp_path / "a.tif", GRID)
    assert read_grid(path) == GRID
    assert band_count(path) == 1


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(RasterError, match=r"Can't read .*absent\.tif: there is no such file"):
        read_grid(tmp_path / "absent.tif")


def test_other_file_is_named(tmp_path: Path):
    path = tmp_path / "a.tif"
    path.write_text("no raster")
    with pytest.raises(RasterError, match=r"Can't read .*a\.tif.*not recognized.*make the file"):
        read_grid(path)


@pytest.mark.parametrize(
    "transform",
    [Affine(1.0, 0.1, 5.0, 0.0, -1.0, 9.0), Affine(1.0, 0.0, 5.0, 0.1, -1.0, 9.0)],
)
def test_rotated_pixels_are_refused(tmp_path: Path, transform: Affine):
    path = write(tmp_path / "a.tif", Grid(UTM, transform, 4, 5))
    with pytest.raises(RasterError, match=r"a\.tif has rotated or sheared pixels .* gdalwarp"):
        read_grid(path)


def test_raster_without_crs_is_refused(tmp_path: Path):
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": 4, "width": 5, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", transform=GRID.transform, **profile) as dataset:
        dataset.write(np.ones((1, 4, 5), np.uint8))
    with pytest.raises(RasterError, match=r"a\.tif has no coordinate reference system.*gdal_edit"):
        read_grid(path)


def test_overlap_by_hand(tmp_path: Path):
    # shifted by a quarter of the width and half of the height
    path = write(tmp_path / "a.tif", GRID.crop(Window(15, 10, 30, 40)))
    assert overlap(path, GRID) == pytest.approx(0.5 * 0.75)


def test_overlap_of_neighbours_is_nothing(tmp_path: Path):
    path = write(tmp_path / "a.tif", GRID.crop(Window(0, 40, 30, 40)))
    assert overlap(path, GRID) == 0.0


def test_overlap_with_a_globe_is_whole(tmp_path: Path):
    globe = Grid(CRS.from_epsg(4326), Affine(2.0, 0.0, -180.0, 0.0, -2.0, 90.0), 90, 180)
    assert overlap(write(tmp_path / "a.tif", globe), GRID) == 1.0


def test_overlap_with_the_antipodes_is_nothing(tmp_path: Path):
    there = Grid(CRS.from_epsg(4326), Affine(0.1, 0.0, 99.0, 0.0, -0.1, -37.0), 9, 10)
    assert overlap(write(tmp_path / "a.tif", there), GRID) == 0.0


def test_overlap_without_a_common_projection(tmp_path: Path):
    beyond = Grid(UTM, Affine(1.0, 0.0, 5e9, 0.0, -1.0, 9e9), 4, 5)
    globe = Grid(CRS.from_epsg(4326), Affine(2.0, 0.0, -180.0, 0.0, -2.0, 90.0), 90, 180)
    path = write(tmp_path / "a.tif", globe)
    with pytest.raises(RasterError, match=r"EPSG:4326, which is not defined all over the image's"):
        overlap(path, beyond)


def test_overlap_with_a_local_system_is_refused(tmp_path: Path):
    local = CRS.from_wkt('LOCAL_CS["building site",UNIT["metre",1]]')
    path = write(tmp_path / "a.tif", Grid(local, GRID.transform, 4, 5))
    with pytest.raises(
        RasterError, match=r"Can't read .*a\.tif: Cannot find coordinate operations"
    ):
        overlap(path, GRID)
