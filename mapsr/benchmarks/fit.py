"""Fitting prompts against one encoder pass over the same chips."""

import importlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch

from mapsr.benchmarks.rasters import LEGEND, SCALE, paper_sized
from mapsr.data import Chip
from mapsr.data.landscape import Canvas, draw_landscape
from mapsr.geo import Window
from mapsr.legends import Crosswalk, load_crosswalk, load_legend
from mapsr.processors import one_thread
from mapsr.progress import Progress
from mapsr.tracking import Stopwatch

# Pixels of a cell of the coarse labels.
_CELL = 30


@dataclass(frozen=True)
class FitResult:
    """What `mapsr bench fit` prints."""

    fit_over_encoder: float
    """Seconds of sampling, probe and prompts, from features that are known, over one pass."""
    fit_with_upsampling_over_encoder: float
    """The same from cached tokens, with the upsampler's operators made again."""
    seconds: float
    """Sampling, probe and prompts."""
    upsampler_seconds: float
    """Operators of all chips."""
    encoder_seconds: float
    """One pass over all chips."""
    chips: int

    @staticmethod
    def of(fit: float, upsampler: float, encoder: float, chips: int) -> "FitResult":
        """Take ratios of seconds."""
        return FitResult(
            fit_over_encoder=fit / encoder,
            fit_with_upsampling_over_encoder=(fit + upsampler) / encoder,
            seconds=fit,
            upsampler_seconds=upsampler,
            encoder_seconds=encoder,
            chips=chips,
        )

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def bench_fit(chips: int, side: int, progress: Progress) -> FitResult:
    """Measure with ViT-B/14 and AnyUp of random weights.

    Args:
        chips: how many.
        side: of a chip in pixels.
        progress: shows the work.
    """
    crosswalk = load_crosswalk("paraformer", load_legend("chesapeake_1m"), LEGEND)
    drawn = list(progress.track(draw_chips(chips, side, crosswalk), "chips", chips))
    watch = Stopwatch()
    method = paper_sized(watch, memory_mib=1 << 14)
    before = watch.seconds
    begin = time.perf_counter()
    with torch.no_grad(), one_thread():  # as in a fit
        for chip in progress.track(drawn, "features", chips):
            method.extractor([chip])
    features = time.perf_counter() - begin
    encoder = watch.seconds["encode"] - before.get("encode", 0.0)
    importlib.import_module("mapsr.prompts.probe_training")  # Lightning's import is not the fit
    begin = time.perf_counter()
    method.fit_chips(drawn, crosswalk, 0, progress)
    taken = time.perf_counter() - begin
    return FitResult.of(taken, features - encoder, encoder, chips)


def draw_chips(count: int, side: int, crosswalk: Crosswalk) -> Iterator[Chip]:
    """Draw landscapes whose truth, at one pixel of each cell, is the coarse label."""
    for number in range(count):
        landscape = draw_landscape(Canvas(side, side, 0), np.random.default_rng([20, number]))
        cells = np.arange(side) // _CELL * _CELL
        indices, _ = crosswalk.source.encode(landscape.cover()[np.ix_(cells, cells)])
        image = torch.from_numpy(landscape.image.astype(np.float32) / SCALE)
        valid = torch.ones(side, side, dtype=torch.bool)
        window = Window(0, 0, side, side)
        yield Chip(str(number), window, image, valid, torch.from_numpy(indices), None)
