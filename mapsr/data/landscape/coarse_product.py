"""A coarse land-cover product of a landscape, with the errors of real products.

It has another CRS, is shifted against the image, older than it, has mixed cells, overestimates
developed land, and confuses classes in patches. Codes are those of NLCD.
"""

from collections.abc import Mapping

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import transform, transform_bounds

from mapsr.data.landscape import Cover, Crop, Landscape
from mapsr.data.landscape.canvas import Mask, smooth_noise
from mapsr.geo import Grid
from mapsr.geo.projections import epsg

CELL = 30
"""Metres of a cell's side."""
_CONUS_ALBERS = 5070
"""EPSG code of the CRS that the national product comes in."""
CONFUSED_SHARE = 0.1
"""Share of cells with a confused class, in addition to the other errors."""
_SAMPLES = 10
"""Sample points along a cell's side: every 3 m, a third of a house."""
_DAMP = 18
"""Mean distance to water in metres below which a cell of trees or reed is wetland."""
_CONFUSIONS = {
    11: (90, 95),
    21: (71, 81),
    22: (21, 23),
    23: (22, 24),
    24: (23, 31),
    31: (22, 82),
    41: (43, 52),
    42: (11, 43),
    43: (41, 71),
    52: (71, 41),
    71: (52, 81),
    81: (41, 21),
    82: (31, 81),
    90: (41, 11),
    95: (90, 71),
}
"""Code of a cell -> codes that it is confused with."""

Codes = NDArray[np.uint8]
Shares = NDArray[np.floating]


def make_coarse_product(
    landscape: Landscape, image_grid: Grid, generator: np.random.Generator
) -> tuple[Codes, Grid]:
    """Map a landscape in cells of 30 m.

    Args:
        landscape: with its margin.
        image_grid: where its image lies, in a projected CRS of metres.
        generator: the only source of randomness.

    Returns:
        NLCD codes, uint8 (h, w), and the grid of the cells in EPSG:5070, which covers the image
        and about a cell more.
    """
    grid = coarse_grid(image_grid)
    points = _footprints(grid, landscape, image_grid, _draw_shift(generator))
    codes = _classify(landscape, points, generator)
    return _confuse(codes, generator), grid


def coarse_grid(image_grid: Grid) -> Grid:
    """Return the cells of 30 m in EPSG:5070 that cover an image and a cell around it.

    Cells of all scenes lie on one lattice, as those of one product do.
    """
    albers = epsg(_CONUS_ALBERS)
    left, bottom, right, top = transform_bounds(image_grid.crs, albers, *image_grid.bounds)
    west, north = (np.floor(left / CELL) - 1) * CELL, (np.ceil(top / CELL) + 1) * CELL
    width = int(np.ceil(right / CELL) + 1 - west / CELL)
    height = int(north / CELL - np.floor(bottom / CELL) + 1)
    return Grid(albers, Affine(CELL, 0, west, 0, -CELL, north), height, width)


def _draw_shift(generator: np.random.Generator) -> tuple[float, float]:
    """Draw the shift (x, y) of the product in metres."""
    angle = generator.uniform(0, 2 * np.pi)
    length = CELL / 2 * generator.uniform(0.6, 1.0)
    return float(length * np.cos(angle)), float(length * np.sin(angle))


def _footprints(
    grid: Grid, landscape: Landscape, image_grid: Grid, shift: tuple[float, float]
) -> NDArray[np.int64]:
    """Return the canvas pixels that each cell samples.

    Returns:
        Indices into the flattened canvas, int64 (h, w, points). Points beyond the canvas
        take its edge: such cells lie off the image.
    """
    steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    columns = np.add.outer(np.arange(grid.width), steps).ravel()
    rows = np.add.outer(np.arange(grid.height), steps).ravel()
    x, y = np.meshgrid(grid.transform.c + CELL * columns, grid.transform.f - CELL * rows)
    eastings, northings = transform(
        grid.crs, image_grid.crs, (x + shift[0]).ravel(), (y + shift[1]).ravel()
    )
    canvas = landscape.canvas
    column = (np.asarray(eastings) - image_grid.transform.c) / image_grid.transform.a
    row = (np.asarray(northings) - image_grid.transform.f) / image_grid.transform.e
    height, width = canvas.shape
    column = np.clip(np.floor(column) + canvas.margin, 0, width - 1)
    row = np.clip(np.floor(row) + canvas.margin, 0, height - 1)
    points: NDArray[np.int64] = (row * width + column).astype(np.int64)
    blocks = points.reshape(grid.height, _SAMPLES, grid.width, _SAMPLES)
    return blocks.transpose(0, 2, 1, 3).reshape(grid.height, grid.width, -1)


