"""Woods, hedges and single trees, crown by crown."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mapsr.data.landscape.canvas import Canvas, Mask, Plane, Rectangle, rough_noise, smooth_noise
from mapsr.data.landscape.settlement import Settlement
from mapsr.data.landscape.terrain import Terrain

WOODS_SHARE = 0.36
"""Share of the image; trees in hedges, on river banks and in gardens come on top."""
_SPACING = 7
"""Distance between neighbouring trees of a wood in metres."""


@dataclass(frozen=True)
class Woods:
    """Trees; all arrays are (H, W) of the canvas."""

    height: Plane
    """Height of the canopy above the ground in metres, 0 between crowns."""
    crown: NDArray[np.int32]
    """Index of the tree that covers a pixel, -1 where none does."""
    conifer: Plane
    """Positive for conifers, else broad-leaved trees."""
    wood: Mask
    """Closed woods, gaps included."""
    cleared: Mask
    """Woods felled after the coarse product was made."""


def draw_woods(
    canvas: Canvas, terrain: Terrain, place: Settlement, generator: np.random.Generator
) -> Woods:
    """Draw the trees of woods, hedges, river banks and gardens.

    Args:
        canvas: to draw on.
        terrain: the open land.
        place: the built-up land, which stays free of trees.
        generator: the only source of randomness.
    """
    wood = _outline(canvas, terrain, place, generator)
    cleared = _clearing(canvas, wood, generator)
    density = _density(canvas, terrain, place, wood & ~cleared, generator)
    height, crown = _grow(canvas, density, wood, generator)
    conifer = rough_noise(canvas.shape, 0.35 * canvas.extent, generator) - 0.4
    return Woods(height, crown, conifer, wood, cleared)


def _outline(
    canvas: Canvas, terrain: Terrain, place: Settlement, generator: np.random.Generator
) -> Mask:
    """Choose the highest land without buildings or water for woods, up to their share."""
    suited = rough_noise(canvas.shape, 0.55 * canvas.extent, generator) + 0.5 * terrain.relief
    suited[place.village | place.bare | terrain.water] = -np.inf
    return np.asarray(suited > np.quantile(suited[canvas.image], 1 - WOODS_SHARE))


def _clearing(canvas: Canvas, wood: Mask, generator: np.random.Generator) -> Mask:
    """Choose a rectangle in the woods to clear."""
    cleared = np.zeros(canvas.shape, dtype=bool)
    deep = ndimage.distance_transform_edt(wood)[canvas.image]
    spots = np.flatnonzero(deep > 0.6 * deep.max())
    row, column = divmod(int(generator.choice(spots)), canvas.width)
    middle = (row - (canvas.height - 1) / 2, column - (canvas.width - 1) / 2)
    size = 0.13 * canvas.extent
    felled = Rectangle(middle, 1.2 * size, size, generator.uniform(0, np.pi))
    cleared[felled.window(canvas)] = felled.inside(canvas)
    return cleared & wood


def _density(
    canvas: Canvas,
    terrain: Terrain,
    place: Settlement,
    wood: Mask,
    generator: np.random.Generator,
) -> Plane:
    """Return the probability of a tree at each pixel."""
    patchy = smooth_noise(canvas.shape, 60, generator)
    density = np.full(canvas.shape, 0.006, dtype=np.float32)
    density[place.village] = 0.25
    density[(terrain.edge < 3) & (patchy > 0.35) & ~place.village] = 0.75
    density[(terrain.shore < 14) & (patchy > -0.4)] = 0.65
    density[wood] = 0.98
    sealed = ndimage.binary_dilation(place.built | place.bare, iterations=2)
    density[sealed | (terrain.shore < 1)] = 0
    return density


def _grow(
    canvas: Canvas, density: Plane, wood: Mask, generator: np.random.Generator
) -> tuple[Plane, NDArray[np.int32]]:
    """Draw crowns at jittered lattice points, with the given density.

    Crowns are domes, and the highest one covers a pixel. A crown extends less than two lattice
    steps, so that nine lattice points per pixel are enough.
    """
    rows, columns = canvas.shape
    lattice = (rows // _SPACING + 3, columns // _SPACING + 3)
    jitter = generator.uniform(-0.42, 0.42, (2, *lattice)).astype(np.float32)
    nodes = np.indices(lattice, dtype=np.float32)
    y, x = (nodes + jitter - 0.5) * _SPACING
    spot = (np.clip(y, 0, rows - 1).astype(int), np.clip(x, 0, columns - 1).astype(int))
    standing = generator.random(lattice) < density[spot]
    radius = np.where(wood[spot], 4.9, 3.6) * generator.uniform(0.7, 1.25, lattice)
    top = np.where(wood[spot], 15, 9) * generator.uniform(0.75, 1.2, lattice)
    radius = np.where(standing, radius, 0).astype(np.float32)
    top = top.astype(np.float32)

    ragged = 1 + 0.16 * smooth_noise(canvas.shape, 3.5, generator)
    row = np.arange(rows, dtype=np.float32)[:, None]
    column = np.arange(columns, dtype=np.float32)[None, :]
    node_row = np.arange(rows)[:, None] // _SPACING + 1
    node_column = np.arange(columns)[None, :] // _SPACING + 1
    height = np.zeros(canvas.shape, dtype=np.float32)
    crown = np.full(canvas.shape, -1, dtype=np.int32)
    for step in np.ndindex(3, 3):
        near = (node_row + step[0] - 1, node_column + step[1] - 1)
        reach = np.maximum(radius[near], 1e-3)
        squared = ((row - y[near]) ** 2 + (column - x[near]) ** 2) * ragged / reach**2
        dome = np.where(squared < 1, top[near] * (1 - 0.6 * squared), 0).astype(np.float32)
        higher = dome > height
        height[higher] = dome[higher]
        crown[higher] = (near[0] * lattice[1] + near[1])[higher]
    return height, crown
