"""Joint areas: how much ground one raster calls this and another one calls that."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.legends import NODATA

HECTARE_M2 = 10_000.0


@dataclass(frozen=True, eq=False)
class Joint:
    """Pixels and hectares by class of a map and of another raster; those of windows add up.

    Attributes:
        pixels: int64 (M + 1, P + 1); the last row is the map's nodata, the last column that of the
            other raster.
        hectares: float64, of the same shape.
    """

    pixels: NDArray[np.int64]
    hectares: NDArray[np.float64]

    @classmethod
    def zeros(cls, classes: int, others: int) -> Self:
        """Return those of no pixels, for so many classes of either."""
        shape = classes + 1, others + 1
        return cls(np.zeros(shape, np.int64), np.zeros(shape))

    @classmethod
    def of(
        cls,
        labels: NDArray[np.uint8],
        other: NDArray[np.uint8] | None,
        areas: NDArray[np.float64],
        classes: int,
        others: int,
    ) -> Self:
        """Count pixels.

        Args:
            labels: uint8, 0..M-1 or 255, of any shape.
            other: uint8 of that shape, 0..P-1 or 255; None: no other raster.
            areas: float64 of that shape, square metres.
            classes: M.
            others: P; 0 without another raster.

        Raises:
            DataError: the shapes differ, or a label is not a class.
        """
        if labels.shape != areas.shape or (other is not None and other.shape != labels.shape):
            raise DataError(
                f"Labels are {labels.shape} and areas {areas.shape}, expected one shape."
            )
        rows = _index(labels, classes)
        columns = _index(other, others) if other is not None else np.full_like(rows, others)
        place = rows * (others + 1) + columns
        size, shape = (classes + 1) * (others + 1), (classes + 1, others + 1)
        pixels = np.bincount(place, minlength=size).reshape(shape)
        hectares = np.bincount(place, areas.ravel(), size).reshape(shape) / HECTARE_M2
        return cls(pixels.astype(np.int64), hectares)

    def __add__(self, more: "Joint") -> "Joint":
        return Joint(self.pixels + more.pixels, self.hectares + more.hectares)

    @property
    def mapped(self) -> NDArray[np.float64]:
        """Hectares of each class of the map, float64 (M,)."""
        total: NDArray[np.float64] = self.hectares[:-1].sum(1)
        return total

    @property
    def both(self) -> NDArray[np.float64]:
        """Hectares where both have a class, float64 (M, P)."""
        return self.hectares[:-1, :-1]


def _index(labels: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Class indices as integers (N,), nodata as the last one."""
    flat = labels.ravel()
    wrong = (flat >= classes) & (flat != NODATA)
    if wrong.any():
        raise DataError(f"A label is {flat[wrong][0]}, expected 0..{classes - 1} or {NODATA}.")
    return np.minimum(flat, classes).astype(np.int64)
