"""The confusion matrix of predicted and true labels, from which all scores are computed."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mapsr import budgets
from mapsr.errors import DataError
from mapsr.legends import NODATA


@dataclass(frozen=True, eq=False)
class Confusion:
    """Pixel counts by true and predicted class; the matrices of several scenes add up.

    Attributes:
        counts: int64 (C, C + 1); rows are the true class, columns the predicted one; the last
            column counts predictions of nodata on valid truth, which are errors.

    Raises:
        DataError: the counts are not an int64 (C, C + 1) matrix without negative numbers.
    """

    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        counts = self.counts
        shaped = counts.ndim == 2 and counts.shape[1] == counts.shape[0] + 1
        if not shaped or counts.dtype != np.int64 or counts.size == 0 or counts.min() < 0:
            raise DataError(
                f"confusion counts are {counts.dtype} {counts.shape}, expected int64 (C, C + 1) "
                "without negative counts; the last column is for predictions of nodata."
            )

    @classmethod
    def zeros(cls, classes: int) -> Self:
        """Return the matrix of zero pixels for ``classes`` classes."""
        return cls(np.zeros((classes, classes + 1), np.int64))

    @classmethod
    def of(cls, truth: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int) -> Self:
        """Count one scene; pixels whose truth is 255 are ignored.

        Args:
            truth: uint8 (H, W), 0..classes-1 or 255.
            prediction: uint8 (H, W), 0..classes-1 or 255 for no prediction.
            classes: number of classes C.

        Raises:
            DataError: the shapes differ.
            DataError: an array is not uint8.
            DataError: an array has a value that is neither a class nor 255.
        """
        if truth.shape != prediction.shape:
            raise DataError(
                f"truth is {truth.shape} and prediction {prediction.shape}, expected two label "
                "maps on one grid; warp one to the other first."
            )
        for what, labels in (("truth", truth), ("prediction", prediction)):
            _check_labels(what, labels, classes)
        counts = np.zeros(classes * (classes + 1), np.int64)
        flat_truth, flat_prediction = truth.ravel(), prediction.ravel()
        step = budgets.COUNTED_PX.cpu
        for start in range(0, flat_truth.size, step):
            block = slice(start, start + step)
            valid = flat_truth[block] != NODATA
            rows = flat_truth[block][valid].astype(np.int64)
            columns = np.minimum(flat_prediction[block][valid], classes)
            counts += np.bincount(rows * (classes + 1) + columns, minlength=counts.size)
        return cls(counts.reshape(classes, classes + 1))

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return len(self.counts)

    def __add__(self, other: "Confusion") -> "Confusion":
        if self.classes != other.classes:
            raise DataError(
                f"can't add confusion matrices of {self.classes} and {other.classes} classes; "
                "expected scenes with the same legend."
            )
        return Confusion(self.counts + other.counts)


def _check_labels(what: str, labels: NDArray[np.uint8], classes: int) -> None:
    if labels.dtype != np.uint8:
        raise DataError(f"{what} labels are {labels.dtype}, expected uint8 with 255 for nodata.")
    histogram = np.zeros(256, np.int64)
    step = budgets.COUNTED_PX.cpu
    for start in range(0, labels.size, step):
        histogram += np.bincount(labels.ravel()[start : start + step], minlength=256)
    unknown = [value for value in np.flatnonzero(histogram) if classes <= value != NODATA]
    if unknown:
        raise DataError(
            f"{what} has the value {unknown[0]}, expected 0..{classes - 1} or 255 for nodata; "
            "apply the crosswalk of its product first."
        )
