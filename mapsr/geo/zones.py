"""Zones: which pixels of a window lie in each polygon of a vector layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from mapsr.errors import RasterError, near_match
from mapsr.geo.burning import burn, project
from mapsr.geo.grids import Grid
from mapsr.geo.vectors import VectorLayer, open_layer, read_features, touches
from mapsr.geo.warping import window_of
from mapsr.geo.windows import Window

_LAYER = "|layername="
"""Between a file and the name of a layer in it, as QGIS writes it."""


@dataclass(frozen=True, eq=False)
class ZonePart:
    """What of a window lies in one polygon.

    Attributes:
        zone: number of the feature in its layer, the same in every window.
        tags: its attributes as text, None where there is none.
        window: the pixels (H, W) around the polygon in the window that was asked for.
        inside: bool (H, W), pixels whose centre lies in the polygon.
    """

    zone: int
    tags: dict[str, str | None]
    window: Window
    inside: NDArray[np.bool_]


def open_zones(text: str) -> VectorLayer:
    """Open a layer of zones.

    Args:
        text: a vector file of any format, ``FILE|layername=LAYER`` where it has several layers.

    Raises:
        RasterError: see ``open_layer``.
    """
    path, _, name = text.partition(_LAYER)
    return open_layer(Path(path), name or None)


def require_column(layer: VectorLayer, column: str, key: str) -> None:
    """Check that a layer has an attribute.

    Args:
        layer: the layer.
        column: the attribute.
        key: that named it, for the message.

    Raises:
        RasterError: it has none of that name.
    """
    if column not in layer.columns:
        raise RasterError(
            f"{layer.path} has no column '{column}' ({key}=), expected one of "
            f"{', '.join(layer.columns) or 'none: it has no columns'}."
            f"{near_match(column, layer.columns)}"
        )


def zone_parts(
    layer: VectorLayer, grid: Grid, window: Window, columns: Sequence[str] = ()
) -> Iterator[ZonePart]:
    """Yield what of a window lies in each polygon of a layer; polygons may overlap.

    A pixel belongs to a polygon that holds its centre, whatever the window: parts of windows that
    share no pixel add up to the whole. Points and lines have no pixels. Memory: the features that
    meet the window.

    Args:
        layer: opened by ``open_zones``.
        grid: whose pixels are asked.
        window: pixels of the grid.
        columns: attributes that are read.

    Raises:
        RasterError: the layer can't be read, or its CRS is not defined where the window lies.
    """
    if not touches(layer, grid, window):
        return
    found = read_features(layer, grid, window, columns, 0.0)
    for index, geometry in enumerate(project(found.geometries, layer.crs, grid.crs)):
        if geometry is None or found.flat[index]:
            continue
        bounds = tuple(shapely.bounds(geometry).tolist())
        part = window_of(bounds, grid).intersect(window)
        if part is None:
            continue
        inside = burn(np.array([geometry], object), grid, part)
        if inside.any():
            tags = {column: found.tags[column][index] for column in columns}
            yield ZonePart(int(found.ids[index]), tags, part, inside)
