"""Scores of a confusion matrix: IoU, accuracies, F1.

A class that is absent from the truth has NaN for all its scores, and the mean IoU leaves it out.
Pixels wrongly predicted as it still count, as misses of their true class. A present class that is
never predicted has IoU, F1 and producer's accuracy 0, and an undefined user's accuracy (NaN).

With n_ij pixels of true class i predicted as j: IoU_i = n_ii / (sum_j n_ij + sum_j n_ji - n_ii);
F1_i = 2 n_ii / (sum_j n_ij + sum_j n_ji); producer's accuracy n_ii / sum_j n_ij; user's accuracy
n_ii / sum_j n_ji; overall accuracy sum_i n_ii / sum_ij n_ij.

Source: Everingham et al., The Pascal visual object classes challenge, IJCV 2010, for IoU,
doi:10.1007/s11263-009-0275-4; Congalton, A review of assessing the accuracy of classifications of
remotely sensed data, 1991, for the accuracies, doi:10.1016/0034-4257(91)90048-B.
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
        f1: float64 (C,), harmonic mean of the two accuracies below; NaN where iou is.
        users_accuracy: float64 (C,), share of correct pixels among those predicted as the class
            (precision); NaN where iou is, and where the class is never predicted.
        producers_accuracy: float64 (C,), share of correct pixels among those of the class
            (recall); NaN where iou is.
        miou: mean of iou over the classes present in the truth.
        oa: overall accuracy, share of correct pixels among those with truth.
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
        truth = confusion.counts.sum(axis=-1)
        if not truth.any():
            raise DataError(
                "nothing to score: no pixel has truth, expected at least one label other than "
                "255; check that the truth overlaps the image and that its crosswalk names its "
                "codes."
            )
        return cls(
            **class_scores(confusion.counts),
            miou=float(mean_iou(confusion.counts)),
            oa=float(overall_accuracy(confusion.counts)),
            pixels=int(truth.sum()),
        )

    def as_dict(self, names: Sequence[str]) -> dict[str, object]:
        """Return the scores as plain containers for JSON, by class name and with None for NaN.

        Args:
            names: class names in legend order.

        Raises:
            DataError: the numbers of names and classes differ.
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


def class_scores(counts: NDArray[np.int64]) -> dict[str, Floats]:
    """Return the scores of each class by name: iou, f1, users_accuracy, producers_accuracy.

    Args:
        counts: int64 (..., C, C + 1), confusion counts.

    Returns:
        float64 (..., C) each; NaN as ``Scores`` says.
    """
    hits, truth, predicted = _marginals(counts)
    present = truth > 0
    return {
        "iou": _ratio(hits, truth + predicted - hits, present),
        "f1": _ratio(2 * hits, truth + predicted, present),
        "users_accuracy": _ratio(hits, predicted, present & (predicted > 0)),
        "producers_accuracy": _ratio(hits, truth, present),
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
    """Return the share of correct pixels.

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
    square = counts[..., :-1]  # (..., C, C): predictions of nodata count for no class
    hits = np.diagonal(square, axis1=-2, axis2=-1)  # (..., C)
    return hits, counts.sum(axis=-1), square.sum(axis=-2)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64], where: NDArray[np.bool_]) -> Floats:
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=where)
    return ratio
