"""Writing rasters: whole arrays, and label maps window by window."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from mapsr.errors import RasterError
from mapsr.files import whole_file
from mapsr.geo.grids import Grid
from mapsr.geo.styles import write_attribute_table, write_qgis_style
from mapsr.geo.windows import Window
from mapsr.legends import NODATA, Legend

_BLOCK = 512
"""Side of a tile in pixels: the usual size of tiled GeoTIFFs, a multiple of 16 as TIFF demands."""

LabelWriter = Callable[[Window, NDArray[np.uint8]], None]
"""Writes labels (H, W) to a window (H, W); not to be called from several threads at once."""


def write_raster(
    path: Path, array: NDArray[Any], grid: Grid, *, nodata: float | None = None
) -> None:
    """Write an array as a GeoTIFF, whole or not at all.

    Args:
        path: the file, replaced if it is there.
        array: (H, W) or (B, H, W) of a number type that GeoTIFF knows.
        grid: where it lies; must be (H, W) large.
        nodata: value to declare as nodata.

    Raises:
        RasterError: the shape of the array is not that of the grid.
    """
    bands = array[np.newaxis] if array.ndim == 2 else array  # (B, H, W)
    if bands.ndim != 3 or bands.shape[1:] != (grid.height, grid.width):
        raise RasterError(
            f"Can't write {path}: the array has shape {array.shape}, expected (H, W) or (B, H, W) "
            f"with {grid.height} x {grid.width} pixels."
        )
    options = _options(grid, bands.dtype.name) | {"count": len(bands), "nodata": nodata}
    if len(bands) > 3 and bands.dtype == np.uint8:
        # else GDAL marks the fourth of four bytes as alpha, which is near infrared here
        options |= {"photometric": "RGB", "alpha": "NO"}
    with whole_file(path) as temporary, rasterio.open(temporary, "w", **options) as dataset:
        dataset.write(bands)


@contextmanager
def label_writer(
    path: Path, grid: Grid, legend: Legend, tags: Mapping[str, str]
) -> Iterator[LabelWriter]:
    """Write a label map window by window; it appears at ``path`` only when the block succeeds.

    The map is a tiled GeoTIFF with the legend's colours as palette and nodata 255. Windows that
    are never written stay 255. Class names lie in the tags of the band (``CLASS_0=water``), in
    ``PATH.aux.xml`` for GDAL, and with the colours in a ``.qml`` style for QGIS. Memory: GDAL's
    block cache, whatever the size of the map.

    Args:
        path: the GeoTIFF, replaced if it is there.
        grid: where the map lies.
        legend: its classes; a pixel holds the index of a class.
        tags: what to note in the file, for example how it was made.

    Yields:
        A function that writes uint8 labels (H, W) to a window (H, W) of ``grid``; in turn, it
        raises RasterError where window and labels don't fit.
    """
    with whole_file(path) as temporary:
        options = _options(grid, "uint8") | {"nodata": NODATA}
        with rasterio.open(temporary, "w", count=1, **options) as dataset:
            colors = {index: (*color, 255) for index, color in enumerate(legend.colors)}
            dataset.write_colormap(1, colors | {NODATA: (0, 0, 0, 0)})
            dataset.update_tags(**tags)
            names = {f"CLASS_{index}": name for index, name in enumerate(legend.names)}
            dataset.update_tags(1, **names)

            def write(window: Window, labels: NDArray[np.uint8]) -> None:
                _check_labels(path, grid, legend, window, labels)
                target = RasterWindow(window.col, window.row, window.width, window.height)
                dataset.write(labels, 1, window=target)

            yield write
    write_attribute_table(path, legend)
    write_qgis_style(path, legend)


def _options(grid: Grid, dtype: str) -> dict[str, Any]:
    """Return the creation options common to all GeoTIFFs."""
    options: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": dtype,
        "crs": grid.crs,
        "transform": grid.transform,
        "height": grid.height,
        "width": grid.width,
        "compress": "deflate",
        "bigtiff": "IF_SAFER",
    }
    if max(grid.height, grid.width) > _BLOCK:
        options |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    return options


def _check_labels(
    path: Path, grid: Grid, legend: Legend, window: Window, labels: NDArray[np.uint8]
) -> None:
    """Raise RasterError where labels don't fit the window, the grid or the legend."""
    if not grid.window.contains(window):
        raise RasterError(
            f"Can't write {window} to {path}: expected a window inside its "
            f"{grid.height} x {grid.width} pixels."
        )
    if labels.dtype != np.uint8 or labels.shape != (window.height, window.width):
        raise RasterError(
            f"Can't write {window} to {path}: the labels are {labels.dtype} {labels.shape}, "
            f"expected uint8 ({window.height}, {window.width})."
        )
    unknown = labels[(labels >= len(legend)) & (labels != NODATA)]
    if unknown.size:
        raise RasterError(
            f"Can't write label {unknown[0]} to {path}: expected a class of legend "
            f"'{legend.name}' (0..{len(legend) - 1}) or {NODATA} for nodata."
        )
