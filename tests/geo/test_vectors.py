"""Vector files by window: formats, reference systems, buffers, broken geometries."""

import math

import numpy as np
import pytest
import shapely
from affine import Affine
from make_vectors import write_vectors
from rasterio.crs import CRS
from rasterio.warp import transform
from shapely import LineString, Point, Polygon, box

from mapsr.errors import RasterError
from mapsr.geo import Grid, Window
from mapsr.geo.burning import burn, on_grid
from mapsr.geo.vectors import open_layer, read_features, touches

UTM = CRS.from_epsg(25832)
X, Y = 346000.0, 5648000.0
GRID = Grid(UTM, Affine(0.5, 0, X, 0, -0.5, Y), 60, 90)  # 30 m high, 45 m wide


def moved(geometries: list, epsg: int) -> list:
    """Geometries of GRID's CRS in another one."""

    def move(points):
        return np.column_stack(transform(UTM, CRS.from_epsg(epsg), points[:, 0], points[:, 1]))

    return list(shapely.transform(np.array(geometries, object), move))


def mask_of(layer, grid: Grid, window: Window, buffer_m: float = 0.0) -> np.ndarray:
    found = read_features(layer, grid, window, [], buffer_m)
    return burn(on_grid(found.geometries, layer.crs, grid, buffer_m)[0], grid, window)


def random_shapes(number: int) -> list:
    generator = np.random.default_rng(7)
    shapes = []
    for x, y, angle in generator.uniform((0, -30, 0), (45, 0, 3), (number, 3)):
        corner = Point(X + x, Y + y)
        if angle < 1:
            shapes.append(box(X + x, Y + y, X + x + 3 * angle + 1, Y + y + 2))
        elif angle < 2:
            shapes.append(corner.buffer(angle))
        else:
            end = (corner.x + 9 * math.cos(9 * angle), corner.y + 9 * math.sin(9 * angle))
            shapes.append(LineString([corner, end]))
    return shapes


def test_pixels_by_their_centre_by_hand(tmp_path):
    """From 0.2 to 1.3 m there are the centres 0.25, 0.75 and 1.25; a hole stays open."""
    area = box(X + 0.2, Y - 1.3, X + 1.3, Y - 0.2)
    holed = Polygon(
        box(X + 5, Y - 8, X + 8, Y - 5).exterior, [box(X + 6, Y - 7, X + 7, Y - 6).exterior]
    )
    path = write_vectors(tmp_path / "a.gpkg", "areas", "EPSG:25832", [area, holed])
    mask = mask_of(open_layer(path, "areas"), GRID, GRID.window)
    want = np.zeros((60, 90), bool)
    want[0:3, 0:3] = True
    want[10:16, 10:16] = True
    want[12:14, 12:14] = False
    assert mask.dtype == bool
    assert (mask == want).all()


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "geojson", "shp"])
def test_every_format_gives_the_same_pixels(tmp_path, suffix):
    shapes = [one for one in random_shapes(40) if one.geom_type == "Polygon"]
    wanted = write_vectors(tmp_path / "first.gpkg", "a", "EPSG:25832", shapes)
    want = mask_of(open_layer(wanted, None), GRID, GRID.window)
    path = tmp_path / f"other.{suffix}"
    if suffix == "geojson":  # in degrees by its standard
        write_vectors(path, "other", "EPSG:4326", moved(shapes, 4326), kind=["x"] * len(shapes))
    else:
        write_vectors(path, "other", "EPSG:25832", shapes, kind=["x"] * len(shapes))
    layer = open_layer(path, "other", tmp_path / "cache")
    assert (layer.copy == path) == (suffix in ("gpkg", "fgb"))
    assert layer.columns == ("kind",) or suffix == "shp"
    found = mask_of(layer, GRID, GRID.window)
    # GeoJSON keeps seven decimals of a degree, a centimetre
    assert (found != want).sum() <= (20 if suffix == "geojson" else 0)
    assert want.mean() > 0.05


def test_converted_copy_is_made_once_and_again_after_a_change(tmp_path):
    path = write_vectors(tmp_path / "a.geojson", "a", "EPSG:4326", moved(random_shapes(5), 4326))
    cache = tmp_path / "cache"
    first = open_layer(path, None, cache)
    stamp = first.copy.stat().st_mtime_ns
    assert open_layer(path, None, cache).copy.stat().st_mtime_ns == stamp
    path.unlink()
    write_vectors(path, "a", "EPSG:4326", moved(random_shapes(6), 4326))
    second = open_layer(path, None, cache)
    assert second.copy != first.copy
    assert len(read_features(second, GRID, GRID.window, [], 0).geometries) == 6


