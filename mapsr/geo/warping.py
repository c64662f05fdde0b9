"""Images warped to another grid, each pixel the same whatever the window."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

from mapsr.geo.drivers import FILTERS
from mapsr.geo.grids import Grid
from mapsr.geo.rasters import read_open_image
from mapsr.geo.windows import Window

_BLOCK_PX = 128
"""Side of the blocks that are warped at once: GDAL rounds coordinates by the block's origin, so
that only blocks of a fixed place make a pixel the same in every window."""
_AROUND_PX = 2
"""Pixels of the target read around the place of a block: interpolation looks at neighbours."""

Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""An image (B, H, W) in [0, 1], and where it is valid (H, W)."""


def read_warped(
    dataset: rasterio.DatasetReader,
    path: Path,
    source: Grid,
    onto: Grid,
    window: Window,
    bands: int | None,
    scale: float,
) -> Pixels:
    """Read a window of a grid from an open image that lies on another grid.

    Bilinear, with exact projection; where the image is finer, its pixels are averaged.

    Args:
        dataset: the open image.
        path: its path, for messages.
        source: its grid.
        onto: the grid that ``window`` (H, W) lies in.
        window: the pixels wanted.
        bands: how many leading bands to read; None: all.
        scale: raw value that becomes 1.

    Raises:
        RasterError: the image has too few bands.
    """
    count = dataset.count if bands is None else bands
    image = np.zeros((count, window.height, window.width), np.float32)
    valid = np.zeros((window.height, window.width), bool)
    fineness = _fineness(source, onto)
    for block, common in _blocks(window):
        target = onto.crop(block)
        around = math.ceil(_AROUND_PX / min(fineness))
        bounds = transform_bounds(onto.crs, source.crs, *target.bounds, densify_pts=21)
        seen = window_of(bounds, source, around).intersect(source.window)
        if seen is None:
            continue
        values, good = read_open_image(dataset, path, seen, bands, scale)
        values, good = _warp(values, good, source.crop(seen), target, fineness)
        to, cut = common.relative_to(window).slices, common.relative_to(block).slices
        image[:, to[0], to[1]], valid[to] = values[:, cut[0], cut[1]], good[cut]
    return image, valid


def window_of(bounds: Sequence[float], grid: Grid, around: int = 0) -> Window:
    """The pixels of a grid's plane that bounds touch, and some around them."""
    left, bottom, right, top = bounds
    rows = [(y - grid.transform.f) / grid.transform.e for y in (bottom, top)]
    columns = [(x - grid.transform.c) / grid.transform.a for x in (left, right)]
    row, col = math.floor(min(rows)) - around, math.floor(min(columns)) - around
    end_row, end_col = math.ceil(max(rows)) + around, math.ceil(max(columns)) + around
    return Window(row, col, max(1, end_row - row), max(1, end_col - col))


def _warp(
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    source: Grid,
    target: Grid,
    fineness: tuple[float, float],
) -> Pixels:
    size = target.height, target.width
    with FILTERS:  # rasterio silences a warning meanwhile
        warped, _ = reproject(
            np.where(valid, image, np.float32(np.nan)),
            np.full((len(image), *size), np.nan, np.float32),
            src_transform=source.transform,
            src_crs=source.crs,
            src_nodata=np.nan,
            dst_transform=target.transform,
            dst_crs=target.crs,
            dst_nodata=np.nan,
            resampling=Resampling.bilinear,
            tolerance=0,
            # else GDAL takes them from the sizes of the arrays, and blurs where these are small
            yscale=fineness[0],
            xscale=fineness[1],
        )
    good = np.isfinite(warped).all(axis=0)
    return np.where(good, warped, np.float32(0)), good


def _fineness(source: Grid, onto: Grid) -> tuple[float, float]:
    """Height and width of the source's middle pixel in pixels of the target, at most 1."""
    middle = source.crop(Window(source.height // 2, source.width // 2, 1, 1))
    left, bottom, right, top = transform_bounds(source.crs, onto.crs, *middle.bounds)
    height, width = onto.pixel_size
    return min(1.0, (top - bottom) / height), min(1.0, (right - left) / width)


def _blocks(window: Window) -> Iterator[tuple[Window, Window]]:
    """The blocks that a window meets, and what of the window lies in each."""
    first_row, first_col = window.row // _BLOCK_PX, window.col // _BLOCK_PX
    for row in range(first_row * _BLOCK_PX, window.row + window.height, _BLOCK_PX):
        for col in range(first_col * _BLOCK_PX, window.col + window.width, _BLOCK_PX):
            block = Window(row, col, _BLOCK_PX, _BLOCK_PX)
            if common := block.intersect(window):
                yield block, common
