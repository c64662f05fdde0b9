"""Quick runs and maps of the miniature data set: six chips to a scene, each a work unit."""

import numpy as np
import rasterio

from mapsr.cli.main import main
from mapsr.geo import write_raster

QUICK = (
    "prompts.pixels=1000",
    "prompts.epochs=2",
    "upsampler=bilinear",
    "refine=none",
    "windows.chip=48",
    "windows.overlap=8",
    "windows.unit=48",
)
QUICK_FIT = ("method=mapsr", *QUICK, "legend.coarse=nlcd")
"""For `mapsr map coarse=...`."""
UNITS = 6
"""Of a scene."""


def run_words(scenes, folder):
    """The words of `mapsr run` on the miniature data set."""
    return [
        *("run", *QUICK, "data=geotiff"),
        f"data.root={scenes}",
        "data.image=*/{scene}_naip.tif",
        "data.coarse=*/{scene}_nlcd_30m.tif",
        "data.truth=*/{scene}_cclc.tif",
        "data.fit=train/*",
        "data.score=val/*",
        "logger=none",
        f"output={folder}",
    ]


def finished_run(scenes, folder):
    """Do that run; returns its folder."""
    assert main(run_words(scenes, folder)) == 0
    return folder


def mapped(method, image, out, *overrides):
    """`mapsr map` with a fitted method; returns the exit status."""
    return main(["map", f"fitted={method}", f"image={image}", f"out={out}", *overrides])


def fitted(scenes, name, out, *overrides, image=None):
    """`mapsr map` that fits on a scene's own coarse product; returns the exit status."""
    part = "val" if name == "village" else "train"
    image = image or scenes / part / f"{name}_naip.tif"
    coarse = scenes / part / f"{name}_nlcd_30m.tif"
    given = [f"image={image}", f"coarse={coarse}", f"out={out}"]
    return main(["map", *QUICK_FIT, *given, *overrides])


def labels_of(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def coarse_file(path, grid, codes):
    """Write a coarse product; returns the override that names it."""
    write_raster(path, np.asarray(codes, np.uint8), grid, nodata=0)
    return f"coarse={path}"


def checkered(height, width):
    """Codes of a product of two classes, in turn."""
    return np.where(np.indices((height, width)).sum(0) % 2, 41, 82)
