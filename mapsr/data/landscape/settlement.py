"""Built-up land: roads, a village with houses and gardens, farms, bare ground."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mapsr.data.landscape.canvas import Canvas, Curve, Mask, Plane, Rectangle, smooth_noise
from mapsr.data.landscape.terrain import Terrain

LOT_WIDTH, LOT_DEPTH = 22.0, 26.0
"""Size of a house's lot in metres along and across its street."""


class Roof(IntEnum):
    """Roof of a building; 0 where there is none."""

    NONE = 0
    RED = 1
    BROWN = 2
    GREY = 3
    DARK = 4
    BRIGHT = 5


@dataclass
class Settlement:
    """Buildings and other artificial surfaces; all arrays are (H, W) of the canvas."""

    canvas: Canvas
    road: Mask = field(init=False)
    """Asphalt roads and farm tracks."""
    track: Mask = field(init=False)
    """The roads of gravel."""
    paving: Mask = field(init=False)
    """Driveways, yards and parking."""
    village: Mask = field(init=False)
    """Lots and streets; lawns and gardens where there is nothing else."""
    bare: Mask = field(init=False)
    """Building sites and pits."""
    recent: Mask = field(init=False)
    """Built after the coarse product was made."""
    roof: NDArray[np.uint8] = field(init=False)
    """Codes of ``Roof``."""
    facing: Plane = field(init=False)
    """How directly a roof faces the sun, -1 to 1."""
    height: Plane = field(init=False)
    """Metres of buildings above the ground, 0 where there is none."""

    def __post_init__(self) -> None:
        shape = self.canvas.shape
        for name in ("road", "track", "paving", "village", "bare", "recent"):
            setattr(self, name, np.zeros(shape, dtype=bool))
        self.roof = np.zeros(shape, dtype=np.uint8)
        self.facing = np.zeros(shape, dtype=np.float32)
        self.height = np.zeros(shape, dtype=np.float32)

    @property
    def built(self) -> Mask:
        """All impervious pixels."""
        return self.road | self.paving | (self.roof > 0)

    def pave(self, shape: Rectangle, *, recent: bool = False) -> None:
        """Pave a rectangle."""
        window, inside = shape.window(self.canvas), shape.inside(self.canvas)
        self.paving[window] |= inside
        self.recent[window] |= inside & ~self.road[window] & recent

    def clear(self, shape: Rectangle) -> None:
        """Make a rectangle bare ground."""
        self.bare[shape.window(self.canvas)] |= shape.inside(self.canvas)

    def build(
        self, shape: Rectangle, roof: Roof, height: float, *, flat: bool = False, recent: bool
    ) -> None:
        """Add a building whose ridge runs along a rectangle.

        Args:
            shape: its outline.
            roof: its material.
            height: metres of the ridge, or of the flat roof.
            flat: whether the roof is flat.
            recent: whether it was built after the coarse product was made.
        """
        window, inside = shape.window(self.canvas), shape.inside(self.canvas)
        _, across = shape.local(self.canvas)
        # light comes from the north-west: y and x both point away from it
        towards_sun = -(np.cos(shape.angle) - np.sin(shape.angle)) / np.sqrt(2)
        facing = np.zeros_like(across) if flat else np.sign(across) * np.float32(towards_sun)
        slope = 0.0 if flat else 0.35
        self.roof[window][inside] = roof
        self.facing[window][inside] = facing[inside]
        self.height[window][inside] = height - slope * np.abs(across[inside])
        self.recent[window] |= inside & recent


@dataclass(frozen=True)
class _Village:
    """Position and direction of the village."""

    centre: tuple[float, float]
    angle: float
    radius: float

    def place(self, along: float, across: float) -> tuple[float, float]:
        return Rectangle(self.centre, 0, 0, self.angle).beside(along, across)


