"""A synthetic landscape at 1 m: its objects, its land cover and its image."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mapsr.data.landscape.canvas import Canvas, Mask
from mapsr.data.landscape.rendering import render
from mapsr.data.landscape.settlement import Settlement, draw_settlement
from mapsr.data.landscape.terrain import Crop, Terrain, draw_terrain
from mapsr.data.landscape.woods import Woods, draw_woods

__all__ = ["Canvas", "Cover", "Crop", "Landscape", "draw_landscape"]


class Cover(IntEnum):
    """Land cover at 1 m, in the codes of ``chesapeake_1m``."""

    WATER = 1
    TREE = 2
    LOW = 3
    BARREN = 4
    IMPERVIOUS = 5
    ROAD = 6


@dataclass(frozen=True)
class Landscape:
    """A landscape and its image."""

    canvas: Canvas
    """What it is drawn on."""
    terrain: Terrain
    """The open land."""
    place: Settlement
    """What is built."""
    woods: Woods
    """The trees."""
    image: NDArray[np.uint8]
    """uint8 (4, H, W): red, green, blue, near infrared."""

    def cover(self) -> NDArray[np.uint8]:
        """Return the land cover as seen from above, codes of ``Cover``, uint8 (H, W)."""
        return self._cover(self.place.built, self.woods.height > self.place.height)

    def earlier_cover(self) -> NDArray[np.uint8]:
        """Return the land cover before the recent houses were built and the clearing was cut."""
        trees = self.woods.cleared | (self.woods.height > self.place.height)
        return self._cover(self.place.built & ~self.place.recent, trees)

    def _cover(self, built: Mask, trees: Mask) -> NDArray[np.uint8]:
        place = self.place
        cover = np.full(self.canvas.shape, Cover.LOW, dtype=np.uint8)
        cover[place.bare] = Cover.BARREN
        cover[self.terrain.water] = Cover.WATER
        cover[built] = Cover.IMPERVIOUS
        cover[built & place.road & (place.roof == 0)] = Cover.ROAD
        cover[trees] = Cover.TREE
        return cover


def draw_landscape(canvas: Canvas, generator: np.random.Generator) -> Landscape:
    """Draw a landscape.

    Args:
        canvas: to draw on.
        generator: the only source of randomness.
    """
    land, houses, trees, light = generator.spawn(4)
    terrain = draw_terrain(canvas, land)
    place = draw_settlement(canvas, terrain, houses)
    woods = draw_woods(canvas, terrain, place, trees)
    return Landscape(canvas, terrain, place, woods, render(canvas, terrain, place, woods, light))
