"""Scores of chips, blended into label maps a band of rows at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mapsr.data import Chip
from mapsr.geo import Window
from mapsr.legends import NODATA
from mapsr.mapping.windows import WindowSettings, blend_weights, cover
from mapsr.progress import Progress

Scores = Mapping[str, Tensor]


@dataclass(frozen=True)
class Band:
    """Finished rows of a raster.

    Attributes:
        window: which rows; all columns.
        labels: by layer, uint8 (rows, W) class index, 255 where the image holds no data.
    """

    window: Window
    labels: dict[str, NDArray[np.uint8]]


def map_raster(
    size: tuple[int, int],
    read: Callable[[Window], Chip],
    score: Callable[[Sequence[Chip]], Scores],
    settings: WindowSettings,
    progress: Progress,
    batch: int = 1,
    name: str = "map",
    layers: Sequence[str] = ("map",),
) -> Iterator[Band]:
    """Map a raster chip by chip.

    Memory: the scores of one row of chips, layers x classes x chip x W floats, whatever the
    raster's height. Chips without any valid pixel are not scored.

    Args:
        size: (H, W) of the raster.
        read: gives the chip at a window.
        score: gives scores (B, C, h, w) by layer for chips of one size.
        settings: chips and overlap.
        progress: shows how many chips are done.
        batch: chips scored at once.
        name: what the progress is called.
        layers: of the scores; rows without any valid pixel have them too.

    Yields:
        Bands from top to bottom, which together hold every row once.
    """
    rows = cover(*size, settings)
    chips: Iterator[Chip] = (read(window) for row in rows for window in row)
    if (total := len(rows) * len(rows[0])) > 1:  # one chip is no long work
        chips = progress.track(chips, name, total)
    strip: _Strip | None = None
    for number, row in enumerate(rows):
        top, height = row[0].row, row[0].height
        strip = _Strip(top, height, size[1]) if strip is None else strip.moved(top)
        for start in range(0, len(row), batch):
            some = [next(chips) for _ in row[start : start + batch]]
            filled = [chip for chip in some if chip.valid.any()]
            if filled:
                strip.add(filled, score(filled), settings.overlap)
        end = rows[number + 1][0].row if number + 1 < len(rows) else size[0]
        yield strip.band(end, layers)
    next(chips, None)  # lets the progress see the end


class _Strip:
    """Sums of weighted scores for the rows that chips are being added to."""

    def __init__(self, top: int, height: int, width: int) -> None:
        self.top = top
        self.weight = torch.zeros(height, width)
        self.valid = torch.zeros(height, width, dtype=torch.bool)
        self.sums: dict[str, Tensor] = {}

    def add(self, chips: Sequence[Chip], scores: Scores, overlap: int) -> None:
        for part, chip in enumerate(chips):
            rows, columns = chip.window.shifted(-self.top, 0).slices
            weight = blend_weights(chip.window.height, chip.window.width, overlap)
            self.weight[rows, columns] += weight
            self.valid[rows, columns] |= chip.valid
            for layer, values in scores.items():
                if layer not in self.sums:
                    self.sums[layer] = torch.zeros(values.shape[1], *self.weight.shape)
                self.sums[layer][:, rows, columns] += values[part].cpu() * weight

    def band(self, end: int, layers: Sequence[str]) -> Band:
        """The rows above ``end``, to which no chip will be added any more."""
        count = end - self.top
        window = Window(self.top, 0, count, self.weight.shape[1])
        valid = self.valid[:count]
        labels = {layer: np.full(valid.shape, NODATA, np.uint8) for layer in layers}
        for layer, sums in self.sums.items():
            # all classes share a pixel's weight, so the sums' order is that of the means
            best = sums[:, :count].argmax(0).to(torch.uint8)
            labels[layer] = torch.where(valid, best, NODATA).numpy()
        return Band(window, labels)

    def moved(self, top: int) -> "_Strip":
        """The strip that starts at a later row, with what is known of its rows."""
        moved = _Strip(top, *self.weight.shape)
        keep, first = self.top + len(self.weight) - top, top - self.top
        if keep > 0:
            moved.weight[:keep] = self.weight[first:]
            moved.valid[:keep] = self.valid[first:]
        for layer, sums in self.sums.items():
            moved.sums[layer] = torch.zeros_like(sums)
            if keep > 0:
                moved.sums[layer][:, :keep] = sums[:, first:]
        return moved
