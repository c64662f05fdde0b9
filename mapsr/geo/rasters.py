"""Reading pixels: images in [0, 1] and label codes warped onto the grid of the image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import MaskFlags, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from mapsr.errors import RasterError
from mapsr.geo.drivers import shown
from mapsr.geo.grids import Grid, grid_of
from mapsr.geo.opening import open_raster
from mapsr.geo.windows import Window
from mapsr.legends import MASKED

_LEAST_CODE, _MOST_CODE = np.iinfo(np.int32).min, np.iinfo(np.int32).max


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
    if raw.dtype == np.float64:  # values beyond float32 would become infinite
        raw = raw.clip(0.0, scale)
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
    _require_nodata(dataset, path)
    indexes = _band_indexes(dataset, path, bands)
    shape = (len(indexes), *(size or (window.height, window.width)))
    part = _raster_window(window)
    raw = dataset.read(indexes, window=part, out_shape=shape)
    # the mask of an alpha band is open everywhere: reading it as image lifts the alpha mask
    unmasked = (dataset.read_masks(indexes, window=part, out_shape=shape) > 0).any(axis=0)
    return raw, unmasked & np.isfinite(raw).all(axis=0)


def read_valid(path: Path, window: Window) -> NDArray[np.bool_]:
    """Read where an image has pixels, bool (H, W), as ``read_raw`` of all bands says it.

    What has neither nodata nor a mask, and no floats, is not read.

    Raises:
        RasterError: the file can't be read, or the window reaches outside.
    """
    with open_raster(path) as dataset:
        every = all(flags == [MaskFlags.all_valid] for flags in dataset.mask_flag_enums)
        inside = Window(0, 0, dataset.height, dataset.width).contains(window)
        if every and inside and all(np.dtype(one).kind in "iu" for one in dataset.dtypes):
            return np.ones((window.height, window.width), bool)
        return read_raw(dataset, path, window, None)[1]


def read_codes(path: Path, grid: Grid, window: Window) -> NDArray[np.int32]:
    """Read the codes of a label raster, warped to the nearest pixel of a window of a grid.

    A raster that lies on ``grid`` already comes out exactly as it is. The result for a pixel does
    not depend on the window that it is read in.

    Args:
        path: labels of any number type, CRS, resolution, origin and extent; the first band is read.
        grid: the master grid.
        window: pixels (H, W) of ``grid`` to read.

    Returns:
        int32 (H, W) codes; -1 where the raster does not reach, is masked (nodata, mask), or is not
        finite, whether that is declared as nodata or not.

    Raises:
        RasterError: the file can't be read, has no place or CRS, is rotated, or the window reaches
            outside the grid.
        RasterError: a code is not a whole number, or is beyond 32 bits.
    """
    if not grid.window.contains(window):
        raise RasterError(
            f"Can't read {window} of {path}: expected a window inside the "
            f"{grid.height} x {grid.width} pixels of the image."
        )
    with open_raster(path) as dataset:
        _require_nodata(dataset, path)
        if grid_of(dataset, path) == grid:
            part = _raster_window(window)
            values = dataset.read(1, window=part)
            return _whole_codes(values, dataset.read_masks(1, window=part) > 0, path)
        codes = _warped_codes(dataset, path, grid, window, 0.0)
        for turn in grid_of(dataset, path).turns:
            rest = _warped_codes(dataset, path, grid, window, turn)
            codes = np.where(codes == MASKED, rest, codes)
        return codes


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


def _require_nodata(dataset: rasterio.DatasetReader, path: Path) -> None:
    """Refuse a nodata value that the raster's type can't hold: GDAL rounds it, here and there."""
    value, kind = dataset.nodata, np.dtype(dataset.dtypes[0]).kind
    if value is not None and kind in "iu" and value != np.floor(value):
        raise RasterError(
            f"{shown(path)} declares the nodata value {value:g}, which its {dataset.dtypes[0]} "
            "values can't take, expected a whole number: correct it with gdal_edit.py -a_nodata, "
            "or remove it with gdal_edit.py -unsetnodata."
        )


def _warped_codes(
    dataset: rasterio.DatasetReader, path: Path, grid: Grid, window: Window, turn: float
) -> NDArray[np.int32]:
    """Return codes on another grid, of a raster that lies ``turn`` farther east than it says."""
    small = dataset.dtypes[0] in ("uint8", "uint16")  # all of its values fit beside MASKED
    with WarpedVRT(
        dataset,
        crs=grid.crs,
        transform=grid.transform,
        height=grid.height,
        width=grid.width,
        resampling=Resampling.nearest,
        dtype="int32" if small else "float64",
        nodata=MASKED if small else np.nan,
        **({"src_transform": Affine.translation(turn, 0) @ dataset.transform} if turn else {}),
    ) as warped:
        values = _read_by_blocks(warped, window)
    return _whole_codes(values, values != MASKED if small else ~np.isnan(values), path)


def _whole_codes(values: NDArray[Any], valid: NDArray[np.bool_], path: Path) -> NDArray[np.int32]:
    """Return the codes that values stand for, int32 (H, W), -1 where they are not valid."""
    if values.dtype.kind == "c":
        raise RasterError(
            f"{shown(path)} holds {values.dtype} values, expected whole numbers as codes: it is "
            "not a raster of labels."
        )
    valid = valid & np.isfinite(values)
    wrong = valid & ((values < _LEAST_CODE) | (values > _MOST_CODE))
    if values.dtype.kind == "f":
        wrong |= valid & (values != np.floor(values))
    if wrong.any():
        raise RasterError(
            f"{shown(path)} holds the value {values[wrong][0]!s}, expected whole numbers of 32 "
            "bits as codes: if it is a raster of labels, make it again with the nearest pixel's "
            "value (gdalwarp -r near), or declare the value as nodata (gdal_edit.py -a_nodata)."
        )
    codes = np.full(values.shape, MASKED, np.int32)
    codes[valid] = values[valid]
    return codes


def _read_by_blocks(warped: WarpedVRT, window: Window) -> NDArray[Any]:
    """Return the first band in a window, (H, W), the same whatever the window.

    GDAL approximates the projection along each row that it warps at once, so that larger requests
    round cell borders otherwise. A request no higher than a block is warped in whole blocks, whose
    place is fixed.
    """
    codes = np.full((window.height, window.width), warped.nodata, warped.dtypes[0])
    rows = warped.block_shapes[0][0]
    for start in range(0, window.height, rows):
        strip = Window(
            window.row + start, window.col, min(rows, window.height - start), window.width
        )
        warped.read(1, window=_raster_window(strip), out=codes[start : start + strip.height])
    return codes