def draw_settlement(canvas: Canvas, terrain: Terrain, generator: np.random.Generator) -> Settlement:
    """Draw roads, a village on the wider side of the river, farms and bare ground.

    Args:
        canvas: to draw on.
        terrain: the open land below.
        generator: the only source of randomness.
    """
    place = Settlement(canvas)
    village, main_road = _site(canvas, terrain, generator)
    _lay_roads(place, terrain, village, main_road, generator)
    streets = _lay_streets(place, village, generator)
    place.road &= ~terrain.water | (np.abs(main_road.distance(canvas)) < 4.5)
    for street in streets:
        _line_with_houses(place, terrain, village, street, generator)
    _add_halls(place, terrain, village, generator)
    _add_farms(place, terrain, village, generator)
    _add_bare_ground(place, terrain, village, generator)
    return place


def _site(
    canvas: Canvas, terrain: Terrain, generator: np.random.Generator
) -> tuple[_Village, Curve]:
    """Place the village away from the river, on a road that crosses it by a bridge."""
    extent = canvas.extent
    river = terrain.river
    frame = Rectangle((0, 0), 0, 0, river.angle)
    along = generator.uniform(-0.1, 0.1) * extent
    centre = frame.beside(along, -0.9 * river.offset)
    angle = river.angle + np.pi / 2 + generator.uniform(-0.4, 0.4)
    waves = tuple(
        (size * extent, length * extent, generator.uniform(0, 2 * np.pi))
        for size, length in ((0.03, 1.1), (0.008, 0.45))
    )
    road = Curve(angle, 0.0, waves)
    cosine, sine = np.cos(angle), np.sin(angle)
    position, slope = road.at(float(centre[1] * cosine + centre[0] * sine))
    road = Curve(angle, float(centre[0] * cosine - centre[1] * sine - position), waves)
    radius = float(max(0.25 * extent, 30.0)) * generator.uniform(0.9, 1.1)
    return _Village(centre, float(angle + np.arctan(slope)), radius), road


def _lay_roads(
    place: Settlement,
    terrain: Terrain,
    village: _Village,
    main_road: Curve,
    generator: np.random.Generator,
) -> None:
    """Draw the main road, a side road from the village, and farm tracks."""
    canvas = place.canvas
    place.road |= np.abs(main_road.distance(canvas)) < 3.9
    branch = village.angle + np.pi / 2 + generator.uniform(-0.25, 0.25)
    along, across = canvas.axes(branch, village.centre)
    bend = 0.02 * canvas.extent * np.sin(along / (0.2 * canvas.extent))
    outwards = along * generator.choice((-1, 1)) > 0
    place.road |= (np.abs(across - bend) < 3.0) & outwards
    ragged = 0.4 * smooth_noise(canvas.shape, 12, generator)
    place.track |= (terrain.track + ragged < 2.3) & (terrain.shore > 8)
    place.track &= ~place.road
    place.road |= place.track


def _lay_streets(
    place: Settlement, village: _Village, generator: np.random.Generator
) -> list[float]:
    """Draw the village's streets; return their offsets from its middle in metres."""
    along, across = place.canvas.axes(village.angle, village.centre)
    ragged = 0.12 * village.radius * smooth_noise(place.canvas.shape, village.radius, generator)
    place.village |= np.hypot(along, across) + ragged < village.radius
    gap = 2 * LOT_DEPTH + 6
    count = int(village.radius / gap)
    streets = [float(number * gap) for number in range(-count, count + 1)]
    for street in streets:
        if street:
            place.road |= (np.abs(across - street) < 2.8) & place.village
    if count:
        crossing = generator.uniform(-0.15, 0.15) * village.radius
        place.road |= (np.abs(along - crossing) < 2.8) & (np.abs(across) < count * gap + 2)
    place.track &= ~place.village
    return streets


