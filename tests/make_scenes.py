"""Draws a miniature data set of true GeoTIFFs: image, coarse product and truth per scene.

{folder}/{train,val}/{scene}_naip.tif      4 bands (R, G, B, NIR), uint8, EPSG:26917, 1 m
{folder}/{train,val}/{scene}_nlcd_30m.tif  NLCD codes, uint8, EPSG:5070, 30 m, 0 = nodata
{folder}/{train,val}/{scene}_cclc.tif      Chesapeake codes, uint8, grid of the image, 0 = nodata

The truth follows the coarse cells, apart from a road of two columns that is too narrow for them.
"""

from math import ceil, floor
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from mapsr.geo import Grid, read_codes, write_raster

HEIGHT, WIDTH = 70, 110
SCENES = {"train": ("field", "wood"), "val": ("village",)}

# NLCD code -> Chesapeake code, and the colour (R, G, B, NIR) that the class has in the image
CLASSES = {
    11: (1, (40, 60, 90, 15)),
    41: (2, (50, 80, 50, 170)),
    82: (3, (150, 160, 90, 190)),
    23: (5, (170, 165, 160, 120)),
}
ROAD = 6


def image_grid(number: int) -> Grid:
    """Return a 1 m grid in West Virginia; each number lies elsewhere."""
    origin = Affine(1.0, 0.0, 529483.0 + 1000 * number, 0.0, -1.0, 4149392.0)
    return Grid(CRS.from_epsg(26917), origin, HEIGHT, WIDTH)


def coarse_grid(image: Grid, cell_m: int = 30) -> Grid:
    """Return the Albers cells that cover a grid."""
    albers = CRS.from_epsg(5070)
    left, bottom, right, top = transform_bounds(image.crs, albers, *image.bounds)
    west, north = floor(left / cell_m) - 1, ceil(top / cell_m) + 1
    height, width = north - floor(bottom / cell_m) + 1, ceil(right / cell_m) + 1 - west
    return Grid(albers, Affine(cell_m, 0, west * cell_m, 0, -cell_m, north * cell_m), height, width)


def make_scene(folder: Path, name: str, number: int) -> None:
    """Write the three files of one scene."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(20260 + number)
    grid = image_grid(number)
    cells = coarse_grid(grid)
    coarse = generator.choice(list(CLASSES), (cells.height, cells.width)).astype(np.uint8)
    coarse_path = folder / f"{name}_nlcd_30m.tif"
    write_raster(coarse_path, coarse, cells, nodata=0)

    codes = read_codes(coarse_path, grid, grid.window)  # (H, W)
    truth = np.zeros(codes.shape, np.uint8)
    image = np.zeros((4, *codes.shape), np.float64)
    for code, (label, color) in CLASSES.items():
        truth[codes == code] = label
        image[:, codes == code] = np.array(color)[:, None]
    truth[:, WIDTH // 2 : WIDTH // 2 + 2] = ROAD
    image[:, :, WIDTH // 2 : WIDTH // 2 + 2] = 100
    image += generator.normal(0, 5, image.shape)
    write_raster(folder / f"{name}_naip.tif", image.clip(0, 255).astype(np.uint8), grid)
    write_raster(folder / f"{name}_cclc.tif", truth, grid, nodata=0)


def make_scene_folder(folder: Path) -> Path:
    """Write all scenes and return the folder."""
    number = 0
    for part, names in SCENES.items():
        for name in names:
            make_scene(folder / part, name, number)
            number += 1
    return folder
