"""Named areas of a boundary layer, as cities or counties, on the grid of a raster."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.geo.burning import Geometries, burn, on_grid, true_metres
from mapsr.geo.grids import Grid
from mapsr.geo.vectors import VectorLayer, open_layer, read_features
from mapsr.geo.windows import Window
from mapsr.geo.zones import require_column


@dataclass(frozen=True, eq=False)
class Boundaries:
    """Areas by name; features of one name are one area.

    Attributes:
        grid: that they are carried to.
        names: N of them, in the order of the file.
        groups: of each area, as its region; "" without one.
        parts: geometries of each area in the CRS of the grid; none where it can't be projected.
    """

    grid: Grid
    names: tuple[str, ...]
    groups: tuple[str, ...]
    parts: tuple[Geometries, ...]

    @property
    def pixels(self) -> NDArray[np.float64]:
        """Size of each area in pixels of the grid (N,), whether the grid reaches all over it."""
        high, wide = self.grid.pixel_size
        unions = [shapely.area(shapely.union_all(some)) for some in self.parts]
        return np.array(unions, np.float64) / (high * wide)

    def masks(self, window: Window) -> Iterator[tuple[int, Window, NDArray[np.bool_]]]:
        """Yield the areas that reach into a window of the grid.

        Args:
            window: pixels of the grid.

        Yields:
            The index of an area; the smallest window, inside the given one, that holds its pixels;
            and which pixels (H, W) of that have their centre in it.
        """
        left, bottom, right, top = self.grid.crop(window).bounds
        for index, some in enumerate(self.parts):
            x0, y0, x1, y1 = shapely.total_bounds(some) if len(some) else (np.nan,) * 4
            if not (x0 <= right and x1 >= left and y0 <= top and y1 >= bottom):
                continue
            mask = burn(some, self.grid, window)
            if mask.any():
                rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
                high, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
                inside = Window(int(rows[0]), int(columns[0]), int(high), int(wide))
                yield index, inside.shifted(window.row, window.col), mask[inside.slices]


def pixel_hectares(grid: Grid) -> float | None:
    """Return the area of a pixel in hectares; None where the unit of the CRS is not a true metre.

    Degrees and Mercator's metres are none: the area of a pixel depends on where it lies.
    """
    high, wide = grid.pixel_size
    return high * wide / 10_000 if true_metres(grid.crs) else None


def open_boundaries(
    path: Path, layer: str | None, name: str, group: str | None, cache: Path | None = None
) -> VectorLayer:
    """Open a layer of areas.

    Args:
        path: a vector file of any format and CRS.
        layer: name in the file; None: its only one.
        name: column that names the areas.
        group: column of what they are grouped by; None: nothing.
        cache: see ``open_layer``.

    Raises:
        RasterError: see ``open_layer``; or there is no such column.
    """
    opened = open_layer(path, layer, cache)
    for key, column in {"cities_name": name, "cities_group": group}.items():
        if column:
            require_column(opened, column, key)
    return opened


def read_boundaries(layer: VectorLayer, name: str, group: str | None, grid: Grid) -> Boundaries:
    """Carry all areas of a layer to a grid. Memory: that of all boundaries.

    Args:
        layer: see ``open_boundaries``.
        name: column that names them; features without a name are left out.
        group: column of what they are grouped by; None: nothing.
        grid: of a raster.

    Raises:
        RasterError: the file can't be read.
        DataError: no feature has a name, or some are lines or points.
    """
    columns = [name, *([group] if group else [])]
    features = read_features(layer, grid, None, columns, 0.0)
    if features.flat.any():
        raise DataError(
            f"{layer.path} holds {int(features.flat.sum())} lines or points, expected areas alone."
        )
    names = [one for one in dict.fromkeys(features.tags[name].tolist()) if one is not None]
    if not names:
        raise DataError(f"No feature of {layer.path} has a value in column '{name}'.")
    parts, groups = [], []
    for one in names:
        own = features.tags[name] == one
        parts.append(on_grid(features.geometries[own], layer.crs, grid, 0.0)[0])
        groups.append(next(iter(features.tags[group][own].tolist())) or "" if group else "")
    return Boundaries(grid, tuple(names), tuple(groups), tuple(parts))