def _classify(
    landscape: Landscape, points: NDArray[np.int64], generator: np.random.Generator
) -> Codes:
    """Give each cell the code of its sample points at the earlier date."""
    cover = landscape.earlier_cover().ravel()[points]
    share = {kind: np.mean(cover == kind, axis=-1) for kind in Cover}
    damp = landscape.terrain.shore.ravel()[points].mean(axis=-1) < _DAMP
    shrubby = generator.random(damp.shape) < 0.6
    forest = _forest(landscape.woods.conifer.ravel()[points].mean(axis=-1))
    farmland = _farmland(landscape.terrain.crop.ravel()[points])
    return dominant_code(share, damp, shrubby, forest, farmland)


def dominant_code(
    share: Mapping[Cover, Shares], damp: Mask, shrubby: Mask, forest: Codes, farmland: Codes
) -> Codes:
    """Give each cell the NLCD code of its dominant cover; developed land has priority.

    From 20, 50 and 80 % impervious a cell is of low, medium and high intensity, as in NLCD.

    Args:
        share: of each cover in a cell, 0 to 1, (h, w) each.
        damp: whether a cell lies at a river or pond, (h, w).
        shrubby: whether a wood's edge in a cell counts as shrub, (h, w).
        forest: code for a cell of trees, (h, w).
        farmland: code for a cell of low vegetation, (h, w).
    """
    impervious = share[Cover.IMPERVIOUS] + share[Cover.ROAD]
    water, trees = share[Cover.WATER], share[Cover.TREE]
    green = np.maximum(trees, share[Cover.LOW])
    codes = np.select(
        [
            water > np.maximum(impervious, trees + share[Cover.LOW] + share[Cover.BARREN]),
            impervious >= 0.8,
            impervious >= 0.5,
            impervious >= 0.2,
            impervious >= 0.1,
            share[Cover.BARREN] > green,
            damp & (trees > 0.4),
            damp & (water > 0.15),
            trees > 0.5,
            shrubby & (trees > 0.35),
        ],
        [11, 24, 23, 22, 21, 31, 90, 95, forest.astype(int), 52],
        farmland.astype(int),
    )
    return codes.astype(np.uint8)


def _forest(conifer: Shares) -> Codes:
    """Return deciduous, mixed or evergreen forest."""
    return np.select([conifer < -0.3, conifer < 0.3], [41, 43], 42).astype(np.uint8)


def _farmland(crop: NDArray[np.uint8]) -> Codes:
    """Return grassland, pasture or crops by what most points of a cell grow."""
    grass = np.mean(crop == Crop.MEADOW, axis=-1)
    pasture = np.mean((crop == Crop.PASTURE) | (crop == Crop.HAY), axis=-1)
    crops = 1 - grass - pasture
    most = [crops >= np.maximum(grass, pasture), pasture >= grass]
    return np.select(most, [82, 81], 71).astype(np.uint8)


def _confuse(codes: Codes, generator: np.random.Generator) -> Codes:
    """Replace the class in patches of cells by a similar one."""
    patches = smooth_noise(codes.shape, 7, generator)
    wrong = patches > np.quantile(patches, 1 - CONFUSED_SHARE)
    which = generator.integers(0, 2, codes.shape)
    mistaken = codes.copy()
    for code, others in _CONFUSIONS.items():
        here = wrong & (codes == code)
        mistaken[here] = np.array(others, dtype=np.uint8)[which[here]]
    return mistaken
