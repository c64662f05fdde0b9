"""Areas of pixels on the ground, and which pixels lie in a polygon."""

import math

import numpy as np
import pytest
import shapely
from affine import Affine
from make_vectors import write_vectors
from rasterio.crs import CRS

from mapsr.errors import RasterError
from mapsr.geo import Grid, Window
from mapsr.geo.ground import pixel_areas
from mapsr.geo.zones import open_zones, require_column, zone_parts

EARTH_M2 = 510.0656217240886e12  # surface of the ellipsoid of WGS 84, from its closed form
UTM = Grid(CRS.from_epsg(26917), Affine(10, 0, 529000, 0, -10, 4149000), 70, 110)


def whole(epsg, transform, height, width):
    grid = Grid(CRS.from_epsg(epsg), transform, height, width)
    return grid, pixel_areas(grid, grid.window)


@pytest.mark.parametrize("west", [-180.0, 179.9, 0.0])
def test_pixels_of_the_globe_add_up_to_the_ellipsoid(west):
    _, areas = whole(4326, Affine(0.5, 0, west, 0, -0.5, 90), 360, 720)
    assert areas.sum() == pytest.approx(EARTH_M2, rel=1e-9)


def test_an_equal_area_projection_gives_the_size_of_its_pixels():
    _, areas = whole(5070, Affine(30, 0, 1_500_000, 0, -30, 1_900_000), 70, 110)
    assert areas == pytest.approx(np.full((70, 110), 900.0), rel=1e-8)


def test_a_zone_of_utm_is_true_to_a_thousandth_and_not_more():
    _, areas = whole(26917, UTM.transform, 70, 110)
    # scale 0.9996 in the middle of the zone, so that a metre of the map is more on the ground
    assert areas == pytest.approx(np.full((70, 110), 100 / 0.9996**2), rel=3e-5)
    assert abs(areas.mean() / 100 - 1) > 5e-4


def test_mercator_s_pixels_shrink_with_the_square_of_the_cosine():
    grid, areas = whole(3857, Affine(100, 0, -8_500_000, 0, -100, 6_600_000), 3, 5)
    y = grid.transform.f / 6378137.0
    latitude = math.atan(math.sinh(y))
    assert areas[0, 0] == pytest.approx(100**2 * math.cos(latitude) ** 2, rel=1e-2)


@pytest.mark.parametrize("epsg", [26917, 4326])
def test_a_window_gives_what_the_whole_gives_there(epsg):
    place = UTM.transform if epsg == 26917 else Affine(0.01, 0, -80, 0, -0.02, 60)
    grid = Grid(CRS.from_epsg(epsg), place, 170, 210)
    all_of_it, part = pixel_areas(grid, grid.window), Window(90, 120, 61, 43)
    assert pixel_areas(grid, part) == pytest.approx(all_of_it[part.slices], rel=1e-7)


def test_interpolated_areas_are_those_of_measuring_every_pixel():
    grid = Grid(CRS.from_epsg(32633), Affine(30, 0, 300_000, 0, -30, 7_000_000), 300, 200)
    window = Window(30, 20, 150, 130)
    slow = [
        [pixel_areas(grid, Window(30 + row, 20 + col, 1, 1))[0, 0] for col in (0, 40, 77, 129)]
        for row in (0, 33, 149)
    ]
    fast = pixel_areas(grid, window)[np.ix_([0, 33, 149], [0, 40, 77, 129])]
    assert fast == pytest.approx(np.array(slow), rel=1e-6)


def test_a_place_off_the_earth_is_refused():
    with pytest.raises(RasterError, match="not defined all over"):
        whole(26917, Affine(1e7, 0, 5e8, 0, -1e7, 5e8), 3, 4)


@pytest.fixture
def zones(tmp_path):
    """A square of 8 x 12 pixels, a triangle over it in another CRS' file, a line, one far away."""
    x, y = UTM.transform.c, UTM.transform.f
    shapes = [
        shapely.box(x + 100, y - 180, x + 220, y - 100),
        shapely.Polygon([(x, y), (x + 1100, y), (x, y - 700)]),
        shapely.LineString([(x, y), (x + 500, y - 500)]),
        shapely.box(x + 90_000, y, x + 90_100, y + 100),
    ]
    path = write_vectors(
        tmp_path / "zones.gpkg", "parts", "EPSG:26917", shapes, name=["a", "b", "c", None]
    )
    return open_zones(f"{path}|layername=parts")


def test_pixels_of_overlapping_polygons_are_told_for_each(zones):
    parts = {one.tags["name"]: one for one in zone_parts(zones, UTM, UTM.window, ["name"])}
    assert set(parts) == {"a", "b"}
    square = parts["a"]
    assert (square.window, square.inside.sum()) == (Window(10, 10, 8, 12), 96)
    half = parts["b"].inside
    rows, columns = np.indices(half.shape) + 0.5
    below = rows / 70 + columns / 110 - 1
    clear = abs(below) > 1e-9  # a centre on the border is either's
    assert np.array_equal(half[clear], below[clear] < 0)


def test_windows_of_a_grid_add_up_to_each_zone(zones):
    one = {part.zone: part.inside.sum() for part in zone_parts(zones, UTM, UTM.window)}
    sums = dict.fromkeys(one, 0)
    for row in range(0, 70, 32):
        for col in range(0, 110, 27):
            window = Window(row, col, min(32, 70 - row), min(27, 110 - col))
            for part in zone_parts(zones, UTM, window):
                sums[part.zone] += part.inside.sum()
    assert sums == one


def test_a_column_that_is_not_there_is_named(zones):
    with pytest.raises(RasterError, match=r"no column 'nam'.*Did you mean 'name'"):
        require_column(zones, "nam", "name")
