"""Accuracy and area from a stratified sample, with standard errors.

One set of estimators serves all designs: Stehman (2014), for strata of any kind. Where the strata
are the map's classes they give what Olofsson et al. (2014) give for areas, overall, user's and
producer's accuracy; one stratum is a simple random sample. With strata h of N_h pixels and share
W_h of the ground, of which n_h are sampled, the mean of a variable y is Y = sum W_h y_h with the
variance sum W_h^2 (1 - n_h / N_h) s_h^2 / n_h; a ratio R = Y / X has the variance
sum W_h^2 (1 - n_h / N_h) (s_yh^2 + R^2 s_xh^2 - 2 R s_xyh) / n_h / X^2.

Source: Olofsson et al., Good practices for estimating area and assessing accuracy of land change,
2014, doi:10.1016/j.rse.2014.02.015; Stehman, Estimating area and map accuracy for stratified random
sampling when the strata are different from the map classes, 2014, doi:10.1080/01431161.2014.930207.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError

CONFIDENT = 1.959963984540054
"""Standard errors on either side of an estimate that make an interval of 95 %."""


@dataclass(frozen=True)
class Stratum:
    """A part of the ground that is sampled by itself.

    Attributes:
        name: of the stratum.
        pixels: how many pixels it has, those that could have been drawn.
        hectares: how much ground they cover.
    """

    name: str
    pixels: int
    hectares: float


@dataclass(frozen=True)
class Estimate:
    """An estimate, None where it is undefined, and its standard error, None where unknown."""

    value: float | None
    error: float | None


@dataclass(frozen=True, eq=False)
class Sample:
    """A stratified random sample of n pixels.

    Attributes:
        strata: where it was drawn.
        stratum: int64 (n,), index of the stratum of each.
        mapped: int64 (n,), class on the map, 0..C-1; C where the map has none.
        truth: int64 (n,), true class, 0..C-1.
        classes: C.

    Raises:
        DataError: a stratum has ground but no point, or more points than pixels.
    """

    strata: Sequence[Stratum]
    stratum: NDArray[np.int64]
    mapped: NDArray[np.int64]
    truth: NDArray[np.int64]
    classes: int

    def __post_init__(self) -> None:
        for one, points in zip(self.strata, self.counts.tolist(), strict=True):
            if not points and one.hectares > 0:
                raise DataError(
                    f"No labelled point lies in stratum '{one.name}', which covers "
                    f"{one.hectares:.2f} ha: nothing can be estimated of that; label or draw some."
                )
            if points > one.pixels:
                raise DataError(
                    f"Stratum '{one.name}' has {points} points on {one.pixels} pixels, expected a "
                    "sample in which no pixel comes twice."
                )

    @property
    def counts(self) -> NDArray[np.int64]:
        """Points of each stratum, int64 (H,)."""
        return np.bincount(self.stratum, minlength=len(self.strata)).astype(np.int64)

    @property
    def hectares(self) -> float:
        """All ground that was sampled."""
        return float(sum(one.hectares for one in self.strata))

    def overall(self) -> Estimate:
        """Overall accuracy."""
        return self._mean(self.mapped == self.truth)

    def area(self, index: int) -> Estimate:
        """Share of the ground that is truly of a class."""
        return self._mean(self.truth == index)

    def users(self, index: int) -> Estimate:
        """User's accuracy: share of what is mapped as a class that is of it."""
        mapped = self.mapped == index
        return self._ratio(mapped & (self.truth == index), mapped)

    def producers(self, index: int) -> Estimate:
        """Producer's accuracy: share of a class that is mapped as it."""
        true = self.truth == index
        return self._ratio(true & (self.mapped == index), true)

    def matrix(self) -> NDArray[np.float64]:
        """Shares of the ground by class on the map (C + 1, the last: none) and in truth (C)."""
        weights = self._weights / np.maximum(self.counts, 1)
        place = self.mapped * self.classes + self.truth
        size = (self.classes + 1) * self.classes
        shares = np.bincount(place, weights[self.stratum], size)
        return shares.reshape(self.classes + 1, self.classes).astype(np.float64)

    @property
    def _weights(self) -> NDArray[np.float64]:
        """Share of the ground that each stratum covers, float64 (H,)."""
        hectares = np.array([one.hectares for one in self.strata], np.float64)
        weights: NDArray[np.float64] = hectares / hectares.sum()
        return weights

    def _mean(self, hit: NDArray[np.bool_]) -> Estimate:
        value = self._total(hit.astype(np.float64))
        return Estimate(value, self._error(hit.astype(np.float64)))

    def _ratio(self, hit: NDArray[np.bool_], among: NDArray[np.bool_]) -> Estimate:
        y, x = hit.astype(np.float64), among.astype(np.float64)
        whole = self._total(x)
        if whole == 0:
            return Estimate(None, None)
        ratio = self._total(y) / whole
        # the variance of y - R x is that of the ratio's numerator
        error = self._error(y - ratio * x)
        return Estimate(ratio, None if error is None else error / whole)

    def _total(self, values: NDArray[np.float64]) -> float:
        sums = np.bincount(self.stratum, values, len(self.strata))
        return float((self._weights * sums / np.maximum(self.counts, 1)).sum())

    def _error(self, values: NDArray[np.float64]) -> float | None:
        """Standard error of the stratified mean of values (n,); None if a stratum has one point."""
        variance = 0.0
        for index, (one, weight) in enumerate(zip(self.strata, self._weights, strict=True)):
            own = values[self.stratum == index]
            if not len(own):
                continue
            if len(own) == one.pixels:  # all of it is known
                continue
            if len(own) == 1:
                return None
            left = 1 - len(own) / one.pixels
            variance += weight**2 * left * float(own.var(ddof=1)) / len(own)
        return float(np.sqrt(variance))
