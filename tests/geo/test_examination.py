"""A quick look at rasters: values, masks, codes and ground sizes."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling

from mapsr.errors import RasterError
from mapsr.geo import Grid, read_codes, write_raster
from mapsr.geo.examination import (
    bounds_deg,
    center_deg,
    count_codes,
    crs_name,
    ground_size_m,
    look,
)

UTM = CRS.from_epsg(26917)
GRID = Grid(UTM, Affine(1.0, 0.0, 529483.0, 0.0, -1.0, 4149392.0), 6, 9)


def grid_of(height, width, size=1.0):
    return Grid(UTM, Affine(size, 0, 529483.0, 0, -size, 4149392.0), height, width)


def sparse(path, height, width, **options):
    """A raster of any size in a few KiB: blocks that were never written hold 7."""
    grid = grid_of(height, width)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": grid.crs, "nodata": 7}
    profile |= {"transform": grid.transform, "height": height, "width": width, "sparse_ok": True}
    with rasterio.open(path, "w", **profile, **options):
        return path


def test_a_small_image_by_hand(tmp_path):
    values = np.arange(54, dtype=np.float32).reshape(1, 6, 9)
    values[0, 0, :3] = np.nan, -1, 0
    write_raster(tmp_path / "a.tif", values, GRID, nodata=-1)
    seen = look(tmp_path / "a.tif", None)
    assert seen.seen == 54
    assert seen.valid == 52 / 54
    assert seen.masks == ("nodata -1",)
    assert sorted(seen.values[0].tolist()) == [0, *range(3, 54)]


def test_only_the_leading_bands_are_looked_at(tmp_path):
    write_raster(tmp_path / "a.tif", np.ones((4, 6, 9), np.uint8), GRID)
    assert look(tmp_path / "a.tif", 2).values.shape == (2, 54)
    with pytest.raises(RasterError, match="has 4 band"):
        look(tmp_path / "a.tif", 5)


def test_alpha_is_image_or_mask(tmp_path):
    path = tmp_path / "a.tif"
    values = np.ones((4, 6, 9), np.uint8)
    values[3, :3] = 0
    write_raster(path, values, GRID)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = (*dataset.colorinterp[:3], ColorInterp.alpha)
    as_image, as_mask = look(path, None), look(path, 3)
    assert (as_image.alpha, as_image.masks, as_image.valid) == (4, (), 1)
    assert (as_mask.alpha, as_mask.masks, as_mask.valid) == (None, ("an alpha band",), 0.5)


def test_a_mask_is_named(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_raster(path, np.ones((1, 6, 9), np.uint8), GRID)
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(np.arange(54).reshape(6, 9) < 27)
    assert look(path, None).masks == ("a mask",)
    assert look(path, None).valid == 0.5


def test_complex_values_are_refused(tmp_path):
    write_raster(tmp_path / "a.tif", np.ones((1, 6, 9), np.complex64), GRID)
    with pytest.raises(RasterError, match="holds complex64 values, expected real ones"):
        look(tmp_path / "a.tif", None)


def test_the_preview_has_the_values_of_the_image(tmp_path):
    """A property: quantiles of a thinned-out image are about those of all pixels."""
    values = np.random.default_rng(3).integers(0, 255, (1, 1300, 700)).astype(np.uint8)
    write_raster(tmp_path / "a.tif", values, grid_of(1300, 700))
    seen = look(tmp_path / "a.tif", None)
    assert seen.values.shape[1] == seen.seen == 512 * 275
    assert np.percentile(seen.values, 25) == pytest.approx(np.percentile(values, 25), abs=2)


@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 512, "blockysize": 512}, {}])
def test_a_huge_image_is_sampled_in_little_memory(tmp_path, layout):
    path = sparse(tmp_path / "a.tif", 100_000, 90_000, **layout, bigtiff="YES")
    tracemalloc.start()
    seen = look(path, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen.seen == (12 * 32) ** 2
    assert seen.valid == 0
    assert peak < 32 << 20


def test_overviews_are_used(tmp_path):
    path = sparse(tmp_path / "a.tif", 5000, 6000, tiled=True)
    assert look(path, None).seen == (12 * 32) ** 2
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([16], Resampling.nearest)
    assert look(path, None).seen == 426 * 512


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "a.tif"
    write_raster(
        path, np.random.default_rng(1).integers(0, 255, (3, 90, 80), np.uint8), grid_of(90, 80)
    )
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RasterError, match=r"Can't read .*a\.tif"):
        look(path, None)


def test_codes_by_hand(tmp_path):
    """3 x 3 px of each code, and two columns of the image that the product does not reach."""
    cells = Grid(UTM, Affine(3, 0, 529485.0, 0, -3, 4149392.0), 2, 3)
    write_raster(tmp_path / "c.tif", np.array([[1, 2, 2], [3, 0, 9]], np.uint8), cells, nodata=0)
    counts = count_codes(tmp_path / "c.tif", GRID)
    assert counts == {-1: 12 + 9, 1: 9, 2: 9 + 3, 3: 9, 9: 3}


def test_codes_are_those_that_the_image_reads(tmp_path):
    """The slow oracle: all codes read at once."""
    grid = grid_of(300, 270)
    codes = np.random.default_rng(5).integers(1, 9, (20, 30)).astype(np.uint8)
    write_raster(tmp_path / "c.tif", codes, grid_of(20, 30, size=11))
    whole = read_codes(tmp_path / "c.tif", grid, grid.window)
    assert count_codes(tmp_path / "c.tif", grid) == Counter(whole.ravel().tolist())


def test_codes_of_a_large_image_are_thinned_out_evenly(tmp_path):
    codes = np.repeat(np.array([1, 1, 1, 2], np.uint8), 25)[None].repeat(40, axis=0)
    write_raster(tmp_path / "c.tif", codes, grid_of(40, 100, size=900))
    counts = count_codes(tmp_path / "c.tif", grid_of(36_000, 90_000), most_px=200)
    assert counts == {1: 30_000, 2: 10_000}


def test_sizes_on_the_ground():
    """A second of arc is about 30.9 m along a meridian; the scale of UTM is within 0.04 %."""
    second = 1 / 3600
    degrees = Grid(CRS.from_epsg(4326), Affine(second, 0, 10, 0, -second, 60), 20, 30)
    down, across = ground_size_m(degrees, "a.tif", center_deg(degrees, "a.tif"))
    assert down == pytest.approx(30.9, rel=0.005)
    assert across == pytest.approx(down / 2, rel=0.001)
    high, wide = ground_size_m(GRID, "a.tif", center_deg(GRID, "a.tif"))
    assert (high, wide) == pytest.approx((1, 1), rel=0.005)
    # in pixels of another system at the same place: Web Mercator is stretched by 1 / cos(latitude)
    mercator = Grid(CRS.from_epsg(3857), Affine(10, 0, 0, 0, -10, 0), 5, 7)
    high, _ = ground_size_m(mercator, "a.tif", (20, 60))
    assert high == pytest.approx(5, rel=0.005)


def test_places_in_degrees():
    east, north = center_deg(GRID, "a.tif")
    assert (east, north) == pytest.approx((-80.6663, 37.4915), abs=1e-3)
    west, south, far_east, far_north = bounds_deg(GRID, "a.tif")
    assert west < east < far_east
    assert south < north < far_north


def test_a_local_system_has_no_place_on_earth():
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    grid = Grid(local, GRID.transform, 6, 9)
    with pytest.raises(RasterError, match=r"Can't read a\.tif"):
        center_deg(grid, "a.tif")
    assert crs_name(local) == "site"
    assert crs_name(UTM) == "EPSG:26917"
