"""Draws tiny scenes of four bands with three classes in blocks, to train on."""

from pathlib import Path

import numpy as np
import torch
from affine import Affine
from rasterio.crs import CRS

from mapsr.data import Scene, SceneSource
from mapsr.geo import Grid, write_raster
from mapsr.legends import Crosswalk, LandClass, Legend

# tensors here are tiny: on a busy machine, threads that wait for each other take ten times as long
torch.set_num_threads(1)

NAMES = ("water", "tree", "field")
# of each class: red, green, blue, near infrared
COLOURS = np.array([[40, 60, 90, 15], [50, 80, 50, 170], [180, 160, 90, 200]])


def legend(name, *codes):
    classes = tuple(LandClass(code, f"{name} {code}", (code, 0, 0)) for code in codes)
    return Legend(name, name, "drawn", classes, frozenset({0}))


TARGET = Legend(
    "toy", "toy", "drawn", tuple(LandClass(i + 1, n, (i, 0, 0)) for i, n in enumerate(NAMES))
)
# product codes 5, 6, 7, 9: field, water, tree, left out
PRODUCT = Crosswalk("toy", legend("product", 5, 6, 7, 9), TARGET, (2, 0, 1, 255))
TRUTH = Crosswalk("toy", legend("truth", 1, 2, 3), TARGET, (0, 1, 2))


def source():
    return SceneSource(255.0, PRODUCT, TRUTH)


def make_scene(folder: Path, name: str, size=(40, 56), gap=None, seed=0) -> Scene:
    """Write image, product and truth: water above, tree and field below.

    ``gap`` is a slice pair that is nodata in all three.
    """
    height, width = size
    random = np.random.default_rng(900 + seed)
    origin = Affine(1.0, 0.0, 5e5 + 1000 * seed, 0.0, -1.0, 4.1e6)
    grid = Grid(CRS.from_epsg(26917), origin, height, width)
    truth = np.zeros(size, np.int64)
    truth[height // 2 :, : width // 2] = 1
    truth[height // 2 :, width // 2 :] = 2
    image = COLOURS[truth].transpose(2, 0, 1) + random.normal(0, 4, (4, height, width))
    image = image.clip(1, 255).astype(np.uint8)
    codes = (truth + 1).astype(np.uint8)
    coarse = np.array([6, 7, 5], np.uint8)[truth]
    coarse[:2, :3] = 9
    if gap is not None:
        image[:, *gap], codes[gap], coarse[gap] = 0, 0, 0
    paths = [folder / f"{name}_{what}.tif" for what in ("image", "coarse", "truth")]
    folder.mkdir(parents=True, exist_ok=True)
    for path, values in zip(paths, (image, coarse, codes), strict=True):
        write_raster(path, values, grid, nodata=None if values is image else 0)
    return Scene(name, *paths)
