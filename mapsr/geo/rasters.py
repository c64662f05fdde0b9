"""Reading pixels: images in [0, 1] and label codes warped onto the grid of the image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from mapsr.errors import RasterError
from mapsr.geo.grids import Grid, grid_of, open_raster
from mapsr.geo.windows import Window
from mapsr.legends import MASKED


def band_count(path: Path) -> int:
    """Return the number of bands of a raster, a band marked as alpha included.

    Raises:
        RasterError: the file can't be read.
    """
    with open_raster(path) as dataset:
        return int(dataset.count)


def read_values(path: Path, window: Window) -> NDArray[Any]:
    """Return all bands of a window as they are, (bands, H, W).

    Raises:
        RasterError: the file can't be read.
    """
    with open_raster(path) as dataset:
        values: NDArray[Any] = dataset.read(window=_raster_window(window))
    return values


def read_image(
    path: Path, window: Window, bands: int | Sequence[int] | None, scale: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read a window of an image.

    Args:
        path: the image.
        window: pixels (H, W) to read, inside the image.
        bands: how many leading bands, or which ones (from 1); None reads all. A band marked as
            alpha is a mask unless it is read itself: near infrared as fourth of four bands is
            often marked so.
        scale: raw value that becomes 1, a property of the data set and never of the window.

    Returns:
        The image, float32 (B, H, W), raw / scale clipped to [0, 1], 0 where not valid; and where
        it is valid, bool (H, W): not masked (nodata in all read bands, mask or alpha), and finite
        in every read band.

    Raises:
        RasterError: the file can't be read, the image has too few bands, or the window reaches
            outside.
    """
    with open_raster(path) as dataset:
        return read_open_image(dataset, path, window, bands, scale)


def read_open_image(
    dataset: rasterio.DatasetReader,
    path: Path,
    window: Window,
    bands: int | Sequence[int] | None,
    scale: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read a window of an image that is open; see ``read_image``."""
    raw, valid = read_raw(dataset, path, window, bands)
    image = np.where(valid, raw, 0).astype(np.float32)  # (B, H, W)
    image /= np.float32(scale)
    return image.clip(0.0, 1.0, out=image), valid


def read_raw(
    dataset: rasterio.DatasetReader,
    path: Path,
    window: Window,
    bands: int | Sequence[int] | None,
    size: tuple[int, int] | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a window of an image that is open, as it is stored.

    Args:
        dataset: the open image.
        path: its path, for the message.
        window: pixels to read, inside the image.
        bands: see ``read_image``.
        size: (h, w) to thin the window out to, by nearest pixels, from overviews where there are
            some; None: every pixel.

    Returns:
        Values (B, h, w), and where they are valid, bool (h, w); see ``read_image``.

    Raises:
        RasterError: the image has too few bands, or the window reaches outside.
    """
    inside = Window(0, 0, dataset.height, dataset.width)
    if not inside.contains(window):
        raise RasterError(
            f"Can't read {window} of {path}: expected a window inside its "
            f"{dataset.height} x {dataset.width} pixels."
        )
    indexes = _band_indexes(dataset, path, bands)
    shape = (len(indexes), *(size or (window.height, window.width)))
    part = _raster_window(window)
    raw = dataset.read(indexes, window=part, out_shape=shape)
    # the mask of an alpha band is open everywhere: reading it as image lifts the alpha mask
    unmasked = (dataset.read_masks(indexes, window=part, out_shape=shape) > 0).any(axis=0)
    return raw, unmasked & np.isfinite(raw).all(axis=0)


def read_codes(path: Path, grid: Grid, window: Window) -> NDArray[np.int32]:
    """Read the codes of a label raster, warped to the nearest pixel of a window of a grid.

    A raster that lies on ``grid`` already comes out exactly as it is. The result for a pixel does
    not depend on the window that it is read in.

    Args:
        path: labels of any CRS, resolution, origin and extent; the first band is read.
        grid: the master grid.
        window: pixels (H, W) of ``grid`` to read.

    Returns:
        int32 (H, W) codes; -1 where the raster does not reach, or is masked (nodata, mask).

    Raises:
        RasterError: the file can't be read, has no CRS, is rotated, or the window reaches outside
            the grid.
    """
    if not grid.window.contains(window):
        raise RasterError(
            f"Can't read {window} of {path}: expected a window inside the "
            f"{grid.height} x {grid.width} pixels of the image."
        )
    with open_raster(path) as dataset:
        if grid_of(dataset, path) == grid:
            codes: NDArray[np.int32] = dataset.read(1, window=_raster_window(window)).astype(
                np.int32
            )
            codes[dataset.read_masks(1, window=_raster_window(window)) == 0] = MASKED
            return codes
        with WarpedVRT(
            dataset,
            crs=grid.crs,
            transform=grid.transform,
            height=grid.height,
            width=grid.width,
            resampling=Resampling.nearest,
            dtype="int32",
            nodata=MASKED,
        ) as warped:
            return _read_by_blocks(warped, window)


def _raster_window(window: Window) -> RasterWindow:
    return RasterWindow(window.col, window.row, window.width, window.height)


def _band_indexes(
    dataset: rasterio.DatasetReader, path: Path, bands: int | Sequence[int] | None
) -> list[int]:
    """Return the indexes, from 1, of the bands to read."""
    if bands is None:
        return list(range(1, dataset.count + 1))
    indexes = list(range(1, bands + 1)) if isinstance(bands, int) else list(bands)
    if not indexes or min(indexes) < 1 or max(indexes) > dataset.count:
        raise RasterError(
            f"{path} has {dataset.count} band(s), but {bands} were asked for; "
            "choose bands that the image has."
        )
    return indexes


def _read_by_blocks(warped: WarpedVRT, window: Window) -> NDArray[np.int32]:
    """Return the first band in a window, int32 (H, W), the same whatever the window.

    GDAL approximates the projection along each row that it warps at once, so that larger requests
    round cell borders otherwise. A request no higher than a block is warped in whole blocks, whose
    place is fixed.
    """
    codes = np.full((window.height, window.width), MASKED, dtype=np.int32)
    rows = warped.block_shapes[0][0]
    for start in range(0, window.height, rows):
        strip = Window(
            window.row + start, window.col, min(rows, window.height - start), window.width
        )
        warped.read(1, window=_raster_window(strip), out=codes[start : start + strip.height])
    return codes
