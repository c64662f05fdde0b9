"""Synthetic scenes: the data set that is there without a download.

They exist so that everything runs, and is tested, everywhere; no published number comes from them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from mapsr.data.landscape import Canvas, draw_landscape
from mapsr.data.landscape.coarse_product import make_coarse_product
from mapsr.data.scenes import Scene, Scenes
from mapsr.errors import require_range
from mapsr.geo import Grid, write_raster
from mapsr.settings import aside, choice

SMALLEST = 160
"""Pixels of an image's side below which a village and a river do not fit beside each other."""
_MARGIN = 60
"""Metres drawn around an image: a cell's diagonal and the largest shift of the product."""
_ZONES = ((26918, 380_000, 4_320_000), (26917, 560_000, 4_300_000))
"""EPSG code, easting and northing of the first scene in each UTM zone."""
_APART = 10_000
"""Metres between scenes of a zone."""


@choice("data", "synthetic")
@dataclass(frozen=True)
class SyntheticSettings:
    """Landscapes drawn from a seed, with a coarse product that is wrong as real ones are."""

    seed: int = 0
    """What all scenes are drawn from."""
    fit_scenes: int = 2
    """Number of scenes to fit on."""
    score_scenes: int = 2
    """Number of scenes to score on, none of which is fitted on."""
    height: int = 416
    """Rows of 1 m of each image."""
    width: int = 448
    """Columns of 1 m of each image."""
    scale: float = 255.0
    """Value of the image that becomes 1."""
    root: str | None = aside(None)
    """Folder that the files go to; null leaves the choice to the run."""

    bands: ClassVar[int | None] = None
    agree: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_range(self.seed, "data.seed")
        require_range(self.fit_scenes, "data.fit_scenes", low=1)
        require_range(self.score_scenes, "data.score_scenes", low=1)
        require_range(self.height, "data.height", low=SMALLEST)
        require_range(self.width, "data.width", low=SMALLEST)
        require_range(self.scale, "data.scale", open_low=True)

    def find(self, folder: Path | None = None) -> Scenes | None:
        """Draw the scenes where there is a folder for them; see ``make_scenes``."""
        root = Path(self.root) if self.root else folder
        return None if folder is None or root is None else make_scenes(self, root)


def make_scenes(settings: SyntheticSettings, folder: Path) -> Scenes:
    """Draw the scenes and write ``image.tif``, ``coarse.tif`` and ``truth.tif`` of each.

    A scene depends on the seed, its size, its part and its number in it only, so more scenes
    leave those before as they are, and repeating the call writes the same files.

    Args:
        settings: what to draw.
        folder: where the files go, a folder for each scene, unless ``settings.root`` says so.
    """
    root = folder if settings.root is None else Path(settings.root)
    counts = {"fit": settings.fit_scenes, "score": settings.score_scenes}
    fit, score = (
        tuple(_make_scene(settings, root, part, number) for number in range(count))
        for part, count in counts.items()
    )
    return Scenes(fit, score)


def _make_scene(settings: SyntheticSettings, root: Path, part: str, number: int) -> Scene:
    """Draw one scene and write its files."""
    name = f"{part}_{number}"
    image, coarse, truth = (root / name / f"{kind}.tif" for kind in ("image", "coarse", "truth"))
    generator = np.random.default_rng([settings.seed, int(part == "score"), number])
    canvas = Canvas(settings.height, settings.width, _MARGIN)
    landscape = draw_landscape(canvas, generator)
    grid = _grid(settings, part, number)
    codes, coarse_grid = make_coarse_product(landscape, grid, generator)
    rows, columns = canvas.image
    write_raster(image, landscape.image[:, rows, columns], grid)
    write_raster(coarse, codes, coarse_grid, nodata=0)
    write_raster(truth, landscape.cover()[rows, columns], grid, nodata=0)
    return Scene(name, image, coarse, truth)


def _grid(settings: SyntheticSettings, part: str, number: int) -> Grid:
    """Lay a scene into one of two UTM zones, apart from the others."""
    epsg, easting, northing = _ZONES[number % 2]
    x = easting + _APART * (part == "score")
    y = northing + _APART * (number // 2)
    transform = Affine(1, 0, x, 0, -1, y)
    return Grid(CRS.from_epsg(epsg), transform, settings.height, settings.width)
