"""What the labelling benchmark votes on: a drawn region of any size, with six products."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from mapsr.files import write_json, write_text
from mapsr.geo import Grid, Window, window_writer
from mapsr.geo.projections import epsg
from mapsr.geo.vectors import open_layer

PIXEL_M = 0.5
_EPSG = 25832
_LEFT, _TOP = 346_000.0, 5_648_000.0
_CELL_PX = 64
"""Side of the fields and blocks that the land is made of."""
_FEATURES = 80
"""Buildings, areas and roads a patch: as many as in a town on OpenStreetMap."""
_RIGHT = 0.85
"""Share of the cells at which a product says what is there."""
# Codes of EcoVision's products by class 1 to 8; 0: it has none
_CODES = {
    "cbf": (PIXEL_M, (0, 1, 0, 0, 0, 0, 0, 0, 0)),
    "ucs": (PIXEL_M, (0, 0, 1, 0, 0, 0, 0, 0, 0)),
    "hi_ulcm": (2.0, (0, 5, 4, 7, 6, 3, 2, 1, 2)),
    "sinolc1": (1.0, (0, 6, 7, 1, 9, 2, 4, 6, 5)),
    "gisa": (10.0, (0, 1, 0, 1, 0, 0, 0, 1, 0)),
}
_AREAS = (
    *("building=yes", "amenity=parking", "landuse=grass", "landuse=forest", "landuse=quarry"),
    *("natural=water", "landuse=farmland"),
)
_ROADS = ("highway=residential", "highway=service", "highway=primary")


@dataclass(frozen=True)
class DrawnRegion:
    """Files of a region.

    Attributes:
        image: an image whose pixels nobody looks at in round 0.
        registry: YAML file that names all six.
        patches: how many it has.
    """

    image: Path
    registry: Path
    patches: int


def draw_region(folder: Path, side: int, patch_px: int) -> DrawnRegion:
    """Write a region of side x side patches; the land is another one in each.

    Args:
        folder: made where it is not there.
        side: patches along a side.
        patch_px: side of a patch in pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = side * patch_px
    image = folder / "image.tif"
    with window_writer(image, _grid(size, PIXEL_M), 1, "uint8", 0) as write:
        rows = np.ones((1, patch_px, size), np.uint8)  # what it shows does not count
        for top in range(0, size, patch_px):
            write(Window(top, 0, patch_px, size), rows)
    for number, (name, (pixel_m, codes)) in enumerate(_CODES.items()):
        _write_product(folder / f"{name}.tif", size, pixel_m, np.array(codes, np.uint8), number)
    streets = _write_vectors(folder, side, patch_px)
    write_text(folder / "region.yaml", _registry(streets.name))
    return DrawnRegion(image, folder / "region.yaml", side * side)


def _grid(size: int, pixel_m: float) -> Grid:
    pixels = round(size * PIXEL_M / pixel_m)
    transform = Affine(pixel_m, 0, _LEFT, 0, -pixel_m, _TOP)
    return Grid(epsg(_EPSG), transform, pixels, pixels)


def _write_product(
    path: Path, size: int, pixel_m: float, codes: NDArray[np.uint8], number: int
) -> None:
    """Write a product in strips, of cells whose class it mostly knows."""
    grid = _grid(size, pixel_m)
    cells = max(1, round(_CELL_PX * PIXEL_M / pixel_m))
    across = -(-grid.width // cells)
    with window_writer(path, grid, 1, "uint8", 255) as write:
        for top in range(0, grid.height, cells):
            land = np.random.default_rng([20, top // cells]).integers(1, 9, across)
            own = np.random.default_rng([20, top // cells, number])
            wrong = own.random(across) > _RIGHT
            land[wrong] = own.integers(1, 9, int(wrong.sum()))
            high = min(cells, grid.height - top)
            row = np.repeat(codes[land], cells)[: grid.width]
            window = Window(top, 0, high, grid.width)
            write(window, np.broadcast_to(row, (1, high, grid.width)).copy())


def _write_vectors(folder: Path, side: int, patch_px: int) -> Path:
    """Write areas and lines as FlatGeobuf, which is read by window."""
    name = f"urn:ogc:def:crs:EPSG::{_EPSG}"
    crs = {"type": "name", "properties": {"name": name}}
    found = {"type": "FeatureCollection", "crs": crs, "features": list(_features(side, patch_px))}
    plain = folder / "osm.geojson"
    write_json(plain, found)
    return open_layer(plain, None, folder).copy


def _features(side: int, patch_px: int) -> Iterator[Mapping[str, object]]:
    keys = dict.fromkeys(tag.partition("=")[0] for tag in (*_AREAS, *_ROADS))
    width = patch_px * PIXEL_M
    for patch in range(side * side):
        generator = np.random.default_rng([21, patch])
        corner = _LEFT + patch % side * width, _TOP - (patch // side + 1) * width
        for number in range(_FEATURES):
            x, y = (low + generator.uniform(0, width) for low in corner)
            road = number % 4 == 0
            tag = str(generator.choice(_ROADS if road else _AREAS))
            points = _line(x, y, generator) if road else _ring(x, y, generator)
            kind, places = ("LineString", points) if road else ("Polygon", [points])
            key, _, value = tag.partition("=")
            yield {
                "type": "Feature",
                "geometry": {"type": kind, "coordinates": places},
                "properties": {one: value if one == key else None for one in keys},
            }


def _ring(x: float, y: float, generator: np.random.Generator) -> list[list[float]]:
    """An area of twelve corners, 10 to 60 m wide."""
    angles = np.linspace(0, 2 * np.pi, 13)[:-1]
    reach = generator.uniform(5, 30) * generator.uniform(0.8, 1.2, 12)
    points = np.column_stack((x + reach * np.cos(angles), y + reach * np.sin(angles)))
    return [*points.round(2).tolist(), points[0].round(2).tolist()]


def _line(x: float, y: float, generator: np.random.Generator) -> list[list[float]]:
    """A road of eight bends, about 200 m long."""
    steps = generator.normal(0, 5, (8, 2)) + generator.uniform(-25, 25, 2)
    places: list[list[float]] = (np.cumsum(steps, axis=0) + np.array([x, y])).round(2).tolist()
    return places


def _registry(vectors: str) -> str:
    """The products of EcoVision, with the drawn vectors in one layer."""
    products = {
        name: {"preset": f"ecovision.{name}" if name != "sinolc1" else "sinolc1", "path": file}
        for name, file in ((name, f"{name}.tif") for name in _CODES)
    }
    osm = {
        "path": vectors,
        "kind": "general",
        "layers": {
            "features": {
                "buffers_m": dict.fromkeys(_ROADS, 1.5),
                "classes": {
                    "buildings": ["building=*"],
                    "other impervious": ["amenity=parking"],
                    "grass and shrubs": ["landuse=grass"],
                    "trees": ["landuse=forest"],
                    "soil": ["landuse=quarry"],
                    "water": ["natural=water"],
                    "agriculture": ["landuse=farmland"],
                    "roads": list(_ROADS),
                },
            }
        },
    }
    top = {"name": "region", "target": "ecovision8", "resolution_m": PIXEL_M, "reference": 2020}
    # JSON is YAML
    return json.dumps(top | {"products": products | {"osm": osm}}, indent=1) + "\n"
