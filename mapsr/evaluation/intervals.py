"""Bootstrap intervals: how much a score would vary with other scenes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError, require_range
from mapsr.evaluation.confusion import Confusion
from mapsr.evaluation.scores import Floats, class_scores, mean_iou, overall_accuracy


@dataclass(frozen=True)
class Intervals:
    """Percentile intervals of the pooled scores.

    Attributes:
        miou: lower and upper end for the mean IoU.
        oa: lower and upper end for the overall accuracy.
        level: confidence level, in [0, 1].
        resamples: number of resamples.
        scenes: number of scenes with truth.
    """

    miou: tuple[float, float]
    oa: tuple[float, float]
    level: float
    resamples: int
    scenes: int

    def as_dict(self) -> dict[str, object]:
        """Return the intervals as plain containers for JSON."""
        return asdict(self) | {"miou": list(self.miou), "oa": list(self.oa)}


def bootstrap(
    confusions: Sequence[Confusion],
    generator: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
) -> Intervals | None:
    """Bootstrap over scenes: resample them with replacement and take percentiles of the scores.

    Scenes rather than pixels are resampled, since the pixels of a scene are not independent. Scenes
    without truth are left out.

    Args:
        confusions: one matrix per scene, all with the same legend.
        generator: source of randomness.
        resamples: number of resamples, at least 1; 1000 settle the second decimal of a percentage.
        level: confidence level, in [0, 1].

    Returns:
        The intervals, or None where fewer than two scenes have truth: the variation between scenes
        is then unknown.

    Raises:
        ConfigError: ``resamples`` is below 1 or ``level`` outside [0, 1].
        DataError: the matrices have different numbers of classes.

    Source: Efron and Tibshirani, An introduction to the bootstrap, 1993, section 13.3,
    doi:10.1007/978-1-4899-4541-9.
    """
    pooled = _resampled(confusions, generator, resamples, level)
    if pooled is None:
        return None
    return Intervals(
        miou=_ends(mean_iou(pooled), level),
        oa=_ends(overall_accuracy(pooled), level),
        level=level,
        resamples=resamples,
        scenes=sum(bool(confusion.counts.any()) for confusion in confusions),
    )


def bootstrap_classes(
    confusions: Sequence[Confusion],
    generator: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Floats] | None:
    """Bootstrap the scores of each class, as ``bootstrap`` does those of all.

    With generators of one state both draw the same scenes.

    Returns:
        float64 (C, 2), lower and upper end, by score: iou, f1, users_accuracy, producers_accuracy;
        NaN where a class is in the truth of no resample. None where fewer than two scenes have
        truth.

    Raises:
        ConfigError: as ``bootstrap``.
        DataError: likewise.
    """
    pooled = _resampled(confusions, generator, resamples, level)
    if pooled is None:
        return None
    return {score: _known_ends(values, level) for score, values in class_scores(pooled).items()}


def _resampled(
    confusions: Sequence[Confusion], generator: np.random.Generator, resamples: int, level: float
) -> NDArray[np.int64] | None:
    """Counts of scenes drawn with replacement, (resamples, C, C + 1)."""
    require_range(resamples, "resamples", low=1)
    require_range(level, "level", high=1)
    if len({confusion.classes for confusion in confusions}) > 1:
        raise DataError("can't resample scenes with different legends; expected the same classes.")
    scenes = [confusion.counts for confusion in confusions if confusion.counts.any()]
    if len(scenes) < 2:
        return None
    counts = np.stack(scenes)  # (S, C, C + 1)
    times = generator.multinomial(len(scenes), [1 / len(scenes)] * len(scenes), size=resamples)
    pooled: NDArray[np.int64] = np.tensordot(times, counts, axes=1)
    return pooled


def _known_ends(values: Floats, level: float) -> Floats:
    """Ends (C, 2) of values (resamples, C), NaN left out."""
    ends = np.full((values.shape[1], 2), np.nan)
    for index, column in enumerate(values.T):
        known = column[~np.isnan(column)]
        if known.size:
            ends[index] = _ends(known, level)
    return ends


def _ends(values: Floats, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
