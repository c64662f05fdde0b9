"""A quick look at rasters of any size: sampled values, codes under an image, ground sizes."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.warp import transform, transform_bounds

from mapsr.errors import RasterError
from mapsr.geo.drivers import reading
from mapsr.geo.grids import Grid, crs_name
from mapsr.geo.opening import open_raster
from mapsr.geo.projections import epsg
from mapsr.geo.rasters import read_codes, read_raw
from mapsr.geo.windows import Window

__all__ = ["Look", "bounds_deg", "center_deg", "count_codes", "crs_name", "ground_size_m", "look"]

_WHOLE_PX = 4096 * 4096
"""Pixels that are read as a whole, of the image or its smallest overview: a second's work."""
_PREVIEW_PX = 512
"""Longest side of a preview."""
_PLACES = 12
"""Places along each side of a large raster without overviews that are looked at."""
_PLACE_PX = 32
"""Side of such a place."""
_STRIP_ROWS = 256
"""Rows of codes that are in memory at once."""
_EARTH_M = 6_371_000 * math.pi / 180
"""Length of a degree of latitude on a sphere of the Earth's mean radius."""


@dataclass(frozen=True)
class Look:
    """What a quick look at an image shows.

    Attributes:
        values: raw values (B, N) of the valid pixels that were looked at.
        seen: how many pixels were looked at.
        masks: what marks pixels as invalid, in words; empty: nothing.
        alpha: number of the band, from 1, that is marked as alpha though it is read as image; None:
            there is none.
    """

    values: NDArray[Any]
    seen: int
    masks: tuple[str, ...]
    alpha: int | None

    @property
    def valid(self) -> float:
        """Share of the pixels that are valid, 0 to 1."""
        return float(self.values.shape[1] / self.seen)


def look(path: Path, bands: int | None) -> Look:
    """Look at an image of any size, in about a second.

    A small image, or one with small overviews, is thinned out evenly. Else windows are read that
    lie evenly over it, so that no more than their blocks are. Memory: some MiB, and GDAL's cache.

    Args:
        path: the image.
        bands: how many leading bands; None: all.

    Raises:
        RasterError: the file can't be read, has too few bands, or holds complex values.
    """
    with open_raster(path) as dataset:
        if "complex" in dataset.dtypes[0]:
            raise RasterError(
                f"{path} holds {dataset.dtypes[0]} values, expected real ones: write their "
                "amplitude into an image of its own."
            )
        size = dataset.height, dataset.width
        factor = max([1, *dataset.overviews(1)])
        if math.prod(size) / factor**2 <= _WHOLE_PX:
            thin = max(1.0, max(size) / _PREVIEW_PX)
            small = max(1, int(size[0] / thin)), max(1, int(size[1] / thin))
            parts = [read_raw(dataset, path, Window(0, 0, *size), bands, small)]
        else:
            parts = [read_raw(dataset, path, place, bands) for place in _places(*size)]
        values = np.concatenate([raw[:, valid] for raw, valid in parts], axis=1)
        seen = sum(valid.size for _, valid in parts)
        return Look(values, seen, _masks(dataset, bands), _alpha(dataset, bands))


def count_codes(path: Path, grid: Grid, most_px: int = 2048) -> Counter[int]:
    """Count the codes of a label raster under an image.

    They are counted on the image's pixels, thinned out evenly where the image is large: so the
    shares are those of the image's area. Memory: a strip of ``most_px`` columns.

    Args:
        path: labels of any CRS, resolution and extent.
        grid: of the image.
        most_px: rows and columns to look at, at most.

    Returns:
        Pixels by code; -1 for masked ones and those that the raster does not reach.

    Raises:
        RasterError: the file can't be read, has no CRS, or is rotated.
    """
    height, width = (min(side, most_px) for side in (grid.height, grid.width))
    scaling = Affine.scale(grid.width / width, grid.height / height)
    thin = Grid(grid.crs, grid.transform @ scaling, height, width)
    counts: Counter[int] = Counter()
    for row in range(0, height, _STRIP_ROWS):
        strip = Window(row, 0, min(_STRIP_ROWS, height - row), width)
        codes, pixels = np.unique(read_codes(path, thin, strip), return_counts=True)
        counts.update(dict(zip(codes.tolist(), pixels.tolist(), strict=True)))
    return counts


def bounds_deg(grid: Grid, path: Path) -> tuple[float, float, float, float]:
    """Extent of a grid: west, south, east and north in degrees.

    Raises:
        RasterError: the CRS of the grid, which is that of the raster ``path``, has no place on
            Earth.
    """
    with reading(path):
        west, south, east, north = transform_bounds(grid.crs, epsg(4326), *grid.bounds)
    return west, south, east, north


def center_deg(grid: Grid, path: Path) -> tuple[float, float]:
    """Longitude and latitude of the centre of a grid; raises as ``bounds_deg``."""
    left, bottom, right, top = grid.bounds
    with reading(path):
        (east,), (north,) = transform(
            grid.crs, epsg(4326), [(left + right) / 2], [(bottom + top) / 2]
        )
    return float(east), float(north)


def ground_size_m(grid: Grid, path: Path, place: tuple[float, float]) -> tuple[float, float]:
    """Height and width of a pixel on the ground, in metres, whatever the CRS.

    Args:
        grid: whose pixels are measured.
        path: its raster, for the message.
        place: longitude and latitude of where to measure; need not lie inside.

    Returns:
        Metres, to about half a percent; not finite where the CRS is not defined at the place.

    Raises:
        RasterError: see ``bounds_deg``.
    """
    high, wide = grid.pixel_size
    with reading(path):
        (x,), (y,) = transform(epsg(4326), grid.crs, [place[0]], [place[1]])
        if not (math.isfinite(x) and math.isfinite(y)):
            return math.inf, math.inf
        east, north = transform(grid.crs, epsg(4326), [x, x, x + wide], [y, y + high, y])
    narrow = math.cos(math.radians(place[1]))
    down, across = (
        math.hypot((east[i] - east[0]) * narrow, north[i] - north[0]) * _EARTH_M for i in (1, 2)
    )
    return down, across


def _places(height: int, width: int) -> list[Window]:
    """Small windows that lie evenly over a raster, row by row."""
    rows, columns = _starts(height), _starts(width)
    high, wide = min(height, _PLACE_PX), min(width, _PLACE_PX)
    return [Window(row, column, high, wide) for row in rows for column in columns]


def _starts(side: int) -> list[int]:
    last = max(0, side - _PLACE_PX)
    return sorted({round(last * (index + 0.5) / _PLACES) for index in range(_PLACES)})


def _masks(dataset: rasterio.DatasetReader, bands: int | None) -> tuple[str, ...]:
    found = [] if dataset.nodata is None else [f"nodata {dataset.nodata:g}"]
    flags = dataset.mask_flag_enums[0]
    if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
        found.append("a mask")
    if ColorInterp.alpha in dataset.colorinterp and _alpha(dataset, bands) is None:
        found.append("an alpha band")
    return tuple(found)


def _alpha(dataset: rasterio.DatasetReader, bands: int | None) -> int | None:
    read = dataset.colorinterp[: bands or dataset.count]
    return read.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in read else None
