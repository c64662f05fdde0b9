"""Polygons of pixels: the outlines of patches, put together across windows without a seam."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes

from mapsr.geo.burning import Geometries
from mapsr.geo.grids import Grid

Outline = Any
"""A shapely polygon or multipolygon, in columns and rows of a grid."""


def outlines(numbers: NDArray[np.int32], row: int) -> Iterator[tuple[int, Outline]]:
    """Yield each patch of equal numbers as a polygon; pixels that touch at a corner are apart.

    Args:
        numbers: int32 (H, W), 0 for pixels of no patch.
        row: of the grid, that the first one is.

    Yields:
        The number and the polygon, with corners at whole columns and rows.
    """
    for geometry, number in shapes(numbers, mask=numbers > 0, connectivity=4):
        shell, *holes = ([(x, y + row) for x, y in ring] for ring in geometry["coordinates"])
        yield int(number), shapely.Polygon(shell, holes)


def joined(parts: Sequence[Outline]) -> Outline:
    """Put the parts of one patch together, without corners where they met."""
    whole = shapely.union_all(np.array(parts, object))
    return without_seams(whole)


def without_seams(outline: Outline) -> Outline:
    """Leave out corners at which an outline along rows and columns does not turn."""
    pieces = shapely.get_parts(outline)
    made = []
    for piece in pieces:
        rings = shapely.get_rings(piece)
        shell, *holes = (_turns(shapely.get_coordinates(ring)) for ring in rings)
        made.append(shapely.Polygon(shell, holes))
    return made[0] if len(made) == 1 else shapely.MultiPolygon(made)


def placed(patches: Sequence[Outline], grid: Grid) -> Geometries:
    """Carry outlines to the CRS of a grid, as valid multipolygons (N,)."""
    place = grid.transform

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack((place.c + place.a * points[:, 0], place.f + place.e * points[:, 1]))

    moved = shapely.transform(np.array(patches, object), move)
    # a hole that touches the outline at a corner may come as one ring that touches itself
    moved = shapely.make_valid(moved, method="structure", keep_collapsed=False)
    found = np.empty(len(moved), object)
    for index, one in enumerate(moved):
        found[index] = shapely.MultiPolygon([part for part in shapely.get_parts(one)])
    return found


def _turns(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners (n, 2) of a closed ring at which it turns."""
    corners = ring[:-1]
    before, after = np.roll(corners, 1, 0), np.roll(corners, -1, 0)
    straight = ((before == corners) & (corners == after)).any(1)
    turning: NDArray[np.float64] = corners[~straight]
    return turning
