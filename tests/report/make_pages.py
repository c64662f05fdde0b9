"""Maps and pages that are drawn in a moment."""

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from mapsr.geo import Grid, image_info, window_writer, write_cog, write_raster
from mapsr.legends import LandClass, Legend
from mapsr.report.page import Areas, Page, Table, shares_of
from mapsr.report.views import ImageLayer, LabelLayer, view_of

EVIL = "<script>alert('x')</script>&\"'\x07"
LEGEND = Legend("t", "T", "", (LandClass(1, "water", (0, 0, 200)), LandClass(2, EVIL, (0, 150, 0))))


def grid_of(height, width):
    transform = Affine(1.0, 0.0, 500000.0, 0.0, -1.0, 4300000.0)
    return Grid(CRS.from_epsg(26917), transform, height, width)


def write_map(path, labels, legend=LEGEND):
    """A map as `mapsr map` writes it, with overviews where it is large."""
    grid = grid_of(*labels.shape)
    plain = path.with_name("plain.tif")
    with window_writer(plain, grid, 1, "uint8", 255) as write:
        write(grid.window, labels[None])
    write_cog(plain, path, tags={}, names=("labels",), legend=legend)
    return grid


def small_page(folder, height, width, *, seed=0):
    """A page over a map of random blocks, and its image."""
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 255, (3, height, width), np.uint8)
    write_raster(folder / "image.tif", image, grid_of(height, width))
    labels = generator.integers(0, 2, (height, width), np.uint8)
    labels[: height // 4] = 255
    grid = write_map(folder / "map.tif", labels)
    of_map = LabelLayer("map", (folder / "map.tif",), grid, LEGEND)
    picture = ImageLayer((image_info(folder / "image.tif"),), grid, 255.0)
    shares = shares_of(LEGEND, {"map": [40.0, 60.0]}, {"map": [4.0, 6.0]})
    return Page(
        title=f"Map {EVIL}",
        summary=(EVIL,),
        warnings=(EVIL,),
        views=(view_of(EVIL, grid, [picture, of_map], of_map),),
        legend=LEGEND,
        sure=None,
        errors=False,
        areas=(Areas("Area", ("map",), shares, EVIL),),
        accuracy=(Table(EVIL, ("truth", "water", EVIL), (("water", "1", EVIL),), diagonal=True),),
        accuracy_note=EVIL,
        facts=(),
        command=f"mapsr run {EVIL}",
        version="1",
    )
