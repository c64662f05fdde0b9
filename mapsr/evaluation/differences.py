"""Paired differences of scores: how much better one map of the same scenes is than another."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mapsr.errors import DataError, require_range
from mapsr.evaluation.confusion import Confusion
from mapsr.evaluation.scores import mean_iou


@dataclass(frozen=True)
class Difference:
    """The difference in mean IoU of two maps, pooled over scenes.

    Attributes:
        miou: the difference, in [-1, 1].
        low: lower end of its percentile interval.
        high: upper end.
        level: confidence level, in [0, 1].
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
    """Paired bootstrap over scenes of the difference in mean IoU.

    Each resample draws the same scenes for both maps. A scene that is hard for one map is hard for
    the other, so that their difference varies much less than either score: overlapping intervals of
    two scores do not mean that the maps are equally good.

    Args:
        first: scene name -> confusion matrix of the map that may be better.
        second: the same of the other map.
        generator: source of randomness.
        resamples: number of resamples, at least 1; 1000 settle the second decimal of a percentage.
        level: confidence level, in [0, 1].

    Returns:
        The difference first - second, or None where fewer than two scenes have truth.

    Raises:
        ConfigError: ``resamples`` is below 1 or ``level`` outside [0, 1].
        DataError: the scenes differ.
        DataError: the truth of a scene differs.

    Source: Efron and Tibshirani, An introduction to the bootstrap, 1993, sections 8.3 and 13.3,
    doi:10.1007/978-1-4899-4541-9.
    """
    require_range(resamples, "resamples", low=1)
    require_range(level, "level", high=1)
    if first.keys() != second.keys():
        odd = sorted(first.keys() ^ second.keys())[0]
        raise DataError(
            f"the two maps have different scenes: only one has '{odd}'; expected the same."
        )
    names = [name for name, confusion in first.items() if confusion.counts.any()]
    for name in names:
        counts = first[name].counts, second[name].counts
        if counts[0].shape != counts[1].shape or (counts[0].sum(1) != counts[1].sum(1)).any():
            raise DataError(
                f"the truth of scene '{name}' differs between the two maps; expected the same."
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