GRIDS = {
    25832: GRID,
    4326: Grid(CRS.from_epsg(4326), Affine(7e-6, 0, 6.80697, 0, -4.5e-6, 50.96320), 60, 90),
    3857: Grid(CRS.from_epsg(3857), Affine(0.8, 0, 757750, 0, -0.8, 6614730), 60, 90),
}


@pytest.mark.parametrize("epsg", [25832, 4326, 3857])
@pytest.mark.parametrize("onto", GRIDS)
def test_sixteen_windows_equal_the_whole(tmp_path, epsg, onto):
    """Whatever the reference systems of features and image, with a buffer."""
    grid = GRIDS[onto]
    path = write_vectors(tmp_path / "a.gpkg", "a", f"EPSG:{epsg}", moved(random_shapes(80), epsg))
    layer = open_layer(path, None)
    whole = mask_of(layer, grid, grid.window, 1.5)
    parts = np.zeros_like(whole)
    for row in range(0, 60, 15):
        for col in range(0, 90, 23):
            window = Window(row, col, 15, min(23, 90 - col))
            parts[window.slices] = mask_of(layer, grid, window, 1.5)
    assert (parts == whole).all()
    assert 0.2 < whole.mean() < 0.95


def test_windows_across_the_blocks_equal_the_whole(tmp_path):
    """Areas whose edges lie on centres of pixels, where rounding decides.

    Burnt by window, GDAL gives thousands of these pixels another value than as a whole.
    """
    grid = Grid(UTM, Affine(1 / 3, 0, X + 0.123, 0, -1 / 3, Y - 0.456), 700, 1100)
    edges = [
        grid.transform @ (col + 0.5, row + 0.5)
        for row in range(3, 700, 40)
        for col in range(5, 1100, 40)
    ]
    shapes = [box(x, y - 4.0, x + 7.0, y) for x, y in edges]
    path = write_vectors(tmp_path / "a.gpkg", "a", "EPSG:25832", shapes)
    layer = open_layer(path, None)
    whole = mask_of(layer, grid, grid.window)
    rows, cols = range(0, 700, 175), range(0, 1100, 275)
    for window in (Window(row, col, 175, 275) for row in rows for col in cols):
        assert (mask_of(layer, grid, window) == whole[window.slices]).all()
    assert whole[:512, :512].any()
    assert whole[512:, 512:].any()


def test_against_a_slow_reference_pixel_by_pixel(tmp_path):
    shapes = random_shapes(30)
    path = write_vectors(tmp_path / "a.gpkg", "a", "EPSG:25832", shapes)
    mask = mask_of(open_layer(path, None), GRID, GRID.window, 0.9)
    wide = [one.buffer(0.9) for one in shapes]
    for row, col in np.ndindex(60, 90):
        centre = Point(X + (col + 0.5) / 2, Y - (row + 0.5) / 2)
        # GDAL rounds: it may miss an edge by a thousandth of a pixel
        if min(one.boundary.distance(centre) for one in wide) > 0.001:
            assert mask[row, col] == any(one.contains(centre) for one in wide)


@pytest.mark.parametrize("epsg", [25832, 3857, 4326, 2263, 3035])
def test_buffer_is_metres_on_the_ground_whatever_the_grid(tmp_path, epsg):
    """A road of 20 m and 1.5 m on each side covers 60 square metres and its round ends.

    In web Mercator's own metres it would be 38, in degrees nothing of the kind.
    """
    place = (985000.0, 200000.0) if epsg == 2263 else (X + 20, Y - 15)
    home = CRS.from_epsg(2263) if epsg == 2263 else UTM
    length = 20 / 0.3048006096 if epsg == 2263 else 20
    ends = [place, (place[0] + length, place[1])]
    xs, ys = transform(home, CRS.from_epsg(4326), *zip(*ends, strict=True))
    line = LineString(zip(xs, ys, strict=True))
    path = write_vectors(tmp_path / "a.gpkg", "a", "EPSG:4326", [line])
    crs = CRS.from_epsg(epsg)
    grid = Grid(crs, Affine(1, 0, 0, 0, -1, 0), 9, 9)
    layer = open_layer(path, "a")
    (wide,), lost = on_grid(np.array([line], object), layer.crs, grid, 1.5)
    metres = CRS.from_epsg(32618 if epsg == 2263 else 32632)

    def move(points):
        return np.column_stack(transform(crs, metres, points[:, 0], points[:, 1]))

    area = shapely.transform(wide, move).area
    assert lost == 0
    assert area == pytest.approx(20 * 3 + math.pi * 1.5**2, rel=0.004)


