"""Grids: where on Earth the pixels of a raster lie."""

import math
from dataclasses import dataclass
from pathlib import Path

import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform as warp_points
from rasterio.warp import transform_bounds

from mapsr.errors import RasterError
from mapsr.geo.drivers import reading, shown
from mapsr.geo.opening import open_raster
from mapsr.geo.windows import Window

_STRAIGHT_PX = 1e-3
"""Pixels by which a rotation may move the far corner of a raster and still count as none."""
_OVER_POLE = 0.01
"""Share of a right angle that a raster may reach over a pole: grids of the globe do a little."""
_APART_ULP = 1000
"""How many steps of floating-point numbers a pixel's side is at least, so that pixels lie apart."""
MOST_SIDE_PX = 1 << 26
"""Rows or columns of an image at most: the Earth's circumference at 0.6 m."""
MOST_PX = 1 << 46
"""Pixels of an image at most: all land on Earth at 1.5 m."""


@dataclass(frozen=True)
class Grid:
    """A raster's pixels on Earth: coordinate reference system, transform and size.

    Pixels need not be square. The grid of the image is the master to which labels are warped.
    """

    crs: CRS
    """Coordinate reference system."""
    transform: Affine
    """From (column, row) to coordinates of ``crs``; neither rotated nor sheared."""
    height: int
    """Number of rows."""
    width: int
    """Number of columns."""

    @property
    def window(self) -> Window:
        """The window of the whole grid."""
        return Window(0, 0, self.height, self.width)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Height and width of a pixel, both positive, in units of ``crs``."""
        return abs(self.transform.e), abs(self.transform.a)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least x, least y, greatest x and greatest y in units of ``crs``."""
        x0, y0 = self.transform.c, self.transform.f
        x1, y1 = x0 + self.transform.a * self.width, y0 + self.transform.e * self.height
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    @property
    def turns(self) -> tuple[float, ...]:
        """What to add to longitudes to find the parts of the grid beyond 180 degrees as well."""
        if not self.crs.is_geographic:
            return ()
        turn = 2 * math.pi / self.crs.units_factor[1]
        left, _, right, _ = self.bounds
        return (*([-turn] if right > turn / 2 else []), *([turn] if left < -turn / 2 else []))

    def crop(self, window: Window) -> "Grid":
        """Return the grid of the pixels in ``window``, which may reach over the edge."""
        a, b, x, d, e, y = self.transform[:6]
        transform = Affine(a, b, x + a * window.col, d, e, y + e * window.row)
        return Grid(self.crs, transform, window.height, window.width)


def cell_spans(path: Path, grid: Grid) -> tuple[float, float]:
    """Say how many rows and columns of a grid a pixel of another raster spans, at the centre.

    Args:
        path: a raster of any CRS and resolution.
        grid: whose pixels are counted.

    Raises:
        RasterError: the raster can't be read, or has no place.
    """
    other = read_grid(path)
    (left, top, right, bottom) = grid.bounds
    x, y = _carried(grid.crs, other.crs, [(left + right) / 2], [(top + bottom) / 2])
    column, row = ~other.transform @ (x[0], y[0])
    steps = [(column + a, row + d) for a, d in ((-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5))]
    corners = [other.transform @ step for step in steps]
    xs, ys = _carried(other.crs, grid.crs, [one[0] for one in corners], [one[1] for one in corners])
    west, east, north, south = (~grid.transform @ point for point in zip(xs, ys, strict=True))
    # where the axes are turned against the grid's, the lengths of the sides count
    return math.dist(north, south), math.dist(west, east)


def _carried(
    one: CRS, other: CRS, xs: list[float], ys: list[float]
) -> tuple[list[float], list[float]]:
    if one == other:
        return xs, ys
    carried = warp_points(one, other, xs, ys)
    return carried[0], carried[1]


