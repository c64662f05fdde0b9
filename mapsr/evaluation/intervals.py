"""Bootstrap intervals: how far a score may move had other scenes been drawn."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from mapsr.errors import DataError, require_range
from mapsr.evaluation.confusion import Confusion
from mapsr.evaluation.scores import Floats, mean_iou, overall_accuracy


@dataclass(frozen=True)
class Intervals:
    """Percentile intervals of the pooled scores.

    Attributes:
        miou: lower and upper end for the mean IoU.
        oa: lower and upper end for the overall accuracy.
        level: share of the resamples inside each interval.
        resamples: how many times the scenes were drawn.
        scenes: how many scenes with truth there were to draw from.
    """

    miou: tuple[float, float]
    oa: tuple[float, float]
    level: float
    resamples: int
    scenes: int

    def as_dict(self) -> dict[str, object]:
        """Return the intervals for JSON."""
        return asdict(self) | {"miou": list(self.miou), "oa": list(self.oa)}


def bootstrap(
    confusions: Sequence[Confusion],
    generator: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
) -> Intervals | None:
    """Draw whole scenes with replacement, pool each draw, and take percentiles of its scores.

    Pixels of a scene are not independent, scenes nearly are: so scenes are drawn, never pixels.
    Scenes without truth have nothing to say and are not drawn.

    Args:
        confusions: one matrix a scene, all of one legend.
        generator: source of the draws.
        resamples: how many draws; 1000 settle the second decimal of a percentage.
        level: share of the draws inside the interval, between 0 and 1.

    Returns:
        The intervals, or None where fewer than two scenes have truth: one scene says nothing
        about how scenes differ.

    Raises:
        ConfigError: ``resamples`` is below 1 or ``level`` outside [0, 1].
        DataError: the matrices have different numbers of classes.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    require_range(resamples, "resamples", low=1)
    require_range(level, "level", high=1)
    if len({confusion.classes for confusion in confusions}) > 1:
        raise DataError("can't draw from scenes of different legends; expected one class list.")
    scenes = [confusion.counts for confusion in confusions if confusion.counts.any()]
    if len(scenes) < 2:
        return None
    counts = np.stack(scenes)  # (S, C, C + 1)
    times = generator.multinomial(len(scenes), [1 / len(scenes)] * len(scenes), size=resamples)
    pooled = np.tensordot(times, counts, axes=1)  # (resamples, C, C + 1)
    return Intervals(
        miou=_ends(mean_iou(pooled), level),
        oa=_ends(overall_accuracy(pooled), level),
        level=level,
        resamples=resamples,
        scenes=len(scenes),
    )


def _ends(values: Floats, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
