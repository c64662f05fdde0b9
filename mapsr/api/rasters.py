"""Images as Python has them - paths, arrays, tensors, xarray objects - as rasters."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import RasterError
from mapsr.geo import Grid, write_raster
from mapsr.geo.arrays import grid_of_array

ImageLike = Any
"""A path or pattern; or an array (B, H, W) or (H, W): NumPy, torch, or an xarray.DataArray."""


# What the dimensions of an image's plane are called, rows first.
_PLANES = (("y", "x"), ("lat", "lon"), ("latitude", "longitude"))


@dataclass(frozen=True)
class Raster:
    """An array and its place.

    Attributes:
        values: (B, H, W).
        grid: where it lies.
        nodata: the value that stands for none; None: not said.
    """

    values: NDArray[Any]
    grid: Grid
    nodata: float | None = None

    def write(self, path: Path) -> None:
        """Write it as a GeoTIFF.

        Raises:
            RasterError: the file can't be written.
        """
        write_raster(path, self.values, self.grid, nodata=self.nodata)


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
    path = folder / f"{name}.tif"
    as_raster(image, crs, transform).write(path)
    return str(path)


def as_raster(
    image: ImageLike, crs: object = None, transform: Sequence[float] | None = None
) -> Raster:
    """Return an array as a raster.

    Raises:
        RasterError: it has not two or three dimensions, or its place can't be read.
    """
    nodata = None
    if hasattr(image, "coords") and hasattr(image, "dims"):
        image = _plane_last(image)
        found = _place(image)
        crs, transform = crs or found[0], transform or found[1]
        nodata = image.attrs.get("_FillValue")  # rioxarray's place for it
    values = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or values.dtype.kind not in "iuf" or not values.size:
        raise RasterError(
            f"An image is {values.dtype} {values.shape}, expected numbers (B, H, W) or (H, W)."
        )
    grid = grid_of_array(values.shape[1:], crs, transform)
    return Raster(values, grid, None if nodata is None else float(nodata))


def _plane_last(image: Any) -> Any:  # noqa: ANN401 - xarray is optional
    """Move the dimensions of the plane behind those of the bands, where their names tell them."""
    for names in _PLANES:
        if set(names) <= set(image.dims) and tuple(image.dims[-2:]) != names:
            return image.transpose(..., *names)
    return image


def _place(image: Any) -> tuple[object, list[float] | None]:  # noqa: ANN401 - xarray is optional
    """Reference system and transform of an xarray object, as its coordinates say them."""
    reference = image.coords["spatial_ref"].attrs if "spatial_ref" in image.coords else {}
    crs = reference.get("crs_wkt") or reference.get("spatial_ref") or image.attrs.get("crs")
    names = image.dims[-2:]
    if not all(name in image.coords for name in names) or crs is None:
        return crs, _written(reference.get("GeoTransform"))
    y, x = (np.asarray(image.coords[name], np.float64) for name in names)
    steps = [np.diff(one) for one in (y, x)]
    if any(not len(step) or np.ptp(step) > 1e-6 * abs(step[0]) for step in steps):
        raise RasterError("The coordinates of the array are not evenly spaced, expected a grid.")
    down, across = float(steps[0].mean()), float(steps[1].mean())
    return crs, [across, 0, float(x[0]) - across / 2, 0, down, float(y[0]) - down / 2]


def _written(transform: object) -> list[float] | None:
    """A transform as rioxarray writes it where there are no coordinates: six numbers as text."""
    if not isinstance(transform, str):
        return None
    try:
        c, a, b, f, d, e = (float(word) for word in transform.split())
    except ValueError as error:
        raise RasterError(
            f"GeoTransform '{transform}' of the array can't be read, expected six numbers."
        ) from error
    return [a, b, c, d, e, f]