def crs_name(crs: CRS) -> str:
    """A reference system in a word: its EPSG code, else the name in its definition."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.wkt.split('"')[1])


def grid_of(dataset: rasterio.DatasetReader, path: Path) -> Grid:
    """Return the grid of an open raster.

    Args:
        dataset: a raster opened by ``open_raster``.
        path: its path, for the message.

    Returns:
        The grid; a rotation that moves no pixel of the raster by a thousandth is left out.

    Raises:
        RasterError: the raster has no place: no transform, or only ground control points or
            rational polynomials; or its pixels are too small for where they lie, or
            lie beyond a pole.
        RasterError: it has no CRS, or its pixels are rotated or sheared.
    """
    transform = dataset.transform
    if transform == Affine.identity():
        raise RasterError(_without_place(dataset, path))
    if dataset.crs is None:
        raise RasterError(
            f"{shown(path)} has no coordinate reference system, expected one; "
            "set it with gdal_edit.py -a_srs EPSG:CODE."
        )
    if not (transform.a and transform.e and all(map(math.isfinite, transform[:6]))):
        raise RasterError(
            f"{shown(path)} has pixels of {transform.a:g} x {transform.e:g} units at "
            f"({transform.c:g}, {transform.f:g}), expected a size; set the place with "
            "gdal_edit.py -a_ullr."
        )
    moved = max(
        abs(transform.b * dataset.height / transform.a),
        abs(transform.d * dataset.width / transform.e),
    )
    if moved > _STRAIGHT_PX:
        raise RasterError(
            f"{shown(path)} has rotated or sheared pixels ({transform.b:g}, {transform.d:g} in its "
            "transform), expected rows along the x axis; warp it first with gdalwarp."
        )
    straight = Affine(transform.a, 0.0, transform.c, 0.0, transform.e, transform.f)
    grid = Grid(dataset.crs, straight, dataset.height, dataset.width)
    _require_place(grid, path)
    return grid


def _require_place(grid: Grid, path: Path) -> None:
    """Raise RasterError where pixels are too small for where they lie, or lie beyond a pole."""
    left, bottom, right, top = map(abs, grid.bounds)
    ends = (grid.transform.a, max(left, right)), (grid.transform.e, max(bottom, top))
    if not all(end < math.inf and abs(size) > _APART_ULP * math.ulp(end) for size, end in ends):
        raise RasterError(
            f"{shown(path)} has pixels of {grid.transform.a:g} x {grid.transform.e:g} units at "
            f"({grid.transform.c:g}, {grid.transform.f:g}), which numbers can't tell apart there; "
            "set the place with gdal_edit.py -a_ullr."
        )
    if grid.crs.is_geographic:
        pole = math.pi / 2 / grid.crs.units_factor[1]
        if max(bottom, top) - pole > max(_OVER_POLE * pole, abs(grid.transform.e)):
            raise RasterError(
                f"{shown(path)} reaches to latitudes of {grid.bounds[1]:g} and {grid.bounds[3]:g} "
                f"in {crs_name(grid.crs)}, expected {-pole:g} to {pole:g}: set the reference "
                "system that its coordinates are in, with gdal_edit.py -a_srs EPSG:CODE."
            )


def _without_place(dataset: rasterio.DatasetReader, path: Path) -> str:
    """Say what a raster without a transform lacks, and what helps."""
    name, points = shown(path), len(dataset.gcps[0])
    if points or dataset.rpcs:
        got = f"{points} ground control points" if points else "rational polynomials (RPCs)"
        option = "-tps" if points else "-rpc"
        return (
            f"{name} has only {got}, expected a transform from pixels to coordinates: warp it "
            f"first, with gdalwarp {option} {path.name} warped.tif."
        )
    return (
        f"{name} has no transform from pixels to coordinates, so that nobody knows where it lies: "
        "set its bounds with gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM (and -a_srs EPSG:CODE)."
    )


def require_size(grid: Grid, path: Path) -> None:
    """Check that an image is not larger than any that there is.

    Raises:
        RasterError: it is; so a typing error in a VRT does not plan work for years.
    """
    if max(grid.height, grid.width) > MOST_SIDE_PX or grid.height * grid.width > MOST_PX:
        raise RasterError(
            f"{shown(path)} has {grid.height} x {grid.width} pixels, expected at most "
            f"{MOST_SIDE_PX} along a side and {MOST_PX:.0e} in all; check its size, and cut it "
            "with gdal_translate -projwin if it is right."
        )


def read_grid(path: Path) -> Grid:
    """Return the grid of a raster.

    Raises:
        RasterError: the file can't be read, has no place or CRS, its pixels are rotated or
            sheared, or there are more of them than in any image.
    """
    with open_raster(path) as dataset:
        grid = grid_of(dataset, path)
    require_size(grid, path)
    return grid


def overlap(path: Path, grid: Grid) -> float:
    """Return the share of the grid's extent that a raster's extent covers.

    The share is taken between bounding boxes in the raster's CRS, so that a product of a whole
    continent or globe needs no projection far out of the zone of ``grid``.

    Args:
        path: a raster of any CRS, resolution and extent; in degrees, it may count longitudes from
            any meridian and reach across 180 degrees.
        grid: the grid to be covered.

    Returns:
        0 (they do not meet) to 1 (the raster covers the grid).

    Raises:
        RasterError: the raster can't be read, has no CRS, is rotated, or its CRS is not defined
            where the grid lies.
    """
    with open_raster(path) as dataset:
        raster = grid_of(dataset, path)
    with reading(path):
        bounds = transform_bounds(grid.crs, raster.crs, *grid.bounds)
    if not all(map(math.isfinite, bounds)):
        raise RasterError(
            f"{shown(path)} has the reference system {raster.crs}, which is not defined all over "
            f"the image's extent {grid.bounds} in {grid.crs}; check the reference systems of both."
        )
    return shared(raster, bounds)


def shared(raster: Grid, bounds: tuple[float, float, float, float]) -> float:
    """Return the share of bounds that a raster's extent covers, 0 to 1.

    Args:
        raster: in degrees, it may count longitudes from any meridian and reach across 180 degrees.
        bounds: left, bottom, right and top in the raster's CRS; left > right across 180 degrees.
    """
    left, bottom, right, top = bounds
    west, south, east, north = raster.bounds
    turn = 2 * math.pi / raster.crs.units_factor[1] if raster.crs.is_geographic else 0.0
    if right < left:  # across 180 degrees
        right += turn
    across = sum(
        max(0.0, min(right, east + shift) - max(left, west + shift))
        for shift in sorted({-turn, 0.0, turn})
    )
    down = max(0.0, min(top, north) - max(bottom, south))
    return float(min(1.0, across * down / ((right - left) * (top - bottom))))
