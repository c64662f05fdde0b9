"""Draws a miniature of the Chesapeake benchmark, with the folder and file names of its archive.

{folder}/{state}_1m_{year}_extended-debuffered-{train,val,test}_tiles/
    m_{quadrangle}_{corner}_{zone}_1_naip-new.tif   4 bands (R, G, B, NIR), uint8, 1 m, UTM
    m_{quadrangle}_{corner}_{zone}_1_naip-old.tif   the same ground, darker
    m_{quadrangle}_{corner}_{zone}_1_nlcd.tif       NLCD codes on the grid of the image, cells of 30
    m_{quadrangle}_{corner}_{zone}_1_lc.tif         Chesapeake codes, 0 and 15 without a class

The train folder of each state holds the ten tiles that split "paper" scores, and three more; each
other folder holds two. The truth follows the coarse cells, apart from a road of two columns and a
strip of barren land. NLCD codes 0 and 128 mark a column of cells each time.
"""

from pathlib import Path

import numpy as np
from affine import Affine
from make_scenes import CLASSES
from rasterio.crs import CRS

from mapsr.data.chesapeake.splits import FOLDER, PAPER_TILES, PARTS, folder_name
from mapsr.geo import Grid, write_raster

HEIGHT, WIDTH = 64, 96
CELL = 30
ROAD, BARREN, UNCLASSIFIED = 6, 4, 15
FREE = {
    "train": ("800001_ne", "800002_sw", "800003_nw"),
    "val": ("800004_se", "800005_ne"),
    "test": ("800006_nw", "800007_se"),
}
"""Part -> tiles that no list names, without their first digit, which is the state's number."""


def tile_names(state: str, part: str) -> tuple[str, ...]:
    """Return the miniature's tiles of a folder, sorted."""
    listed = PAPER_TILES[state]
    number, zone = sorted(PAPER_TILES).index(state), listed[0].split("_")[3]
    free = [f"m_{number}{name}_{zone}_1" for name in FREE[part]]
    return tuple(sorted([*free, *(listed if part == "train" else ())]))


def make_tile(folder: Path, name: str, number: int) -> None:
    """Write the four layers of one tile; each number lies elsewhere."""
    zone = int(name.split("_")[3])
    origin = Affine(1.0, 0.0, 380_000.0 + 1000 * number, 0.0, -1.0, 4_320_000.0)
    grid = Grid(CRS.from_epsg(26900 + zone), origin, HEIGHT, WIDTH)
    generator = np.random.default_rng(4100 + number)
    cells = generator.choice(list(CLASSES), (-(-HEIGHT // CELL), -(-WIDTH // CELL)))
    coarse = np.kron(cells, np.ones((CELL, CELL), int))[:HEIGHT, :WIDTH].astype(np.uint8)
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    image = np.zeros((4, HEIGHT, WIDTH))
    for code, (label, color) in CLASSES.items():
        truth[coarse == code] = label
        image[:, coarse == code] = np.array(color)[:, None]
    truth[:, 40:42], image[:, :, 40:42] = ROAD, 100
    truth[60:62], image[:, 60:62] = BARREN, 180
    truth[0], truth[-1] = 0, UNCLASSIFIED
    coarse[:, -CELL // 5 :] = (0, 128)[number % 2]
    image += generator.normal(0, 5, image.shape)
    layers = {"naip-new": image, "naip-old": 0.8 * image, "nlcd": coarse, "lc": truth}
    for layer, values in layers.items():
        write_raster(folder / f"{name}_{layer}.tif", values.clip(0, 255).astype(np.uint8), grid)


def make_chesapeake(root: Path, states: tuple[str, ...] = ("de", "ny")) -> Path:
    """Write the folders of some states below ``root`` and return the folder that holds them."""
    number = 0
    for state in states:
        for part in PARTS:
            folder = root / FOLDER / folder_name(state, part)
            folder.mkdir(parents=True)
            for name in tile_names(state, part):
                make_tile(folder, name, number)
                number += 1
    return root / FOLDER
