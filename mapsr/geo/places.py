"""A part of a raster: a window in pixels or coordinates, or the polygons of a file."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform_bounds

from mapsr.errors import ConfigError
from mapsr.geo.grids import Grid
from mapsr.geo.warping import window_of
from mapsr.geo.windows import Window

_OWN = "map"
"""In place of a reference system: that of the raster."""


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a grid.

    Attributes:
        window: the pixels around it.
        polygons: in the CRS of the grid, shapely geometries (N,); None: all of the window.
    """

    window: Window
    polygons: NDArray[Any] | None = None

    def inside(self, grid: Grid, window: Window) -> NDArray[np.bool_]:
        """Which pixels (H, W) of a window of the whole grid belong to the part."""
        if self.polygons is None:
            return np.ones((window.height, window.width), bool)
        from mapsr.geo.burning import burn  # only polygons need shapely

        return burn(self.polygons, grid, window)


@dataclass(frozen=True)
class Place:
    """Where to map, before it is known on which grid.

    Attributes:
        window: ROW,COLUMN,HEIGHT,WIDTH in pixels, or LEFT,BOTTOM,RIGHT,TOP,CRS in coordinates.
        aoi: a file of polygons, FILE or FILE|layername=LAYER.
    """

    window: str | None = None
    aoi: str | None = None

    def on(self, grid: Grid) -> Part:
        """Find the place on a grid; with both, where they meet.

        Raises:
            ConfigError: it can't be read, or lies beside the grid.
            RasterError: the file of polygons can't be read.
        """
        part = Part(grid.window)
        if self.window:
            part = Part(self._within(_window(self.window, grid), grid.window))
        if self.aoi:
            polygons, around = _polygons(self.aoi, grid)
            part = Part(self._within(around, part.window), polygons)
        return part

    def _within(self, wanted: Window, whole: Window) -> Window:
        common = wanted.intersect(whole)
        if common is None:
            named = f"aoi={self.aoi}" if self.aoi else f"window={self.window}"
            raise ConfigError(
                f"{named} lies at {wanted}, beside the {whole.height} x {whole.width} pixels that "
                "can be mapped: check the place and its reference system."
            )
        return common

    @property
    def file(self) -> Path | None:
        """The file of polygons."""
        return Path(self.aoi.partition("|layername=")[0]) if self.aoi else None


def _window(text: str, grid: Grid) -> Window:
    *numbers, last = (one.strip() for one in text.split(","))
    try:
        if re.fullmatch(r"[0-9]+", last) and len(numbers) == 3:
            row, col, height, width = (int(one) for one in (*numbers, last))
            return Window(row, col, height, width)
        left, bottom, right, top = (float(one) for one in numbers)
        if not (left < right and bottom < top):
            raise ValueError("an empty rectangle")
        bounds: tuple[float, ...] = (left, bottom, right, top)
        if last != _OWN:
            bounds = transform_bounds(CRS.from_user_input(last), grid.crs, *bounds, densify_pts=21)
        if not np.isfinite(bounds).all():
            raise ValueError("a place that is not defined in the raster's reference system")
        return window_of(bounds, grid)
    except (ValueError, CRSError) as error:
        raise ConfigError(
            f"window={text} can't be read ({error}), expected ROW,COLUMN,HEIGHT,WIDTH in pixels, "
            f"or LEFT,BOTTOM,RIGHT,TOP,CRS such as EPSG:4326, or '{_OWN}' for the raster's own."
        ) from error


def _polygons(text: str, grid: Grid) -> tuple[NDArray[Any], Window]:
    """The polygons of a file in the CRS of a grid, and the pixels around them."""
    import shapely

    from mapsr.geo.burning import project
    from mapsr.geo.vectors import read_features, touches
    from mapsr.geo.zones import open_zones

    layer = open_zones(text)
    if not touches(layer, grid, grid.window):
        raise ConfigError(f"aoi={text} does not meet the raster: check where both lie.")
    found = read_features(layer, grid, grid.window, (), 0.0)
    areas = project(found.geometries[~found.flat], layer.crs, grid.crs)
    areas = np.array([one for one in areas if one is not None], object)
    if not len(areas):
        raise ConfigError(f"aoi={text} holds no polygon where the raster lies, expected some.")
    return areas, window_of(tuple(shapely.total_bounds(areas).tolist()), grid)
