"""Paired differences: how much better one map of the same scenes is than another."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mapsr.errors import DataError, require_range
from mapsr.evaluation.confusion import Confusion
from mapsr.evaluation.scores import mean_iou


@dataclass(frozen=True)
class Difference:
    """How much larger the mean IoU of one map is, pooled over scenes.

    Attributes:
        miou: the difference, in [-1, 1].
        low: lower end of its percentile interval.
        high: upper end.
        level: share of the resamples inside the interval.
    """

    miou: float
    low: float
    high: float
    level: float


def bootstrap_difference(
    first: Mapping[str, Confusion],
    second: Mapping[str, Confusion],
    generator: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
) -> Difference | None:
    """Draw scenes with replacement, the same ones for both maps, and take the difference each time.

    What makes a scene hard is hard for both: the difference varies far less than either score, so
    two intervals that overlap do not say that the maps are alike.

    Args:
        first: scene name -> confusion matrix of the map that may be better.
        second: the same of the map that it is compared with.
        generator: source of the draws.
        resamples: how many draws.
        level: share of the draws inside the interval, between 0 and 1.

    Returns:
        The difference first - second, or None where fewer than two scenes have truth.

    Raises:
        ConfigError: ``resamples`` is below 1 or ``level`` outside [0, 1].
        DataError: the scenes differ, or the truth of one of them does.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), sections 8.3 and 13.3.
    """
    require_range(resamples, "resamples", low=1)
    require_range(level, "level", high=1)
    if first.keys() != second.keys():
        odd = sorted(first.keys() ^ second.keys())[0]
        raise DataError(
            f"the maps are of other scenes: only one has '{odd}'; expected the same for both."
        )
    names = [name for name, confusion in first.items() if confusion.counts.any()]
    for name in names:
        counts = first[name].counts, second[name].counts
        if counts[0].shape != counts[1].shape or (counts[0].sum(1) != counts[1].sum(1)).any():
            raise DataError(
                f"the truth of scene '{name}' is another for each of the maps; expected one truth."
            )
    if len(names) < 2:
        return None
    stacks = [np.stack([maps[name].counts for name in names]) for maps in (first, second)]
    times = generator.multinomial(len(names), [1 / len(names)] * len(names), size=resamples)
    # (S, C, C + 1) -> (resamples, C, C + 1)
    drawn = [mean_iou(np.tensordot(times, stack, axes=1)) for stack in stacks]
    whole = [float(mean_iou(stack.sum(axis=0))) for stack in stacks]
    low, high = np.quantile(drawn[0] - drawn[1], [(1 - level) / 2, (1 + level) / 2])
    return Difference(whole[0] - whole[1], float(low), float(high), level)
