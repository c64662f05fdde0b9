"""Geometries on a grid: widened in metres on the ground, burnt by pixel centres."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.warp import transform

from mapsr.geo.grids import Grid
from mapsr.geo.projections import epsg
from mapsr.geo.windows import Window

_BLOCK_PX = 512
"""Side of the blocks that are burnt at once. GDAL rounds coordinates by the origin of what it
burns, so that only blocks of a fixed place make a pixel the same in every window."""

Geometries = NDArray[Any]
"""Shapely geometries, object (N,)."""


def on_grid(
    geometries: Geometries, source: CRS, grid: Grid, buffer_m: float
) -> tuple[Geometries, int]:
    """Widen geometries by metres on the ground and carry them to the CRS of a grid.

    They are widened in the grid's CRS where its unit is the metre and its scale true, else in the
    zone of UTM that each lies in: 1.5 m would be 0.95 m in web Mercator at 51 degrees, and nothing
    of the kind in degrees.

    Args:
        geometries: (N,) in the CRS ``source``.
        source: their CRS.
        grid: the master grid.
        buffer_m: metres on each side, with round ends; 0 leaves them as they are.

    Returns:
        Those that can be projected; and how many can't, as an area that spans half the globe.
    """
    if not buffer_m or true_metres(grid.crs):
        placed = project(geometries, source, grid.crs)
        widened = shapely.buffer(placed, buffer_m) if buffer_m else placed
    else:
        widened = np.full(len(geometries), None, object)
        zones = utm_zones(geometries, source)
        for zone in set(zones.tolist()):
            some, metres = zones == zone, epsg(int(zone))
            local = shapely.buffer(project(geometries[some], source, metres), buffer_m)
            widened[some] = project(local, metres, grid.crs)
    good = [index for index, one in enumerate(widened) if one is not None and not one.is_empty]
    return widened[good], len(widened) - len(good)


def burn(geometries: Geometries, grid: Grid, window: Window) -> NDArray[np.bool_]:
    """Return which pixels of a window have their centre inside some geometry.

    The result for a pixel does not depend on the window that it is burnt in.

    Args:
        geometries: (N,) areas in the CRS of the grid.
        grid: the master grid.
        window: pixels (H, W) of the grid.

    Returns:
        bool (H, W).
    """
    mask = np.zeros((window.height, window.width), bool)
    boxes = shapely.bounds(geometries)  # (N, 4)
    for block in _blocks(whole_blocks(window)):
        part = block.intersect(window)
        target = grid.crop(block)
        left, bottom, right, top = target.bounds
        near = (boxes[:, 0] <= right) & (boxes[:, 2] >= left)
        near &= (boxes[:, 1] <= top) & (boxes[:, 3] >= bottom)
        if part is None or not near.any():
            continue
        size = block.height, block.width
        burnt = rasterize(geometries[near], size, transform=target.transform, dtype="uint8")
        mask[part.relative_to(window).slices] = burnt[part.relative_to(block).slices] > 0
    return mask


def true_metres(crs: CRS) -> bool:
    """Whether a metre of a CRS is about one on the ground: not so in Mercator's projection."""
    if not crs.is_projected or crs.linear_units_factor[1] != 1.0:
        return False
    return 'PROJECTION["Mercator' not in crs.to_wkt()


def utm_zones(geometries: Geometries, crs: CRS) -> NDArray[np.int64]:
    """EPSG code of the UTM zone in which the middle of each geometry lies."""
    left, bottom, right, top = shapely.bounds(geometries).T
    east, north = transform(crs, epsg(4326), (left + right) / 2, (bottom + top) / 2)
    zones = np.floor((np.asarray(east) + 180) / 6).clip(0, 59).astype(np.int64) + 1
    codes: NDArray[np.int64] = zones + np.where(np.asarray(north) >= 0, 32600, 32700)
    return codes


def whole_blocks(window: Window) -> Window:
    """The blocks that a window meets, as one window."""
    row, col = window.row // _BLOCK_PX * _BLOCK_PX, window.col // _BLOCK_PX * _BLOCK_PX
    down, right = window.row + window.height - row, window.col + window.width - col
    height, width = (-(-side // _BLOCK_PX) * _BLOCK_PX for side in (down, right))
    return Window(row, col, height, width)


def project(geometries: Geometries, source: CRS, target: CRS) -> Geometries:
    """Carry geometries (N,) to another CRS; None where that is not defined."""
    if source == target:
        return geometries

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = transform(source, target, points[:, 0], points[:, 1])
        return np.column_stack((x, y))

    moved = np.array(shapely.transform(geometries, move), object)
    coordinates, owner = shapely.get_coordinates(moved, return_index=True)
    moved[owner[~np.isfinite(coordinates).all(axis=1)]] = None
    return moved


def _blocks(whole: Window) -> Iterator[Window]:
    for row in range(whole.row, whole.row + whole.height, _BLOCK_PX):
        for col in range(whole.col, whole.col + whole.width, _BLOCK_PX):
            yield Window(row, col, _BLOCK_PX, _BLOCK_PX)
