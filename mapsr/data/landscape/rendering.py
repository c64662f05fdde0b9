"""The image of a landscape: colours, texture, light, shadows and the sensor."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mapsr.data.landscape.canvas import Canvas, Mask, Plane, grain, smooth_noise
from mapsr.data.landscape.settlement import Roof, Settlement
from mapsr.data.landscape.terrain import Crop, Terrain
from mapsr.data.landscape.woods import Woods

Colour = tuple[int, int, int, int]

# Red, green, blue and near infrared of 8 bits, as summer imagery shows them. Neighbours in this
# list overlap between classes on purpose: bare soil and brown roofs, shaded conifers and water.
COLOURS: dict[str, Colour] = {
    "water": (66, 80, 72, 44),
    "bare": (178, 160, 132, 144),
    "lawn": (106, 132, 82, 176),
    "meadow": (116, 130, 84, 160),
    "brush": (122, 126, 86, 146),
    "asphalt": (126, 124, 122, 96),
    "gravel": (166, 152, 128, 134),
    "paving": (156, 150, 142, 122),
    "broad": (84, 106, 66, 164),
    "conifer": (58, 76, 58, 108),
}
FIELDS: dict[Crop, Colour] = {
    Crop.MEADOW: (112, 132, 82, 172),
    Crop.PASTURE: (126, 136, 90, 164),
    Crop.YOUNG: (106, 134, 76, 186),
    Crop.MAIZE: (98, 130, 72, 192),
    Crop.WHEAT: (168, 156, 112, 156),
    Crop.STUBBLE: (156, 140, 112, 126),
    Crop.PLOUGHED: (136, 114, 92, 106),
    Crop.HAY: (146, 148, 100, 156),
}
ROOFS: dict[Roof, Colour] = {
    Roof.RED: (150, 102, 84, 112),
    Roof.BROWN: (132, 112, 94, 98),
    Roof.GREY: (136, 130, 124, 106),
    Roof.DARK: (86, 86, 92, 80),
    Roof.BRIGHT: (214, 212, 206, 190),
}
SUN_SLOPE = 1.15
"""Metres that a sun ray descends per metre of ground, towards the south-east."""
SHADE = (0.42, 0.46, 0.55, 0.38)
"""Share of light left in shadows per band: skylight, so most of it in the blue."""


def render(
    canvas: Canvas,
    terrain: Terrain,
    place: Settlement,
    woods: Woods,
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    """Render a landscape as an aerial image.

    Args:
        canvas: of the landscape.
        terrain: the open land.
        place: what is built.
        woods: the trees.
        generator: the only source of randomness.

    Returns:
        uint8 (4, H, W) of the canvas: red, green, blue, near infrared.
    """
    image = _open_land(canvas, terrain, place, woods, generator)
    _paint_built(image, canvas, place, generator)
    _paint_water(image, canvas, terrain, place, generator)
    canopy = woods.height > place.height
    _paint_trees(image, woods, canopy, generator)
    surface = np.where(canopy, woods.height, place.height)
    image *= _light(terrain, place, surface, canopy)
    shadow = ndimage.gaussian_filter(cast_shadows(surface).astype(np.float32), 0.6)
    image *= 1 - shadow * (1 - np.array(SHADE, dtype=np.float32)[:, None, None])
    return _sense(image, canvas, generator)


def _open_land(
    canvas: Canvas,
    terrain: Terrain,
    place: Settlement,
    woods: Woods,
    generator: np.random.Generator,
) -> Plane:
    """Paint fields, lawns, clearings, forest floor and bare ground."""
    image = _fields(canvas, terrain, generator)
    patches = smooth_noise(canvas.shape, 18, generator)
    _paint(image, (terrain.shore < 9) | (terrain.edge < 1.5), COLOURS["meadow"])
    _paint(image, place.village, COLOURS["lawn"])
    _paint(image, woods.wood, COLOURS["brush"], 0.85)
    _paint(image, woods.cleared, COLOURS["brush"])
    image *= 1 + 0.07 * patches + 0.05 * smooth_noise(canvas.shape, 55, generator)
    _paint(image, woods.cleared & (patches > 0.9), COLOURS["bare"], 0.85)
    _paint(image, place.bare, COLOURS["bare"])
    image *= 1 + 0.08 * grain(canvas.shape, generator)
    return image


def _fields(canvas: Canvas, terrain: Terrain, generator: np.random.Generator) -> Plane:
    """Paint each field with its crop, its rows and tractor lanes."""
    field = terrain.parcel
    count = int(field.max()) + 1
    tone = generator.normal(1, 0.06, (count, 1)) * generator.normal(1, 0.03, (count, 4))
    colours = np.array([FIELDS[crop] for crop in Crop], dtype=np.float32)
    colours = colours[terrain.crop] * tone.astype(np.float32)[field]  # (H, W, 4)
    image = np.ascontiguousarray(np.moveaxis(colours, -1, 0))
    spacing = generator.uniform(2.6, 5.5, count).astype(np.float32)[field]
    sown = terrain.crop > Crop.PASTURE
    strength = generator.uniform(0.025, 0.06, count).astype(np.float32)[field]
    strength[~sown] *= np.float32(0.25)
    image *= 1 + strength * np.sin(2 * np.pi * terrain.rows / spacing)
    lanes = (np.mod(terrain.rows, 21) < 1.3) & sown
    image[:, lanes] *= np.float32(0.9)
    # uneven growth: infrared rises with it, the visible bands fall
    growth = smooth_noise(canvas.shape, 38, generator) + 0.5 * terrain.relief
    image *= 1 + growth * np.array([-0.06, -0.005, -0.04, 0.06], np.float32)[:, None, None]
    return image


def _paint_built(
    image: Plane, canvas: Canvas, place: Settlement, generator: np.random.Generator
) -> None:
    worn = smooth_noise(canvas.shape, 14, generator)
    fine = grain(canvas.shape, generator)
    _paint(image, place.paving, COLOURS["paving"])
    _paint(image, place.road, COLOURS["asphalt"])
    _paint(image, place.track, COLOURS["gravel"])
    sealed = place.road | place.paving
    image[:, sealed] *= (1 + 0.08 * worn + 0.04 * fine)[sealed]
    for roof, colour in ROOFS.items():
        _paint(image, place.roof == roof, colour)
    roofs = place.roof > 0
    image[:, roofs] *= (1 + 0.07 * worn + 0.03 * fine)[roofs]


def _paint_water(
    image: Plane,
    canvas: Canvas,
    terrain: Terrain,
    place: Settlement,
    generator: np.random.Generator,
) -> None:
    """Paint water, lighter where shallow, except below bridges."""
    water = terrain.water & ~place.built
    shallow = np.exp(terrain.shore[water] / 3)
    ripple = 1 + 0.06 * smooth_noise(canvas.shape, 45, generator)
    ripple += 0.03 * grain(canvas.shape, generator)
    _paint(image, water, COLOURS["water"])
    image[:, water] *= ripple[water] * (1 + 0.45 * shallow)


def _paint_trees(image: Plane, woods: Woods, canopy: Mask, generator: np.random.Generator) -> None:
    """Paint each crown in its own tone."""
    count = int(woods.crown.max()) + 2
    tone = generator.normal(1, 0.13, (count, 1)) * generator.normal(1, 0.05, (count, 4))
    # single conifers among broad-leaved trees, and vice versa
    stray = generator.normal(0, 0.45, count)
    crown = woods.crown[canopy]
    is_conifer = (woods.conifer[canopy] + stray[crown]) > 0
    palette = np.array([COLOURS["broad"], COLOURS["conifer"]], dtype=np.float32)
    image[:, canopy] = (palette[is_conifer.astype(int)] * tone[crown]).T


def _light(terrain: Terrain, place: Settlement, surface: Plane, canopy: Mask) -> Plane:
    """Return the brightness factor of slopes, above 1 where they face north-west."""
    rise = surface - np.roll(surface, (2, 2), axis=(0, 1))
    leaves = np.clip(0.075 * rise, -0.42, 0.34) + 0.02 * (surface - 9)
    ground = 0.25 * (terrain.relief - np.roll(terrain.relief, (2, 2), axis=(0, 1)))
    return np.asarray(
        1 + np.where(canopy, leaves, 0.16 * place.facing) + np.clip(ground, -0.1, 0.1),
        dtype=np.float32,
    )


def cast_shadows(surface: Plane) -> Mask:
    """Return the pixels that something to their north-west shades.

    Args:
        surface: metres of canopy and roofs above the ground, (H, W) of 1 m.

    Returns:
        bool (H, W).
    """
    shadow = np.zeros(surface.shape, dtype=bool)
    reach = int(float(surface.max()) / (SUN_SLOPE * np.sqrt(2))) + 1
    for step in range(1, min(reach, *surface.shape)):
        sunk = surface[:-step, :-step] - np.float32(step * SUN_SLOPE * np.sqrt(2))
        # crowns let light through at their rim: only what is well below them is in shade
        shadow[step:, step:] |= sunk > surface[step:, step:] + 1
    return shadow


def _sense(image: Plane, canvas: Canvas, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Add the sensor's blur, a brightness gradient across the scene and noise per band."""
    along, _ = canvas.axes(generator.uniform(0, 2 * np.pi))
    image = image * (1 + np.float32(0.06 / max(canvas.shape)) * along)
    image *= generator.normal(1, 0.05, (4, 1, 1)).astype(np.float32)
    image = ndimage.gaussian_filter(image, (0, 0.55, 0.55))
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    image += noise * np.array([3.6, 3.2, 3.8, 4.4], dtype=np.float32)[:, None, None]
    return np.asarray(np.clip(np.rint(image), 1, 255).astype(np.uint8))


def _paint(image: Plane, where: Mask, colour: Colour, strength: float = 1.0) -> None:
    """Blend a colour into (4, H, W) with a strength, 1 for opaque."""
    paint = np.array(colour, dtype=np.float32)[:, None]
    image[:, where] = (1 - strength) * image[:, where] + strength * paint
