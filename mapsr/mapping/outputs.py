"""What a map job writes: labels, and on demand confidence and the classes' scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mapsr.legends import NODATA
from mapsr.legends.outputs import best_of_class

Scores = Mapping[str, Tensor]
"""Scores by layer, (B, C, h, w) or (C, h, w): "map", and "probe" where it is asked for. Those of
the map have more channels than classes where a raster has ``Channels``."""
Values = dict[str, NDArray[Any]]
"""Values (bands, h, w) by output."""


_PLAIN = {
    "labels": ("uint8", float(NODATA), "mode"),
    "tenths": ("uint8", 0.0, "nearest"),
    "provenance": ("uint32", 0.0, "nearest"),
    "round": ("uint8", float(NODATA), "nearest"),
}
"""Kind -> type, nodata and how overviews are made, of outputs that are not float32."""
_SHOWN = {"probability": "confidence", "tenths": "confidence"}


@dataclass(frozen=True)
class Output:
    """One raster that a job writes.

    Attributes:
        layer: the scores that it comes from.
        kind: "labels" (uint8 class index, 255 nodata), "confidence" (float32, the best score
            less the second best, NaN nodata), "probability" (float32, the best score, where scores
            are probabilities, NaN nodata) or "scores" (float32, a band per class, NaN for nodata
            and for a class without a prompt). Votes give "tenths" (uint8, that voted for the label,
            0 nodata), "provenance" (uint32, a bit for each voter, 0 nodata) and "round" (uint8, in
            which the pixel was decided, 255 nodata), which don't come from scores.
    """

    layer: str = "map"
    kind: str = "labels"

    @property
    def key(self) -> str:
        """Its name among the outputs of a job."""
        return f"{self.layer}_{self.kind}"

    @property
    def shown(self) -> str:
        """What its file and band are called after."""
        return _SHOWN.get(self.kind, self.kind)

    @property
    def dtype(self) -> str:
        """NumPy's name of its values' type."""
        return _PLAIN[self.kind][0] if self.kind in _PLAIN else "float32"

    @property
    def nodata(self) -> float:
        """The value of pixels without data."""
        return _PLAIN[self.kind][1] if self.kind in _PLAIN else float("nan")

    @property
    def overviews(self) -> str:
        """How its overviews are made: a mean of labels or bits would be of no class."""
        return _PLAIN[self.kind][2] if self.kind in _PLAIN else "average"

    def bands(self, classes: int) -> int:
        """How many bands it has."""
        return classes if self.kind == "scores" else 1

    def of(self, scores: Tensor, valid: Tensor) -> NDArray[Any]:
        """Its values.

        Args:
            scores: (C, h, w) float32; -inf for a class that can't win.
            valid: (h, w) bool.

        Returns:
            (bands, h, w).
        """
        if self.kind == "labels":
            best = scores.argmax(0, keepdim=True).to(torch.uint8)
            return torch.where(valid, best, NODATA).cpu().numpy()
        if self.kind == "scores":
            # a class that can't win has no score: -inf would spoil every statistic of the band
            return torch.where(valid & scores.isfinite(), scores, torch.nan).cpu().numpy()
        if self.kind == "probability":
            return torch.where(valid, scores.amax(0), torch.nan)[None].cpu().numpy()
        if len(scores) == 1:  # no other class to be confused with
            return torch.where(valid, torch.inf, torch.nan)[None].cpu().numpy()
        best, second = scores.topk(2, dim=0).values
        return torch.where(valid, best - second, torch.nan)[None].cpu().numpy()


@dataclass(frozen=True)
class Channels:
    """What the channels of a map's scores stand for, where they are not the classes themselves.

    Attributes:
        table: class of each channel, 255 for none.
        classes: C.
    """

    table: tuple[int, ...]
    classes: int

    def of(self, scores: Tensor) -> Tensor:
        """Scores (K, h, w), blended, to those of classes: the largest of each class's channels.

        Returns:
            (C, h, w), -inf for a class without a channel: the class of the largest is that of the
            largest channel.
        """
        return best_of_class(scores[None], self.table, self.classes)[0]


def values_of(
    outputs: Sequence[Output], scores: Scores, valid: Tensor, channels: Channels | None = None
) -> Values:
    """All outputs of an area.

    Args:
        outputs: what is wanted.
        scores: (K, h, w) by layer, blended.
        valid: (h, w) bool.
        channels: what the channels of the map's scores stand for; None: a class each.
    """
    if channels is not None:
        scores = {**scores, "map": channels.of(scores["map"])}
    return {output.key: output.of(scores[output.layer], valid) for output in outputs}


def empty_values(outputs: Sequence[Output], classes: int, size: tuple[int, int]) -> Values:
    """All outputs of an area without data, (bands, h, w)."""
    return {
        output.key: np.full((output.bands(classes), *size), output.nodata, output.dtype)
        for output in outputs
    }
