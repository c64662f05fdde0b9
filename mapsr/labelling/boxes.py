"""Box statistics of values, as of an accuracy over cities."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

_WHISKER = 1.5
"""Of the distance between the quartiles: values farther out than that are outliers (Tukey)."""


@dataclass(frozen=True)
class Box:
    """What a box of a box plot shows; quartiles are interpolated linearly."""

    count: int
    """Values that there are."""
    mean: float
    std: float | None
    """Of the sample; None of fewer than two values."""
    least: float
    whisker_low: float
    """Least value that is not an outlier."""
    quartile_1: float
    median: float
    quartile_3: float
    whisker_high: float
    """Greatest value that is not an outlier."""
    greatest: float

    def as_dict(self) -> dict[str, float | None]:
        """For JSON and CSV."""
        return asdict(self)


def box_of(values: Sequence[float | None]) -> Box | None:
    """Return the box of values, those left out that are None; None of nothing.

    Source:
        Tukey, Exploratory Data Analysis, 1977: whiskers reach to the last value within 1.5 times
        the distance of the quartiles.
    """
    known = np.array([value for value in values if value is not None], np.float64)
    if not known.size:
        return None
    first, middle, third = np.percentile(known, [25, 50, 75])
    reach = _WHISKER * (third - first)
    inside = known[(known >= first - reach) & (known <= third + reach)]
    return Box(
        count=known.size,
        mean=float(known.mean()),
        std=float(known.std(ddof=1)) if known.size > 1 else None,
        least=float(known.min()),
        whisker_low=float(min(inside.min(), first)),
        quartile_1=float(first),
        median=float(middle),
        quartile_3=float(third),
        whisker_high=float(max(inside.max(), third)),
        greatest=float(known.max()),
    )
