"""Rasters of any size thinned out to what a screen shows, from overviews where there are some."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import transform, transform_bounds

from mapsr.geo.drivers import reading
from mapsr.geo.grids import Grid
from mapsr.geo.opening import open_raster
from mapsr.geo.rasters import read_raw
from mapsr.geo.readers import ImageInfo
from mapsr.geo.warping import Pixels, window_of
from mapsr.geo.windows import Window


def thinned(grid: Grid, most_px: int) -> Grid:
    """Return a grid of the same extent whose longer side has at most so many pixels.

    Args:
        grid: of any size; one that is small enough comes back as it is.
        most_px: pixels along the longer side, at least 1.
    """
    factor = max(grid.height, grid.width) / most_px
    if factor <= 1:
        return grid
    height, width = max(1, round(grid.height / factor)), max(1, round(grid.width / factor))
    stretch = Affine.scale(grid.width / width, grid.height / height)
    return Grid(grid.crs, grid.transform @ stretch, height, width)


def read_thinned(path: Path, size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return all bands of a raster thinned out by nearest pixels, and where they are valid.

    Args:
        path: the raster.
        size: (h, w) wanted.

    Returns:
        Values (bands, h, w), and bool (h, w); see ``read_image``.

    Raises:
        RasterError: the file can't be read.
    """
    with open_raster(path) as dataset:
        return read_raw(dataset, path, Window(0, 0, dataset.height, dataset.width), None, size)


def draw_images(infos: Sequence[ImageInfo], grid: Grid, bands: int, scale: float) -> Pixels:
    """Draw images onto a coarser grid, each pixel from the nearest one of the first image there.

    Args:
        infos: of images of any reference system; of several at a place the first counts.
        grid: (H, W) to draw on.
        bands: how many leading bands.
        scale: raw value that becomes 1.

    Returns:
        float32 (bands, H, W) in [0, 1], and where an image is valid, bool (H, W).

    Raises:
        RasterError: a file can't be read, or has too few bands.
    """
    image = np.zeros((bands, grid.height, grid.width), np.float32)
    valid = np.zeros((grid.height, grid.width), bool)
    for info in infos:
        with reading(info.path):
            bounds = transform_bounds(info.grid.crs, grid.crs, *info.grid.bounds, densify_pts=21)
        place = window_of(bounds, grid).intersect(grid.window)
        if place is None:
            continue
        values, good = _drawn(info, grid.crop(place), bands)
        rows, columns = place.slices
        new = good & ~valid[rows, columns]
        scaled = (values / np.float32(scale)).clip(0, 1)
        image[:, rows, columns][:, new] = scaled[:, new]
        valid[rows, columns] |= new
    return image, valid


def _drawn(info: ImageInfo, onto: Grid, bands: int) -> Pixels:
    """Raw values of an image at the middle of each pixel of a grid, and where there are some."""
    own = info.grid
    spans = [one / other for one, other in zip(onto.pixel_size, own.pixel_size, strict=True)]
    if own.crs != onto.crs:  # units may differ; as many pixels as there are to be drawn will do
        spans = [own.height / onto.height, own.width / onto.width]
    size = (
        max(1, ceil(own.height / max(1.0, spans[0]))),
        max(1, ceil(own.width / max(1.0, spans[1]))),
    )
    with open_raster(info.path) as dataset:
        raw, good = read_raw(dataset, info.path, own.window, bands, size)
    row, col = _places(onto, own)
    inside = (row >= 0) & (row < own.height) & (col >= 0) & (col < own.width)
    near = (
        np.where(inside, row * size[0] / own.height, 0).astype(np.int64).clip(0, size[0] - 1),
        np.where(inside, col * size[1] / own.width, 0).astype(np.int64).clip(0, size[1] - 1),
    )
    found = inside & good[near]
    return np.where(found, raw[:, near[0], near[1]], 0).astype(np.float32), found


def _places(onto: Grid, own: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns (H, W) in one grid of the middle of each pixel of another."""
    rows, columns = np.mgrid[: onto.height, : onto.width] + 0.5
    place = onto.transform
    x, y = place.c + place.a * columns, place.f + place.e * rows
    if own.crs != onto.crs:
        xs, ys = transform(onto.crs, own.crs, x.ravel(), y.ravel())[:2]
        x, y = np.reshape(xs, x.shape), np.reshape(ys, y.shape)
    home = own.transform
    row, col = (y - home.f) / home.e, (x - home.c) / home.a
    # not finite where the projection is not defined
    return (
        np.nan_to_num(row, nan=-1.0, posinf=-1.0, neginf=-1.0),
        np.nan_to_num(col, nan=-1.0, posinf=-1.0, neginf=-1.0),
    )