def test_features_far_away_are_not_read(tmp_path):
    near = LineString([(X - 1.4, Y - 5), (X - 1.4, Y - 9)])  # reaches in by its width alone
    far = box(X + 4000, Y, X + 4010, Y + 9)
    path = write_vectors(tmp_path / "a.gpkg", "a", "EPSG:25832", [near, far], kind=["a", "b"])
    layer = open_layer(path, None)
    found = read_features(layer, GRID, Window(0, 0, 30, 20), ["kind"], 2.0)
    assert found.tags["kind"].tolist() == ["a"]
    assert found.flat.tolist() == [True]
    assert mask_of(layer, GRID, Window(0, 0, 30, 20), 2.0).sum() > 5


def test_touches_by_the_extent_of_the_features(tmp_path):
    path = write_vectors(
        tmp_path / "a.gpkg", "a", "EPSG:4326", moved([box(X + 5, Y - 9, X + 9, Y - 5)], 4326)
    )
    layer = open_layer(path, None)
    assert touches(layer, GRID, Window(10, 10, 5, 5))
    assert not touches(layer, GRID, Window(40, 60, 5, 5))
    empty = write_vectors(tmp_path / "b.gpkg", "b", "EPSG:4326", [])
    assert not touches(open_layer(empty, None), GRID, GRID.window)


def test_broken_geometries_are_repaired_or_skipped_and_counted(tmp_path):
    bow = Polygon([(X, Y), (X + 10, Y - 10), (X + 10, Y), (X, Y - 10)])
    line = Polygon([(X, Y), (X + 5, Y - 5), (X, Y), (X, Y)])  # no area
    nowhere = Point(math.nan, 3.0)
    shapes = [bow, line, nowhere, None, box(X + 20, Y - 9, X + 30, Y)]
    path = write_vectors(tmp_path / "a.fgb", "a", "EPSG:25832", [one for one in shapes if one])
    path = write_vectors(tmp_path / "a.gpkg", "a", "EPSG:25832", shapes)
    found = read_features(open_layer(path, None), GRID, GRID.window, [], 0.0)
    assert (found.repaired, found.skipped) == (1, 1)
    assert sorted(one.area for one in found.geometries) == pytest.approx([50, 90])


def test_numbers_are_text_without_a_point(tmp_path):
    path = tmp_path / "a.geojson"
    square = '{"type": "Polygon", "coordinates": [[[6, 50], [8, 50], [7, 52], [6, 50]]]}'
    rows = ['"lanes": 2, "name": "a"', '"lanes": null, "name": null', '"lanes": 3, "name": "c"']
    features = ", ".join(
        f'{{"type": "Feature", "properties": {{{row}}}, "geometry": {square}}}' for row in rows
    )
    path.write_text(f'{{"type": "FeatureCollection", "features": [{features}]}}')
    layer = open_layer(path, None, tmp_path / "cache")
    tags = read_features(layer, GRID, GRID.window, ["name", "lanes"], 0.0).tags
    assert tags["lanes"].tolist() == ["2", None, "3"]
    assert tags["name"].tolist() == ["a", None, "c"]


def test_file_that_is_missing_or_no_vector_file_is_refused(tmp_path):
    with pytest.raises(RasterError, match=r"a\.gpkg: there is no such file"):
        open_layer(tmp_path / "a.gpkg", None)
    (tmp_path / "b.gpkg").write_text("nothing")
    with pytest.raises(RasterError, match=r"b\.gpkg: .*expected a whole vector file"):
        open_layer(tmp_path / "b.gpkg", None)


def test_layer_that_is_not_there_or_not_named_is_refused(tmp_path):
    path = write_vectors(tmp_path / "a.gpkg", "lines", "EPSG:25832", random_shapes(2))
    write_vectors(path, "polygons", "EPSG:25832", random_shapes(2), append=True)
    with pytest.raises(RasterError, match=r"no layer 'line', .* Did you mean 'lines'"):
        open_layer(path, "line")
    with pytest.raises(RasterError, match="has the layers lines, polygons, expected one"):
        open_layer(path, None)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_file_without_reference_system_is_refused(tmp_path):
    for suffix in ("fgb", "shp"):
        path = write_vectors(tmp_path / f"a.{suffix}", "a", None, [box(0, 0, 1, 1)], kind=["x"])
        with pytest.raises(RasterError, match=r"a\.\w+ has no coordinate reference system.*a_srs"):
            open_layer(path, None, tmp_path / "cache")
