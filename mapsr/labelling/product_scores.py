"""Products against truth, each by the classes that it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsr.labelling.products import Product
from mapsr.legends import NODATA, Legend

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ProductHits:
    """What products say where the truth is known; counts of patches add up.

    A product is right at a pixel if it votes for the true class, however many others it votes for
    there. Pixels whose class it does not have are left out. For a thematic product they count as
    wrong where it votes: all that it maps is the difference to them.

    Attributes:
        truth: int64 (P, C), pixels of each class that the product has and covers.
        right: int64 (P, C), those at which it votes for the class.
        wrong: int64 (P, C), pixels at which it votes for the class and not for the true one.
        missed: int64 (P, C), pixels of each class that the product has but does not cover there, as
            those that a label map leaves undetermined.

    Source:
        EcoVision, J. Remote Sens. 2025, 0811, Table 7, whose figures leave out classes that a
        product lacks.
    """

    truth: Counts
    right: Counts
    wrong: Counts
    missed: Counts

    def __add__(self, other: "ProductHits") -> "ProductHits":
        return ProductHits(
            self.truth + other.truth,
            self.right + other.right,
            self.wrong + other.wrong,
            self.missed + other.missed,
        )

    @classmethod
    def zeros(cls, products: int, classes: int) -> "ProductHits":
        """Return the counts of no pixel."""
        return cls(*(np.zeros((products, classes), np.int64) for _ in range(4)))

    @classmethod
    def of(
        cls,
        products: Sequence[Product],
        target: Legend,
        covered: Sequence[Mask],
        votes: Sequence[Mapping[int, Mask]],
        truth: NDArray[np.uint8],
    ) -> "ProductHits":
        """Count one patch.

        Args:
            products: P of them.
            target: legend of the truth.
            covered: bool (H, W) for each product: where it covers the patch.
            votes: masks bool (H, W) by index of the class, for each product.
            truth: uint8 (H, W), index of the true class; 255: unknown.
        """
        classes = len(target)
        hits = cls.zeros(len(products), classes)
        known = truth != NODATA
        for index, (product, masks) in enumerate(zip(products, votes, strict=True)):
            has = np.zeros(NODATA + 1, bool)
            has[[target.index(name) for name in product.targets()]] = True
            own = known & has[truth]
            inside = own & covered[index]
            judged = known & covered[index] if product.thematic else inside
            hit = {place: mask & (truth == place) for place, mask in masks.items()}
            false = judged & ~np.logical_or.reduce([np.zeros_like(known), *hit.values()])
            hits.truth[index] = np.bincount(truth[inside], minlength=classes)
            hits.missed[index] = np.bincount(truth[own & ~covered[index]], minlength=classes)
            for place, mask in masks.items():
                hits.right[index, place] = (hit[place] & inside).sum()
                hits.wrong[index, place] = (mask & false).sum()
        return hits

    def accuracy(
        self, index: int, without: Sequence[int] = (), *, trusted: bool = True
    ) -> float | None:
        """Return the share of right pixels of one product; None without truth.

        Args:
            index: of the product.
            without: indices of classes to leave out besides those that it lacks.
            trusted: leave out what the product does not cover; else each such pixel is an error.
        """
        kept = np.ones(self.truth.shape[1], bool)
        kept[list(without)] = False
        missed = 0 if trusted else self.missed[index, kept].sum()
        return _share(self.right[index, kept].sum(), self.truth[index, kept].sum() + missed)

    def ratio(self, index: int) -> float | None:
        """Return the share of the pixels of its classes that a product covers; None without any."""
        seen = self.truth[index].sum()
        return _share(seen, seen + self.missed[index].sum())

    def as_dict(self, index: int, names: Sequence[str]) -> dict[str, object]:
        """Return the scores of one product for JSON; None where undefined, as for lacking classes.

        Args:
            index: of the product.
            names: of the classes.
        """
        one = [self.scores(index, [place]) for place in range(len(names))]
        keys = ("producers_accuracy", "users_accuracy", "f1")
        by_class = {key: dict(zip(names, (row[key] for row in one), strict=True)) for key in keys}
        return {
            "oa": self.accuracy(index),
            "oa_all": self.accuracy(index, trusted=False),
            "ratio": self.ratio(index),
            "pixels": int(self.truth[index].sum()),
            **by_class,
        }

    def scores(self, index: int, merged: Sequence[int]) -> dict[str, float | None]:
        """Return producer's and user's accuracy and F1 of classes that are one to a product.

        None for classes that the truth does not have where the product is scored, as in ``Scores``.

        Args:
            index: of the product.
            merged: indices of classes that it always votes for together; of a single one mostly.
        """
        places = list(merged)
        truth, right = self.truth[index, places].sum(), self.right[index, places].sum()
        # a wrong vote for one of them is the same pixel for all
        wrong = self.wrong[index, places].max(initial=0)
        return {
            "producers_accuracy": _share(right, truth),
            "users_accuracy": _share(right, right + wrong) if truth else None,
            "f1": _share(2 * right, truth + right + wrong) if truth else None,
        }


def _share(part: Any, whole: Any) -> float | None:  # noqa: ANN401, integers of NumPy
    return float(part / whole) if whole else None
