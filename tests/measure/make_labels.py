"""Draws small label rasters."""

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from mapsr.geo import Grid, window_writer, write_cog
from mapsr.legends import LandClass, Legend

HEIGHT, WIDTH = 40, 60
ALBERS = Grid(CRS.from_epsg(5070), Affine(100, 0, 1_500_000, 0, -100, 1_900_000), HEIGHT, WIDTH)
"""Pixels of exactly one hectare."""
LEGEND = Legend(
    "three",
    "Three classes",
    "drawn",
    (
        LandClass(0, "water", (0, 0, 255)),
        LandClass(1, "forest", (0, 128, 0)),
        LandClass(2, "built", (255, 0, 0)),
    ),
)


def map_file(path, labels, grid=ALBERS, tags=None):
    """Write a map as `mapsr map` does: palette, class names, 255 for nodata."""
    plain = path.with_name(f"plain-{path.name}")
    with window_writer(plain, grid, 1, "uint8", 255) as write:
        write(grid.window, np.asarray(labels, np.uint8)[None])
    write_cog(plain, path, tags=tags or {}, legend=LEGEND)
    plain.unlink()
    return path


def quarters():
    """Water above, forest below left, built below right; the last row is nodata."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[20:] = 1
    labels[20:, 45:] = 2
    labels[-1] = 255
    return labels
