"""A miniature place with three products, an image whose colours show the classes, and truth."""

from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from mapsr.geo import Grid, write_raster

UTM = CRS.from_epsg(25832)
HEIGHT, WIDTH = 70, 110
COLOURS = np.array([(200, 60, 50), (60, 110, 200), (40, 120, 60), (230, 210, 110)], float)
CLASSES = ("impervious", "water", "tree canopy", "low vegetation")
CODES = {"water": 1, "tree canopy": 2, "low vegetation": 3, "impervious": 4}
REGISTRY = """\
name: place
target: chesapeake4
resolution_m: 1
reference: 2020
products:
  one: {path: "one*.tif", kind: general, weight: 0.2, values: {0: null, 1: impervious, 2: water,
    3: tree canopy, 4: low vegetation}}
  two: {path: "two*.tif", kind: general, weight: 0.1, values: {0: null, 1: impervious, 2: water,
    3: tree canopy, 4: low vegetation}}
"""


def grid_at(place: int) -> Grid:
    """A grid of 1 m; each place lies elsewhere."""
    return Grid(UTM, Affine(1.0, 0, 346000.0 + 1000 * place, 0, -1.0, 5648000.0), HEIGHT, WIDTH)


def make_place(folder: Path, places: int = 1) -> Path:
    """Write image_N.tif, one_N.tif, two_N.tif, truth_N.tif and places.yaml; return the last."""
    for place in range(places):
        generator = np.random.default_rng(40 + place)
        truth = generator.integers(0, 4, (HEIGHT // 10, WIDTH // 10)).repeat(10, 0).repeat(10, 1)
        noise = generator.normal(0, 12, (3, HEIGHT, WIDTH))
        image = (COLOURS[truth].transpose(2, 0, 1) + noise).clip(1, 255)
        grid = grid_at(place)
        write_raster(folder / f"image_{place}.tif", image.astype(np.uint8), grid)
        for name, share in (("one", 0.75), ("two", 0.6)):
            said = np.where(generator.random(truth.shape) < share, truth + 1, 0)
            wrong = generator.random(truth.shape) < 0.04
            said[wrong] = generator.integers(1, 5, wrong.sum())
            write_raster(folder / f"{name}_{place}.tif", said.astype(np.uint8), grid)
        write_raster(folder / f"truth_{place}.tif", (truth + 1).astype(np.uint8), grid)
    (folder / "places.yaml").write_text(REGISTRY)
    (folder / "truth.yaml").write_text(LEGEND)
    return folder / "places.yaml"


LEGEND = """\
name: place truth
title: Truth of the place
source: drawn
nodata: [0]
classes:
  - {code: 1, name: built, color: [1, 0, 0], target: impervious}
  - {code: 2, name: wet, color: [2, 0, 0], target: water}
  - {code: 3, name: wood, color: [3, 0, 0], target: tree canopy}
  - {code: 4, name: grass, color: [4, 0, 0], target: low vegetation}
"""
