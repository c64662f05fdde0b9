"""Calibration: does what is said to be right with 80 % turn out right in 80 % of the cases?

With truth, the pixels' probabilities are held against their true classes. Without, they can only
be held against the product: a map's probabilities and the soft crosswalk together predict which
class the product gives a cell, and cells whose class the prediction did not see can be asked.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.legends import NODATA

Floats = NDArray[np.floating]
# Probabilities may miss a sum of one by so much: float32 over some tens of classes.
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Reliability:
    """Counts of how sure and how right predictions were, by confidence; counts of scenes add up.

    The confidence of a pixel is the probability of its most probable class.

    Attributes:
        counts: int64 (bins,), pixels in each of the equal bins of [0, 1].
        right: int64 (bins,), those whose class was right.
        confidence: float64 (bins,), sums of their confidences.
    """

    counts: NDArray[np.int64]
    right: NDArray[np.int64]
    confidence: NDArray[np.float64]

    @classmethod
    def zeros(cls, bins: int = 20) -> Self:
        """Return the counts of no pixels."""
        return cls(np.zeros(bins, np.int64), np.zeros(bins, np.int64), np.zeros(bins))

    @classmethod
    def of(cls, probabilities: Floats, truth: NDArray[np.uint8], bins: int = 20) -> Self:
        """Count one scene; pixels whose truth is 255 or whose probabilities are NaN are ignored.

        Args:
            probabilities: float (C, H, W), or (C, n), summing to one over C.
            truth: uint8 (H, W), or (n,), 0..C-1 or 255.
            bins: number of bins.

        Raises:
            DataError: the shapes differ.
            DataError: truth holds a value that is neither a class nor 255.
            DataError: probabilities are outside [0, 1] or do not sum to one.
        """
        if probabilities.shape[1:] != truth.shape:
            raise DataError(
                f"probabilities are {probabilities.shape} and truth {truth.shape}, expected "
                "(C, H, W) and (H, W) on one grid."
            )
        strangers = truth[(truth >= len(probabilities)) & (truth != NODATA)]
        if strangers.size:
            raise DataError(
                f"truth holds the value {strangers.flat[0]}, expected 0..{len(probabilities) - 1} "
                "or 255 for nodata; apply the crosswalk of its product first."
            )
        asked = (truth != NODATA) & ~np.isnan(probabilities).any(0)
        chosen = probabilities[:, asked]  # (C, n)
        if chosen.size and (chosen.min() < 0 or abs(chosen.sum(0) - 1).max() > _ROUNDING):
            raise DataError(
                "these are not probabilities: expected values of at least 0 that sum to 1 over the "
                "classes; take a softmax of scores first."
            )
        best = chosen.argmax(0) if chosen.size else truth[asked]
        return cls.of_best(chosen.max(0, initial=0), best, truth[asked], bins)

    @classmethod
    def of_best(
        cls, sure: Floats, labels: NDArray[Any], truth: NDArray[Any], bins: int = 20
    ) -> Self:
        """Count pixels by the probability of their best class; those without truth are ignored.

        Args:
            sure: float (...), in [0, 1]; NaN leaves a pixel out.
            labels: the best class of each, of the same shape.
            truth: of the same shape, 255 for none.
            bins: number of bins.
        """
        asked = (truth != NODATA) & ~np.isnan(sure)
        sure = sure[asked].astype(np.float64)
        place = np.minimum((sure * bins).astype(np.int64), bins - 1)
        right = place[labels[asked] == truth[asked]]
        return cls(
            np.bincount(place, minlength=bins),
            np.bincount(right, minlength=bins),
            np.bincount(place, sure, minlength=bins).astype(np.float64),
        )

    def __add__(self, other: "Reliability") -> "Reliability":
        if len(self.counts) != len(other.counts):
            raise DataError(
                f"can't add reliabilities of {len(self.counts)} and {len(other.counts)} bins; "
                "expected the same bins for all scenes."
            )
        return Reliability(
            self.counts + other.counts,
            self.right + other.right,
            self.confidence + other.confidence,
        )

    @property
    def diagram(self) -> NDArray[np.float64]:
        """(bins, 3): mean confidence, share that was right, share of the pixels; NaN where none."""
        with np.errstate(invalid="ignore"):
            return np.stack(
                [
                    self.confidence / self.counts,
                    self.right / self.counts,
                    self.counts / self.counts.sum(),
                ],
                axis=1,
            )

    @property
    def error(self) -> float:
        """Expected calibration error: mean gap between sure and right, weighted by pixels.

        Source: Naeini, Cooper and Hauskrecht 2015, Obtaining Well Calibrated Probabilities Using
        Bayesian Binning.

        Raises:
            DataError: there are no pixels.
        """
        total = self.counts.sum()
        if not total:
            raise DataError("there is no pixel with truth and probabilities to calibrate on.")
        return float(abs(self.confidence - self.right).sum() / total)

    def as_dict(self) -> dict[str, object]:
        """The error, and the diagram with None in empty bins, ready for JSON.

        Raises:
            DataError: there are no pixels.
        """
        rows = [[None if np.isnan(x) else x for x in row] for row in self.diagram.tolist()]
        return {"error": self.error, "bins": rows}


def product_probabilities(probabilities: Floats, shares: Floats, frequency: Floats) -> Floats:
    """What a map's probabilities say of the product: p(k | u) = sum_c p(k | c) p(c | u).

    Bayes turns the soft crosswalk round, p(k | c) proportional to p(c | k) p(k). Held against the
    product's own classes with ``Reliability.of``, this calibrates without truth, if the
    probabilities did not see the product at the place (strength 0, fitted elsewhere). It judges the
    map and the table together: a table that is wrong shows as a map that is, and a product that
    errs where the image misleads too is believed.

    Args:
        probabilities: (C, n) of the target classes.
        shares: (K, C), p(c | k); rows of zeros are left out and get probability zero.
        frequency: (K,) how often each product class occurs, in any unit.

    Returns:
        (K, n) summing to one.

    Raises:
        DataError: a class of the target has probability but no share in a product class that
            occurs.
    """
    joint = shares * frequency[:, None]
    total = joint.sum(0)  # (C,)
    lost = (total <= 0) & (probabilities.max(1, initial=0) > 0)
    if lost.any():
        raise DataError(
            f"target class {int(np.flatnonzero(lost)[0])} has probability, but no product class "
            "that occurs gives it a share: give the shares a floor first."
        )
    turned = joint / np.where(total > 0, total, 1)  # (K, C), p(k | c)
    result: Floats = turned @ probabilities
    return result
