"""Synthetic scenes: a data set that needs no download.

With them everything runs and is tested everywhere; no published number depends on them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from affine import Affine

from mapsr.data.scenes import Scene, Scenes
from mapsr.errors import require_range
from mapsr.geo import Grid, write_raster
from mapsr.geo.projections import epsg
from mapsr.settings import aside, choice

SMALLEST = 160
"""Smallest side of an image in pixels: a village and a river must fit beside each other."""
_MARGIN = 60
"""Metres drawn around an image: the diagonal of a cell plus the largest shift of the product."""
_ZONES = ((26918, 380_000, 4_320_000), (26917, 560_000, 4_300_000))
"""EPSG code, easting and northing of the first scene in each UTM zone."""
_APART = 10_000
"""Metres between the scenes of a zone."""


@choice("data", "synthetic")
@dataclass(frozen=True)
class SyntheticSettings:
    """Landscapes drawn from a seed, with a coarse product that has the errors of real ones.

    Each scene has an image of four bands at 1 m, an NLCD-like product at 30 m, and truth at 1 m.

    Raises:
        ConfigError: a number is below its smallest value.
    """

    seed: int = 0
    """Of all scenes, at least 0; another seed draws other landscapes with the same statistics."""
    fit_scenes: int = 2
    """Number of scenes to fit on, at least 1. More take longer to draw and vary more; the first
    ones stay the same."""
    score_scenes: int = 2
    """Number of scenes to score on, at least 1, none of which is fitted on. Confidence intervals
    need at least 2 and narrow with more."""
    height: int = 416
    """Rows of each image at 1 m, at least 160. Larger landscapes have larger villages and woods."""
    width: int = 448
    """Columns of each image at 1 m, at least 160; unlike height by default, so that mistaking one
    for the other shows."""
    scale: float = 255.0
    """Pixel value that becomes 1, above 0. The images have 8 bits, so 255 is right; another value
    tries what a wrong scale does."""
    root: str | None = aside(None)
    """Folder for the files; null: the run's own folder. Set it to share the scenes between runs."""

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

    A scene depends only on seed, size, part (fit or score) and number, so that more scenes leave
    the others unchanged and the same call writes the same files.

    Args:
        settings: number, size and seed of the scenes.
        folder: for a folder per scene, unless ``settings.root`` is set.

    Returns:
        The scenes to fit and to score on.
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
    from mapsr.data.landscape import Canvas, draw_landscape  # seconds, which maps need not
    from mapsr.data.landscape.coarse_product import make_coarse_product

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
    """Place a scene in one of two UTM zones, apart from the others."""
    code, easting, northing = _ZONES[number % 2]
    x = easting + _APART * (part == "score")
    y = northing + _APART * (number // 2)
    transform = Affine(1, 0, x, 0, -1, y)
    return Grid(epsg(code), transform, settings.height, settings.width)
