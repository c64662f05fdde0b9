"""Writing rasters: whole arrays, window by window, and as Cloud Optimized GeoTIFF."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # rasterio lets it through and has no public name for it
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from mapsr.errors import RasterError
from mapsr.files import whole_file
from mapsr.geo.grids import Grid
from mapsr.geo.sidecars import clear_sidecars
from mapsr.geo.windows import Window
from mapsr.legends import NODATA, Legend

_BLOCK = 512
"""Side of a tile in pixels: the usual size of tiled GeoTIFFs, a multiple of 16 as TIFF demands."""

WindowWriter = Callable[[Window, NDArray[Any]], None]
"""Writes values (bands, H, W) to a window (H, W); not to be called from several threads at once."""


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
        RasterError: the shape of the array is not that of the grid, the file can't be written, or
            there is no file yet but side files that would change what it means.
    """
    bands = array[np.newaxis] if array.ndim == 2 else array  # (B, H, W)
    if bands.ndim != 3 or bands.shape[1:] != (grid.height, grid.width):
        raise RasterError(
            f"Can't write {path}: the array has shape {array.shape}, expected (H, W) or (B, H, W) "
            f"with {grid.height} x {grid.width} pixels."
        )
    options = _options(grid, bands.dtype.name) | {"count": len(bands), "nodata": nodata}
    options |= {"compress": "deflate"} | _plain_colors(len(bands), bands.dtype.name)
    with writing(path):
        # what lies beside an older raster would be read with this one
        clear_sidecars(path, overwrite=path.exists())
        with whole_file(path) as temporary, rasterio.open(temporary, "w", **options) as dataset:
            dataset.write(bands)


@contextmanager
def window_writer(
    path: Path, grid: Grid, bands: int, dtype: str, nodata: float
) -> Iterator[WindowWriter]:
    """Write a raster window by window, in any order, into a plain GeoTIFF without compression.

    Windows that are never written hold ``nodata``. Memory: GDAL's block cache. The file is a step
    on the way to ``write_cog``: it is not whole before the block ends.

    Yields:
        A function that writes values (bands, H, W) to a window (H, W) of ``grid``; it raises
        RasterError where the window, the shape or the type don't fit.
    """
    options = _options(grid, dtype) | {"count": bands, "nodata": nodata, "sparse_ok": True}
    options |= _plain_colors(bands, dtype)
    with writing(path), rasterio.open(path, "w", **options) as dataset:

        def write(window: Window, values: NDArray[Any]) -> None:
            expected = (bands, window.height, window.width)
            if not grid.window.contains(window) or values.shape != expected:
                raise RasterError(
                    f"Can't write {values.shape} to {window} of {path}: expected {expected} inside "
                    f"{grid.height} x {grid.width} pixels."
                )
            if values.dtype != dtype:
                raise RasterError(f"Can't write {values.dtype} to {path}: expected {dtype}.")
            target = RasterWindow(window.col, window.row, window.width, window.height)
            dataset.write(values, window=target)

        yield write


def write_cog(
    source: Path,
    target: Path,
    *,
    tags: Mapping[str, str],
    names: Sequence[str] = (),
    legend: Legend | None = None,
    overviews: str | None = None,
) -> None:
    """Copy a raster into a Cloud Optimized GeoTIFF, and read it back to be sure of it.

    Args:
        source: a GeoTIFF; tags, names and palette are noted in it too.
        target: the file to write; not whole before the call returns.
        tags: what to note in the file, for example how it was made.
        names: of the bands.
        legend: of labels: its colours become the palette, its names the tags ``CLASS_0`` and so
            on, and overviews hold the most frequent class; without it overviews hold means.
        overviews: GDAL's name of how they are made instead.

    Raises:
        RasterError: the copy fails, or does not hold what the source holds (a full disk, say).
    """
    with writing(target):
        with rasterio.open(source, "r+") as dataset:
            dataset.update_tags(**tags)
            for index, name in enumerate(names, start=1):
                dataset.set_band_description(index, name)
            if legend is not None:
                colors = {index: (*color, 255) for index, color in enumerate(legend.colors)}
                dataset.write_colormap(1, colors | {NODATA: (0, 0, 0, 0)})
                classes = {f"CLASS_{index}": name for index, name in enumerate(legend.names)}
                dataset.update_tags(1, **classes)
        rasterio.shutil.copy(
            source,
            target,
            driver="COG",
            compress="deflate",
            predictor="NO" if legend else "YES",
            blocksize=_BLOCK,
            overview_resampling=overviews or ("mode" if legend else "average"),
            bigtiff="IF_SAFER",
            num_threads="ALL_CPUS",
        )
        with rasterio.open(source) as old, rasterio.open(target) as new:
            same = all(old.checksum(index) == new.checksum(index) for index in old.indexes)
    if not same:
        raise RasterError(f"{target} does not hold what was written to it: is the disk full?")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn every failure of GDAL or of the system in the block into a RasterError."""
    if "\0" in str(path):  # GDAL would take what is before it for the path
        raise RasterError(f"Can't write {str(path)!a}: a path can't hold NUL; choose another.")
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError, UnicodeError) as error:
        system = error.strerror if isinstance(error, OSError) else None
        reason = system or str(error.__cause__ or error).rstrip(".")
        raise RasterError(
            f"Can't write {path}: {reason}; check the space and the rights there."
        ) from error


def _options(grid: Grid, dtype: str) -> dict[str, Any]:
    """Return the creation options common to all GeoTIFFs."""
    options: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": dtype,
        "crs": grid.crs,
        "transform": grid.transform,
        "height": grid.height,
        "width": grid.width,
        "bigtiff": "IF_SAFER",
    }
    if max(grid.height, grid.width) > _BLOCK:
        options |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    return options


def _plain_colors(bands: int, dtype: str) -> dict[str, str]:
    # else GDAL marks the fourth of four bytes as alpha, which is near infrared here
    return {"photometric": "RGB", "alpha": "NO"} if bands > 3 and dtype == "uint8" else {}
