"""Rasters of one product that lie side by side: which of them a window needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform_bounds

from mapsr.geo.drivers import reading
from mapsr.geo.grids import Grid, read_grid, shared
from mapsr.geo.rasters import read_codes
from mapsr.geo.windows import Window
from mapsr.legends import MASKED


@dataclass(frozen=True)
class Tiles:
    """Label rasters and where each lies."""

    paths: tuple[Path, ...]
    """Files of any CRS, resolution and extent."""
    grids: tuple[Grid, ...]
    """Of each file."""


def open_tiles(paths: Sequence[Path]) -> Tiles:
    """Read where label rasters lie.

    Raises:
        RasterError: one can't be read, has no CRS, or is rotated.
    """
    return Tiles(tuple(paths), tuple(read_grid(path) for path in paths))


def tiles_in(tiles: Tiles, grid: Grid, window: Window) -> list[Path]:
    """Return the rasters whose extent meets a window of a grid, in their order.

    Raises:
        RasterError: the window can't be projected to the CRS of a raster.
    """
    bounds = grid.crop(window).bounds
    found, seen = [], {}
    for path, tile in zip(tiles.paths, tiles.grids, strict=True):
        if tile.crs not in seen:
            with reading(path):
                seen[tile.crs] = transform_bounds(grid.crs, tile.crs, *bounds, densify_pts=21)
        if shared(tile, seen[tile.crs]) > 0:
            found.append(path)
    return found


def read_tiles(
    tiles: Tiles, grid: Grid, window: Window, nodata: frozenset[int] = frozenset()
) -> NDArray[np.int32]:
    """Read codes as ``read_codes`` does; where several rasters have one, the first counts.

    Args:
        tiles: of one product.
        grid: the master grid.
        window: pixels (H, W) of the grid.
        nodata: codes that mean "nothing here", besides what the files declare.

    Returns:
        int32 (H, W); -1 where no raster has a code.

    Raises:
        RasterError: see ``read_codes``.
    """
    codes = np.full((window.height, window.width), MASKED, np.int32)
    for path in tiles_in(tiles, grid, window):
        empty = codes == MASKED
        if not empty.any():
            break
        more = read_codes(path, grid, window)
        more[np.isin(more, list(nodata))] = MASKED
        codes[empty] = more[empty]
    return codes
