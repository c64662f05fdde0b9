"""Small rasters to be mapped, and scores whose map is known."""

import numpy as np
import torch
from affine import Affine
from rasterio.crs import CRS
from stand_ins import uniform

from mapsr.data import Chip
from mapsr.geo import Grid, ImageReader, WindowSettings, image_info, write_raster
from mapsr.legends import LandClass, Legend
from mapsr.mapping import LocalEngine, MapJob, MapPlan, Output, Raster

COLORS = {"water": (0, 0, 255), "tree": (0, 99, 0), "built": (9, 9, 9)}
LEGEND = Legend(
    name="three",
    title="Three classes",
    source="these tests",
    classes=tuple(
        LandClass(code, name, color) for code, (name, color) in enumerate(COLORS.items(), start=1)
    ),
    nodata=frozenset({0}),
)
EVERY = (Output(), Output(kind="confidence"), Output(kind="scores"))


def grid(height, width, *, zone=17, x=529483.0, y=4149392.0, pixel=1.0):
    transform = Affine(pixel, 0, x, 0, -pixel, y)
    return Grid(CRS.from_epsg(32600 + zone), transform, height, width)


def image_file(path, values, *, nodata=None, **place):
    """Write (B, H, W) as an image."""
    write_raster(path, np.asarray(values), grid(*values.shape[1:], **place), nodata=nodata)
    return path


def noise_file(path, height, width, seed=6):
    """Three bands of bytes from 1 to 255, so that 0 may be nodata."""
    values = (uniform(seed, 3, height, width) * 255).byte().clamp_min(1).numpy()
    return image_file(path, values, nodata=0)


def raster(path, windows, outputs=EVERY, scale=255.0):
    reader = ImageReader(image_info(path), None, scale)
    plan = MapPlan((reader.grid.height, reader.grid.width), windows)
    return Raster(path.name, reader, plan, tuple(outputs))


def job(path, out, windows=None, outputs=EVERY, **settings):
    settings = {"legend": LEGEND, "about": {"seed": 0}} | settings
    windows = windows or WindowSettings(14, 4, 24)
    return MapJob(raster(path, windows, outputs), out, **settings)


def pixelwise(chips: list[Chip]):
    """The image itself: class i is band i."""
    return {"map": torch.stack([chip.image for chip in chips])}


def engine(score=pixelwise, workers=1, batch=1):
    return LocalEngine(score, workers, batch)
