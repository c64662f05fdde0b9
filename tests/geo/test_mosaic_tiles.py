"""Which of several rasters of one product a window needs, and what they hold there."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from mapsr.geo import Grid, Window, read_codes, write_raster
from mapsr.geo.mosaic_tiles import open_tiles, read_tiles, tiles_in

DEGREES = CRS.from_epsg(4326)
SIZE = 8, 12


def tile(folder, name, west, codes):
    """A tile of 12 x 8 hundredths of a degree, its upper left corner at (west, 10)."""
    path = folder / f"{name}.tif"
    grid = Grid(DEGREES, Affine(0.01, 0, west, 0, -0.01, 10), *SIZE)
    write_raster(path, np.asarray(codes, np.uint8), grid, nodata=0)
    return path


def test_the_first_that_has_a_code_counts(tmp_path):
    left = np.full(SIZE, 1)
    left[:4] = 0
    paths = [tile(tmp_path, "a", 20, left), tile(tmp_path, "b", 20, np.full(SIZE, 2))]
    grid = Grid(DEGREES, Affine(0.01, 0, 20, 0, -0.01, 10), *SIZE)
    codes = read_tiles(open_tiles(paths), grid, grid.window)
    assert (codes[:4] == 2).all() and (codes[4:] == 1).all()
    codes = read_tiles(open_tiles(paths), grid, grid.window, frozenset({1}))
    assert (codes == 2).all()


def test_only_those_that_a_window_meets_are_read(tmp_path):
    paths = [tile(tmp_path, name, west, np.ones(SIZE)) for name, west in (("a", 20), ("b", 20.12))]
    grid = Grid(DEGREES, Affine(0.01, 0, 20, 0, -0.01, 10), SIZE[0], 24)
    tiles = open_tiles(paths)
    assert tiles_in(tiles, grid, Window(0, 0, 8, 12)) == paths[:1]
    assert tiles_in(tiles, grid, Window(0, 10, 8, 4)) == paths
    assert tiles_in(tiles, grid, Window(0, 13, 8, 5)) == paths[1:]


@pytest.mark.parametrize("west", [-80.0, 280.0])
def test_a_product_that_counts_from_0_to_360_is_found_where_it_is(tmp_path, west):
    # its tiles were passed over as if they lay elsewhere
    path = tile(tmp_path, "a", west, np.full(SIZE, 7))
    grid = Grid(DEGREES, Affine(0.01, 0, -80, 0, -0.01, 10), *SIZE)
    tiles = open_tiles([path])
    assert tiles_in(tiles, grid, grid.window) == [path]
    codes = read_tiles(tiles, grid, grid.window)
    assert (codes == read_codes(path, grid, grid.window)).all() and (codes == 7).all()