def _line_with_houses(
    place: Settlement,
    terrain: Terrain,
    village: _Village,
    street: float,
    generator: np.random.Generator,
) -> None:
    """Add a house on each free lot on both sides of a street."""
    young = village.radius * 0.45
    for along in np.arange(-village.radius, village.radius, LOT_WIDTH):
        for side in (-1, 1):
            setback = generator.uniform(11, 16)
            spot = village.place(float(along), street + side * setback)
            turn = generator.choice((0.0, np.pi / 2)) + generator.normal(0, 0.06)
            size = generator.uniform(12, 18), generator.uniform(8.5, 11)
            house = Rectangle(spot, size[0], size[1], village.angle + turn)
            roof = Roof(generator.choice((1, 1, 2, 3, 3, 4, 5)))
            height = generator.uniform(6, 8.5)
            if not _is_free(place, terrain, house) or generator.random() < 0.06:
                continue
            recent = bool(along > young)
            drive = village.place(float(along) + 6, street + side * (setback / 2 + 1))
            place.pave(Rectangle(drive, 4.5, setback, village.angle), recent=recent)
            place.build(house, roof, height, recent=recent)
            if generator.random() < 0.35:
                shed = village.place(float(along) - 7, street + side * (setback + 11))
                place.build(Rectangle(shed, 4.5, 3.5, village.angle), Roof.GREY, 3, recent=recent)


def _is_free(place: Settlement, terrain: Terrain, shape: Rectangle) -> bool:
    """Tell whether a rectangle lies in the village, on dry ground without buildings."""
    window, inside = shape.window(place.canvas), shape.inside(place.canvas)
    taken = place.built[window] | ~place.village[window] | (terrain.shore[window] < 8)
    return bool(inside.any() and not (taken & inside).any())


def _add_halls(
    place: Settlement, terrain: Terrain, village: _Village, generator: np.random.Generator
) -> None:
    """Replace one edge of the village by flat-roofed halls with parking."""
    scale = min(1.0, village.radius / 90)
    side = generator.choice((-1, 1))
    centre = village.place(-0.85 * village.radius, side * 36 * scale)
    yard = Rectangle(centre, 70 * scale, 48 * scale, village.angle)
    window, inside = yard.window(place.canvas), yard.inside(place.canvas)
    if not inside.any() or (inside & (terrain.shore[window] < 6)).any():
        return
    place.roof[window][inside] = Roof.NONE
    place.height[window][inside] = 0
    place.facing[window][inside] = 0
    place.village[window] |= inside
    place.pave(yard)
    roofs = (Roof.BRIGHT, Roof.GREY)
    for along, length, roof in zip((-16, 18), (28, 24), roofs, strict=True):
        spot = yard.beside(along * scale, side * 8 * scale)
        hall = Rectangle(spot, length * scale, 22 * scale, village.angle)
        place.build(hall, roof, 7.5, flat=True, recent=False)


def _add_farms(
    place: Settlement, terrain: Terrain, village: _Village, generator: np.random.Generator
) -> None:
    """Add two farms with yards beside tracks, away from village and water."""
    canvas = place.canvas
    for _ in range(2):
        along, across = canvas.axes(0.0, village.centre)
        free = (np.hypot(along, across) > 1.4 * village.radius) & (terrain.shore > 24)
        free = canvas.inside(free & (terrain.track > 14) & (terrain.track < 20) & ~place.built)
        spots = np.flatnonzero(free)
        if not spots.size:
            return
        row, column = divmod(int(generator.choice(spots)), canvas.shape[1])
        middle = (row - (canvas.shape[0] - 1) / 2, column - (canvas.shape[1] - 1) / 2)
        yard = Rectangle(middle, 34, 22, generator.uniform(0, np.pi))
        place.pave(yard)
        barn = Rectangle(yard.beside(0, 11), 30, 13, yard.angle)
        place.build(barn, Roof(generator.choice((3, 4, 5))), 9, recent=False)
        house = Rectangle(yard.beside(10, -13), 13, 9, yard.angle + np.pi / 2)
        place.build(house, Roof.RED, 7.5, recent=False)


def _add_bare_ground(
    place: Settlement, terrain: Terrain, village: _Village, generator: np.random.Generator
) -> None:
    """Add a building site at the village's edge and sand along the river."""
    spot = village.place(0.95 * village.radius, generator.uniform(-0.3, 0.3) * village.radius)
    size = 0.4 * village.radius
    place.clear(Rectangle(spot, 1.4 * size, size, village.angle))
    sandy = smooth_noise(place.canvas.shape, 70, generator) > 0.7
    place.bare |= (terrain.shore < 4.5) & sandy
    place.bare &= ~terrain.water & ~place.built
