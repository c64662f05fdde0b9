"""Scores of a confusion matrix: IoU, accuracies, F1.

A class that is absent from the truth can't be found, so all its scores are NaN and the mean IoU
leaves it out. Pixels wrongly given to it are not forgiven: each is a miss of the class it truly
is. A present class that is never predicted has IoU, F1 and producer's accuracy 0, and a user's
accuracy of NaN, since nobody was misled by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.evaluation.confusion import Confusion

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores over all pixels with truth, as fractions in [0, 1].

    Attributes:
        iou: float64 (C,), intersection over union; NaN for a class absent from the truth.
        f1: float64 (C,), harmonic mean of the two accuracies below; NaN as iou.
        users_accuracy: float64 (C,), right among the pixels predicted as the class (precision);
            NaN as iou, and where the class is never predicted.
        producers_accuracy: float64 (C,), right among the pixels that truly are the class
            (recall); NaN as iou.
        miou: mean of iou over the classes present in the truth.
        oa: overall accuracy, right among all pixels with truth.
        pixels: number of pixels with truth.
    """

    iou: Floats
    f1: Floats
    users_accuracy: Floats
    producers_accuracy: Floats
    miou: float
    oa: float
    pixels: int

    @classmethod
    def of(cls, confusion: Confusion) -> Self:
        """Score a confusion matrix, of one scene or pooled over several.

        Raises:
            DataError: no pixel has truth.
        """
        hits, truth, predicted = _marginals(confusion.counts)
        if not truth.any():
            raise DataError(
                "nothing to score: no pixel has truth, expected at least one label other than "
                "255; check that the truth overlaps the image and that its crosswalk names its "
                "codes."
            )
        present = truth > 0
        return cls(
            iou=_ratio(hits, truth + predicted - hits, present),
            f1=_ratio(2 * hits, truth + predicted, present),
            users_accuracy=_ratio(hits, predicted, present & (predicted > 0)),
            producers_accuracy=_ratio(hits, truth, present),
            miou=float(mean_iou(confusion.counts)),
            oa=float(overall_accuracy(confusion.counts)),
            pixels=int(truth.sum()),
        )

    def as_dict(self, names: Sequence[str]) -> dict[str, object]:
        """Return the scores for JSON: per class by name, and None in place of NaN.

        Args:
            names: class names in legend order.

        Raises:
            DataError: there are not as many names as classes.
        """
        if len(names) != len(self.iou):
            raise DataError(f"got {len(names)} class names for scores of {len(self.iou)} classes.")

        def by_name(values: Floats) -> dict[str, float | None]:
            pairs = zip(names, values.tolist(), strict=True)
            return {name: None if np.isnan(value) else value for name, value in pairs}

        return {
            "miou": self.miou,
            "oa": self.oa,
            "pixels": self.pixels,
            "iou": by_name(self.iou),
            "f1": by_name(self.f1),
            "users_accuracy": by_name(self.users_accuracy),
            "producers_accuracy": by_name(self.producers_accuracy),
        }


def mean_iou(counts: NDArray[np.int64]) -> Floats:
    """Return the mean IoU over the classes present in the truth.

    Args:
        counts: int64 (..., C, C + 1), confusion counts with truth.

    Returns:
        float64 (...).
    """
    hits, truth, predicted = _marginals(counts)
    present = truth > 0
    iou = _ratio(hits, truth + predicted - hits, present)
    mean: Floats = np.nansum(iou, axis=-1) / present.sum(axis=-1)
    return mean


def overall_accuracy(counts: NDArray[np.int64]) -> Floats:
    """Return the share of right pixels.

    Args:
        counts: int64 (..., C, C + 1), confusion counts with truth.

    Returns:
        float64 (...).
    """
    hits, truth, _ = _marginals(counts)
    accuracy: Floats = hits.sum(axis=-1) / truth.sum(axis=-1)
    return accuracy


def _marginals(
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    square = counts[..., :-1]  # (..., C, C): predictions of nodata are errors of no class
    hits = np.diagonal(square, axis1=-2, axis2=-1)  # (..., C)
    return hits, counts.sum(axis=-1), square.sum(axis=-2)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64], where: NDArray[np.bool_]) -> Floats:
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=where)
    return ratio
