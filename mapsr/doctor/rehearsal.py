"""What a map takes besides its chips: a fit, and writing and measuring, both done in small."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mapsr.data import Chip, ChipSequence, Scene, SceneSource
from mapsr.errors import MapsrError
from mapsr.geo import Grid, ImageInfo, Window, read_values, tiles, window_writer, write_cog
from mapsr.geo.mosaic_tiles import open_tiles
from mapsr.geo.stac import one_raster
from mapsr.legends import NODATA, Crosswalk, Legend, Legends
from mapsr.measure.areas import measure_areas
from mapsr.measure.labels import Labels, open_labels
from mapsr.methods import ImageFacts, Method, Task
from mapsr.progress import Quiet
from mapsr.region import MapSettings

_SIDE_PX = 1024
"""Side of the map that is written, at most."""
_PATCH_PX = 8
"""Side of a patch of its classes: noise would not compress as maps do."""


@dataclass(frozen=True)
class Writing:
    """Seconds for a megapixel of a map.

    Attributes:
        labels: to write the label map, read it back and make a Cloud Optimized GeoTIFF of it.
        floats: the same for a band of floats.
        measure: to measure its areas.
    """

    labels: float
    floats: float
    measure: float


@dataclass(frozen=True)
class _Rehearsal(Task):
    """A task on chips that are there already.

    Attributes:
        cut: the chips.
    """

    cut: tuple[Chip, ...] = ()

    def chips(self, most: int | None, scenes: object = None) -> ChipSequence:
        """All of them, whatever is asked for."""
        return self.cut  # type: ignore[return-value]  # a sequence of chips is what is used of it


def rehearse_fit(
    method: Method, chip: Chip, settings: MapSettings, facts: ImageFacts
) -> float | None:
    """Fit a method on one chip, with classes by brightness in place of a product.

    Sampled pixels are as many as they will be, so far as the chip has them; what depends on the
    number of chips alone is left to the caller.

    Args:
        method: not fitted; is fitted afterwards, to no use.
        chip: with data.
        settings: of the command.
        facts: of the image.

    Returns:
        Seconds, the chip's features included; None where such a fit does not come to an end.
    """
    legends = Legends.load(settings.legend, scored=False)
    scene = Scene(chip.scene, Path(chip.scene), None, None)
    with TemporaryDirectory(prefix="mapsr-") as folder:
        task = _Rehearsal(
            source=SceneSource(facts.scale, legends.coarse, None, facts.bands),
            scenes=(scene,),
            coarse=legends.coarse,
            image=facts,
            chip=settings.windows.chip,
            folder=Path(folder),
            seed=settings.seed,
            soft=settings.legend.soft,
            cut=_halves(replace(chip, coarse=brightness_classes(chip, legends.coarse))),
        )
        begin = time.perf_counter()
        try:
            method.fit(task)
        except MapsrError:
            return None
        seconds = time.perf_counter() - begin
    method.settle()
    return seconds


def brightness_classes(chip: Chip, coarse: Crosswalk) -> Tensor:
    """Product classes by brightness, (H, W) uint8: one for each target class that the product has.

    Each gets as many pixels as any other.
    """
    firsts: dict[int, int] = {}
    for index, target in enumerate(coarse.table):
        if target != NODATA:
            firsts.setdefault(target, index)
    classes = torch.tensor(list(firsts.values()), dtype=torch.uint8)
    rank = chip.image.mean(0).flatten().argsort().argsort()
    return classes[rank * len(classes) // len(rank)].view(chip.valid.shape)


def _halves(chip: Chip) -> tuple[Chip, Chip]:
    """A chip as two: what is left out to judge a fit is a chip."""
    middle = max(1, chip.window.height // 2)
    assert chip.coarse is not None, "classes were made for it"
    parts = []
    for rows, start in ((slice(None, middle), 0), (slice(middle, None), middle)):
        valid = chip.valid[rows]
        window = Window(chip.window.row + start, chip.window.col, *valid.shape)
        parts.append(
            replace(
                chip,
                window=window,
                image=chip.image[:, rows],
                valid=valid,
                coarse=chip.coarse[rows],
            )
        )
    return parts[0], parts[1]


def rehearse_writing(info: ImageInfo, settings: MapSettings, target: Legend) -> Writing:
    """Write and measure a small map at the place of an image, and read the product there.

    Args:
        info: of the image.
        settings: of the command.
        target: legend of the map.

    Raises:
        RasterError: there is no room for it, or the product can't be read.
    """
    whole = info.grid
    size = min(whole.height, _SIDE_PX), min(whole.width, _SIDE_PX)
    grid = whole.crop(Window(0, 0, *size))
    mpx = size[0] * size[1] / 1e6
    rng = np.random.default_rng(0)
    patches = rng.integers(0, len(target), (-(-size[0] // _PATCH_PX), -(-size[1] // _PATCH_PX)))
    labels = patches.repeat(_PATCH_PX, 0).repeat(_PATCH_PX, 1)[: size[0], : size[1]]
    with TemporaryDirectory(prefix="mapsr-") as name:
        folder = Path(name)
        path = folder / "labels.tif"
        seconds = _written(path, grid, labels[None].astype(np.uint8), float(NODATA), target)
        floats = 0.0
        if settings.confidence or settings.scores or settings.product_error:
            values = labels[None].astype(np.float32) / len(target)
            floats = _written(folder / "floats.tif", grid, values, float("nan"), None)
        begin = time.perf_counter()
        measure_areas(open_labels([path]), _product(settings), Quiet())
        measured = time.perf_counter() - begin
    return Writing(seconds / mpx, floats / mpx, measured / mpx)


def _written(
    path: Path, grid: Grid, values: NDArray[Any], nodata: float, legend: Legend | None
) -> float:
    """Write values (1, H, W) as a map is written; return the seconds."""
    begin = time.perf_counter()
    plain = path.with_name(f"plain_{path.name}")
    with window_writer(plain, grid, 1, str(values.dtype), nodata) as write:
        write(grid.window, values)
    for window in tiles(grid.height, grid.width, _SIDE_PX):
        read_values(plain, window)
    write_cog(plain, path, tags={}, names=("labels",), legend=legend)
    return time.perf_counter() - begin


def _product(settings: MapSettings) -> Labels | None:
    """The product, where one is given."""
    if not settings.coarse:
        return None
    crosswalk = Legends.load(settings.legend, scored=False).coarse
    path = one_raster(settings.coarse, "coarse", settings.coarse_asset)
    return Labels(open_tiles([path]), crosswalk.source, crosswalk)
