"""Grids: where on Earth the pixels of a raster lie."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError  # rasterio lets it through and has no public name for it
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform_bounds

from mapsr.errors import RasterError
from mapsr.geo.windows import Window


@dataclass(frozen=True)
class Grid:
    """A raster's pixels on Earth: coordinate reference system, transform and size.

    Pixels need not be square. The grid of the image is the master to which labels are warped.
    """

    crs: CRS
    """Coordinate reference system."""
    transform: Affine
    """From (column, row) to coordinates of ``crs``; neither rotated nor sheared."""
    height: int
    """Number of rows."""
    width: int
    """Number of columns."""

    @property
    def window(self) -> Window:
        """The window of the whole grid."""
        return Window(0, 0, self.height, self.width)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Height and width of a pixel, both positive, in units of ``crs``."""
        return abs(self.transform.e), abs(self.transform.a)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least x, least y, greatest x and greatest y in units of ``crs``."""
        x0, y0 = self.transform.c, self.transform.f
        x1, y1 = x0 + self.transform.a * self.width, y0 + self.transform.e * self.height
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def crop(self, window: Window) -> "Grid":
        """Return the grid of the pixels in ``window``, which may reach over the edge."""
        a, b, x, d, e, y = self.transform[:6]
        transform = Affine(a, b, x + a * window.col, d, e, y + e * window.row)
        return Grid(self.crs, transform, window.height, window.width)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn every failure of GDAL in the block into a RasterError.

    GDAL finds a truncated file only when its pixels are read, so reading belongs in the block.

    Raises:
        RasterError: the file is no raster, or breaks off.
    """
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        # rasterio hides GDAL's own words ("Read error at scanline") in the cause
        reason = str(error.__cause__ or error).rstrip(".")
        raise RasterError(
            f"Can't read {path}: {reason}; expected a whole raster that GDAL can open and "
            "project, so fetch or make the file again."
        ) from error


@contextmanager
def open_raster(path: Path) -> Iterator[rasterio.DatasetReader]:
    """Open a raster for reading and turn every failure in the block into a RasterError.

    Raises:
        RasterError: the file is missing, is no raster, or breaks off.
    """
    require_file(path)
    with reading(path), rasterio.open(path) as dataset:
        yield dataset


def require_file(path: Path) -> None:
    """Raise RasterError where there is no file."""
    if not path.is_file():
        raise RasterError(f"Can't read {path}: there is no such file; check the path.")


def grid_of(dataset: rasterio.DatasetReader, path: Path) -> Grid:
    """Return the grid of an open raster.

    Args:
        dataset: a raster opened by ``open_raster``.
        path: its path, for the message.

    Raises:
        RasterError: it has no CRS, or its pixels are rotated or sheared.
    """
    if dataset.crs is None:
        raise RasterError(
            f"{path} has no coordinate reference system, expected one; "
            "set it with gdal_edit.py -a_srs EPSG:CODE."
        )
    transform = dataset.transform
    if transform.b or transform.d:
        raise RasterError(
            f"{path} has rotated or sheared pixels ({transform.b:g}, {transform.d:g} in its "
            "transform), expected rows along the x axis; warp it first with gdalwarp."
        )
    return Grid(dataset.crs, transform, dataset.height, dataset.width)


def read_grid(path: Path) -> Grid:
    """Return the grid of a raster.

    Raises:
        RasterError: the file can't be read, has no CRS, or its pixels are rotated or sheared.
    """
    with open_raster(path) as dataset:
        return grid_of(dataset, path)


def overlap(path: Path, grid: Grid) -> float:
    """Return the share of the grid's extent that a raster's extent covers.

    The share is taken between bounding boxes in the raster's CRS, so that a product of a whole
    continent or globe needs no projection far out of the zone of ``grid``.

    Args:
        path: a raster of any CRS, resolution and extent.
        grid: the grid to be covered.

    Returns:
        0 (they do not meet) to 1 (the raster covers the grid).

    Raises:
        RasterError: the raster can't be read, has no CRS, is rotated, or its CRS is not defined
            where the grid lies.
    """
    with open_raster(path) as dataset:
        raster = grid_of(dataset, path)
        bounds = transform_bounds(grid.crs, raster.crs, *grid.bounds)
    if not all(map(math.isfinite, bounds)):
        raise RasterError(
            f"{path} has the reference system {raster.crs}, which is not defined all over the "
            f"image's extent {grid.bounds} in {grid.crs}; check the reference systems of both."
        )
    left, bottom, right, top = (
        inside(a, b)
        for inside, a, b in zip((max, max, min, min), bounds, raster.bounds, strict=True)
    )
    whole = (bounds[2] - bounds[0]) * (bounds[3] - bounds[1])
    return float(max(0.0, right - left) * max(0.0, top - bottom) / whole)
