"""Images as Python has them - paths, arrays, tensors, xarray objects - as rasters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import RasterError
from mapsr.geo import Grid, write_raster
from mapsr.geo.arrays import grid_of_array

ImageLike = Any
"""A path or pattern; or an array (B, H, W) or (H, W): NumPy, torch, or an xarray.DataArray."""


def as_path(
    image: ImageLike,
    folder: Path,
    name: str,
    crs: object = None,
    transform: Sequence[float] | None = None,
) -> str:
    """Return the path of an image; an array is written into a folder first.

    Args:
        image: what the user gave.
        folder: for arrays.
        name: of the file there, without suffix.
        crs: of an array that does not say it itself.
        transform: likewise.

    Raises:
        RasterError: it is not an image, or its place can't be read.
    """
    if isinstance(image, str | Path):
        return str(image)
    values, grid = as_raster(image, crs, transform)
    path = folder / f"{name}.tif"
    write_raster(path, values, grid)
    return str(path)


def as_raster(
    image: ImageLike, crs: object = None, transform: Sequence[float] | None = None
) -> tuple[NDArray[Any], Grid]:
    """Return the values (B, H, W) of an array and where it lies.

    Raises:
        RasterError: it has not two or three dimensions, or its place can't be read.
    """
    if hasattr(image, "coords") and hasattr(image, "dims"):
        found = _place(image)
        crs, transform = crs or found[0], transform or found[1]
    values = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or values.dtype.kind not in "iuf" or not values.size:
        raise RasterError(
            f"An image is {values.dtype} {values.shape}, expected numbers (B, H, W) or (H, W)."
        )
    return values, grid_of_array(values.shape[1:], crs, transform)


def _place(image: Any) -> tuple[object, list[float] | None]:  # noqa: ANN401 - xarray is optional
    """Reference system and transform of an xarray object, as its coordinates say them."""
    reference = image.coords["spatial_ref"].attrs if "spatial_ref" in image.coords else {}
    crs = reference.get("crs_wkt") or reference.get("spatial_ref") or image.attrs.get("crs")
    names = image.dims[-2:]
    if not all(name in image.coords for name in names) or crs is None:
        return crs, None
    y, x = (np.asarray(image.coords[name], np.float64) for name in names)
    steps = [np.diff(one) for one in (y, x)]
    if any(not len(step) or np.ptp(step) > 1e-6 * abs(step[0]) for step in steps):
        raise RasterError("The coordinates of the array are not evenly spaced, expected a grid.")
    down, across = float(steps[0].mean()), float(steps[1].mean())
    return crs, [across, 0, float(x[0]) - across / 2, 0, down, float(y[0]) - down / 2]
