"""The open land: relief, a river, a pond, and the parcels between them."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mapsr.data.landscape.canvas import Canvas, Curve, Mask, Plane, rough_noise, smooth_noise


class Crop(IntEnum):
    """Crop of a field."""

    MEADOW = 0
    PASTURE = 1
    YOUNG = 2
    MAIZE = 3
    WHEAT = 4
    STUBBLE = 5
    PLOUGHED = 6
    HAY = 7


CROP_SHARES = (0.34, 0.24, 0.18, 0.14, 0.04, 0.02, 0.02, 0.02)
"""Shares of the fields, in the order of ``Crop``: early summer, when most are green."""


@dataclass(frozen=True)
class Terrain:
    """Relief, water and fields; all arrays are (H, W) of the canvas."""

    relief: Plane
    """Height of the ground in units of its standard deviation."""
    river: Curve
    """Centre line of the river."""
    shore: Plane
    """Metres to the nearest river bank or pond shore, negative in the water."""
    parcel: NDArray[np.int32]
    """Index of the field of each pixel, from 0."""
    crop: NDArray[np.uint8]
    """Codes of ``Crop``."""
    rows: Plane
    """Position across the crop rows of its field, in metres."""
    edge: Plane
    """Distance to the nearest field boundary in metres."""
    track: Plane
    """Distance to the nearest boundary with a farm track in metres."""

    @property
    def water(self) -> Mask:
        """All pixels of water."""
        return self.shore < 0


def draw_terrain(canvas: Canvas, generator: np.random.Generator) -> Terrain:
    """Draw the open land.

    Args:
        canvas: to draw on.
        generator: the only source of randomness.
    """
    relief = rough_noise(canvas.shape, 0.6 * canvas.extent, generator)
    river = _river(canvas, generator)
    shore = _river_shore(canvas, river, generator)
    shore = np.minimum(shore, _pond_shore(canvas, relief, shore, river, generator))
    parcel, rows, edge, track = _parcels(canvas, generator)
    numbers, order = np.unique(parcel, return_inverse=True)
    crops = generator.choice(len(Crop), len(numbers), p=CROP_SHARES).astype(np.uint8)
    field: NDArray[np.int32] = order.reshape(canvas.shape).astype(np.int32)
    return Terrain(relief, river, shore, field, crops[field], rows, edge, track)


def _river(canvas: Canvas, generator: np.random.Generator) -> Curve:
    """Draw a winding river beside the middle, so that one side has room for a village."""
    extent = canvas.extent
    waves = tuple(
        (
            amplitude * extent * generator.uniform(0.8, 1.2),
            wavelength * extent * generator.uniform(0.85, 1.15),
            generator.uniform(0, 2 * np.pi),
        )
        for amplitude, wavelength in ((0.06, 0.95), (0.02, 0.4))
    )
    side = generator.choice((-1.0, 1.0))
    return Curve(generator.uniform(0, np.pi), side * 0.2 * extent, waves)


def _river_shore(canvas: Canvas, river: Curve, generator: np.random.Generator) -> Plane:
    # a river narrower than a cell of 30 m would be absent from the coarse product
    half_width = np.clip(0.038 * canvas.extent, 15, 22) * generator.uniform(0.95, 1.2)
    width = half_width * (1 + 0.14 * smooth_noise(canvas.shape, 90, generator))
    ragged = 0.7 * smooth_noise(canvas.shape, 9, generator)
    return np.asarray(np.abs(river.distance(canvas)) - width + ragged, dtype=np.float32)


def _pond_shore(
    canvas: Canvas, relief: Plane, shore: Plane, river: Curve, generator: np.random.Generator
) -> Plane:
    """Place a pond in the deepest hollow away from the river, opposite the village."""
    radius = np.clip(0.04 * canvas.extent, 4, 20) * generator.uniform(0.7, 1.1)
    away = canvas.inside(np.asarray(shore > 1.5 * radius))
    away &= np.sign(river.distance(canvas)) == np.sign(river.offset)
    if not away.any():
        return np.full(canvas.shape, np.inf, dtype=np.float32)
    row, column = np.unravel_index(np.argmin(np.where(away, relief, np.inf)), canvas.shape)
    middle = (row - (canvas.shape[0] - 1) / 2, column - (canvas.shape[1] - 1) / 2)
    along, across = canvas.axes(generator.uniform(0, np.pi), middle)
    ragged = 0.15 * radius * smooth_noise(canvas.shape, 2 * radius, generator)
    return np.asarray(np.hypot(along, 1.5 * across) - radius + ragged, dtype=np.float32)


def _parcels(
    canvas: Canvas, generator: np.random.Generator
) -> tuple[NDArray[np.int32], Plane, Plane, Plane]:
    """Divide the land into strips, and each strip into fields."""
    along, across = canvas.axes(generator.uniform(0, np.pi))
    across = across + 5 * smooth_noise(canvas.shape, 260, generator)
    reach = 0.75 * float(np.hypot(*canvas.shape))
    borders = _cuts(reach, 75, 125, generator)
    strip = np.searchsorted(borders, across)
    edge = _nearest(borders, strip, across)
    lined = borders[1::4]
    track = _nearest(lined, np.searchsorted(lined, across), across)
    parcel = np.zeros(canvas.shape, dtype=np.int32)
    rows = np.asarray(across, dtype=np.float32)
    for number in np.unique(strip):
        here = strip == number
        cuts = _cuts(reach, 70, 170, generator)
        field = np.searchsorted(cuts, along[here])
        parcel[here] = 1000 * number + field
        edge[here] = np.minimum(edge[here], _nearest(cuts, field, along[here]))
        # rows run along or across the strip
        crosswise = generator.random(len(cuts) + 1) < 0.4
        rows[here] = np.where(crosswise[field], along[here], across[here])
    return parcel, rows, edge, track


def _cuts(
    reach: float, shortest: float, longest: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    steps = generator.uniform(shortest, longest, int(2 * reach / shortest) + 1)
    return np.asarray(-reach + np.cumsum(steps) - steps[0] * generator.random())


def _nearest(cuts: NDArray[np.float64], after: NDArray[np.int64], position: Plane) -> Plane:
    """Return the distance to the nearest of sorted cuts; ``after`` counts the cuts before."""
    padded = np.concatenate([[-np.inf], cuts, [np.inf]])
    nearest = np.minimum(position - padded[after], padded[after + 1] - position)
    return np.asarray(nearest, dtype=np.float32)
