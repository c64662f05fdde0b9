"""Paired differences of scores: how much better one map of the same scenes is than another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mapsr.errors import DataError, require_range
from mapsr.evaluation.confusion import Confusion
from mapsr.evaluation.scores import mean_iou

Pair = tuple[Mapping[str, Confusion], Mapping[str, Confusion]]
"""Scene name -> confusion matrix, of the map that may be better and of the other one."""


@dataclass(frozen=True)
class Difference:
    """The difference in mean IoU of two maps, pooled over scenes.

    Attributes:
        miou: the difference, in [-1, 1]; its mean over pairs of maps.
        low: lower end of its percentile interval.
        high: upper end.
        level: confidence level, in [0, 1].
    """

    miou: float
    low: float
    high: float
    level: float


def bootstrap_difference(
    pairs: Sequence[Pair],
    generator: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
) -> Difference | None:
    """Paired bootstrap over scenes of the difference in mean IoU.

    Each resample draws the same scenes for both maps, and for all pairs. A scene that is hard for
    one map is hard for the other, so that their difference varies much less than either score:
    overlapping intervals of two scores do not mean that the maps are equally good.

    Args:
        pairs: at least one; the two maps of a pair have the seed of their runs in common.
        generator: source of randomness.
        resamples: number of resamples, at least 1; 1000 settle the second decimal of a percentage.
        level: confidence level, in [0, 1].

    Returns:
        The difference first - second, the mean over the pairs, or None where fewer than two scenes
        have truth.

    Raises:
        ConfigError: ``resamples`` is below 1 or ``level`` outside [0, 1].
        DataError: the scenes differ.
        DataError: the truth of a scene differs.

    Source: Efron and Tibshirani, An introduction to the bootstrap, 1993, sections 8.3 and 13.3,
    doi:10.1007/978-1-4899-4541-9.
    """
    require_range(resamples, "resamples", low=1)
    require_range(level, "level", high=1)
    names = _common_scenes([one for pair in pairs for one in pair])
    if len(names) < 2:
        return None
    times = generator.multinomial(len(names), [1 / len(names)] * len(names), size=resamples)
    drawn, whole = np.zeros(resamples), 0.0
    for pair in pairs:
        for sign, maps in zip((1, -1), pair, strict=True):
            stack = np.stack([maps[name].counts for name in names])
            # (S, C, C + 1) -> (resamples, C, C + 1)
            drawn += sign * mean_iou(np.tensordot(times, stack, axes=1)) / len(pairs)
            whole += sign * float(mean_iou(stack.sum(axis=0))) / len(pairs)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Difference(whole, float(low), float(high), level)


def _common_scenes(maps: Sequence[Mapping[str, Confusion]]) -> list[str]:
    """Names of the scenes with truth, which all maps must have.

    Raises:
        DataError: scenes or truth differ.
    """
    first = maps[0]
    names = [name for name, confusion in first.items() if confusion.counts.any()]
    for other in maps[1:]:
        if first.keys() != other.keys():
            odd = sorted(first.keys() ^ other.keys())[0]
            raise DataError(
                f"the two maps have different scenes: only one has '{odd}'; expected the same."
            )
        for name in names:
            counts = first[name].counts, other[name].counts
            if counts[0].shape != counts[1].shape or (counts[0].sum(1) != counts[1].sum(1)).any():
                raise DataError(
                    f"the truth of scene '{name}' differs between the two maps; expected the same."
                )
    return names
