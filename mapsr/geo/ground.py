"""How large pixels are on the ground, whatever the reference system of their grid."""

import math

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # rasterio lets it through, as in writing.py
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform

from mapsr.errors import RasterError
from mapsr.geo.grids import Grid, crs_name
from mapsr.geo.windows import Window

EQUAL_AREA = "EPSG:6933"
"""Cylindrical equal-area projection of the ellipsoid of WGS 84, in which areas are measured."""
_E2 = 0.0066943799901413165
"""Eccentricity of the ellipsoid of WGS 84, squared."""
_AROUND_M = 2 * math.pi * 6378137.0 * math.cos(math.pi / 6) / math.sqrt(1 - _E2 / 4)
"""Metres around the Earth in that projection, whose true parallel is that of 30 degrees."""
_APART_M = 5_000.0
_APART_PX = 64
"""Pixels are measured so far apart at most, and areas between them interpolated."""


def pixel_areas(grid: Grid, window: Window) -> NDArray[np.float64]:
    """Area on the ground of each pixel of a window, in square metres.

    Pixels are measured on the ellipsoid of WGS 84, through the equal-area projection EPSG:6933: in
    degrees and in Mercator's projection pixels shrink towards the poles, and a square metre of a
    UTM zone is off by up to 0.1 %. In degrees every row is measured; else pixels of a lattice of at
    most 64 pixels or 5 km, with areas interpolated between them (off by less than 1e-6).

    Args:
        grid: of any reference system.
        window: pixels (H, W) of the grid.

    Returns:
        float64 (H, W).

    Raises:
        RasterError: the reference system is not defined all over the window.
    """
    if not (grid.crs.is_geographic or grid.crs.is_projected):
        # a plane of one's own, which has no place on Earth: its unit is taken for a metre
        height, width = grid.pixel_size
        return np.full((window.height, window.width), height * width)
    if grid.crs.is_geographic:
        rows, columns = np.arange(window.height), np.zeros(1, np.int64)
    else:
        rows, columns = _nodes(grid, window, 0), _nodes(grid, window, 1)
    measured = _measured(grid, rows + window.row, columns + window.col)
    areas: NDArray[np.float64] = (
        _hats(rows, window.height) @ measured @ _hats(columns, window.width).T
    )
    return areas


def _nodes(grid: Grid, window: Window, axis: int) -> NDArray[np.int64]:
    """Rows (axis 0) or columns of a window that are measured, its first and last among them."""
    side = (window.height, window.width)[axis]
    size_m = grid.pixel_size[axis] * float(grid.crs.linear_units_factor[1])
    step = int(min(_APART_PX, max(1.0, _APART_M // size_m)))
    return np.unique(np.append(np.arange(0, side, step), side - 1))


def _hats(nodes: NDArray[np.int64], side: int) -> NDArray[np.float64]:
    """Weights (side, nodes) by which values at nodes are interpolated linearly between them."""
    if len(nodes) == side:
        return np.eye(side)
    places = np.arange(side)
    each = np.eye(len(nodes))
    return np.stack([np.interp(places, nodes, one) for one in each], axis=1)


def _measured(
    grid: Grid, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Areas (rows, columns) of single pixels, in square metres."""
    row, column = (one.ravel() for one in np.meshgrid(rows, columns, indexing="ij"))
    down, across = np.array([0, 0, 1, 1])[:, None], np.array([0, 1, 1, 0])[:, None]
    place = grid.transform
    x = place.c + place.a * (column + across)  # (4, N): corners, in turn around the pixel
    y = place.f + place.e * (row + down)
    if grid.crs.is_geographic:  # the pole lies on a border, and rounding must not pass it
        pole = math.pi / 2 / grid.crs.units_factor[1]
        y = y.clip(-pole, pole)
    try:
        moved = transform(grid.crs, CRS.from_string(EQUAL_AREA), x.ravel(), y.ravel())
    except (CRSError, RasterioError, CPLE_BaseError) as error:
        raise RasterError(_undefined(grid)) from error
    east, north = (np.asarray(one, np.float64).reshape(x.shape) for one in moved[:2])
    if not (np.isfinite(east).all() and np.isfinite(north).all()):
        raise RasterError(_undefined(grid))
    # from the first corner, so that no digits are lost; across 180 degrees the short way round
    east, north = east - east[0], north - north[0]
    east -= np.round(east / _AROUND_M) * _AROUND_M
    after = np.roll(east, -1, 0), np.roll(north, -1, 0)
    twice = (east * after[1] - after[0] * north).sum(0)
    areas: NDArray[np.float64] = np.abs(twice).reshape(len(rows), len(columns)) / 2
    return areas


def _undefined(grid: Grid) -> str:
    return (
        f"Can't measure areas in {crs_name(grid.crs)}: it is not defined all over "
        f"{grid.bounds}, expected a place on Earth; check the raster's reference system."
    )
