"""Products against truth, each by the classes that it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsr.labelling.plan import Plan
from mapsr.labelling.prompts import PatchPrompts
from mapsr.legends import NODATA

Counts = NDArray[np.int64]


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

    Source:
        EcoVision, J. Remote Sens. 2025, 0811, Table 7, whose figures leave out classes that a
        product lacks.
    """

    truth: Counts
    right: Counts
    wrong: Counts

    def __add__(self, other: "ProductHits") -> "ProductHits":
        return ProductHits(
            self.truth + other.truth, self.right + other.right, self.wrong + other.wrong
        )

    @classmethod
    def of(
        cls,
        plan: Plan,
        patch: PatchPrompts,
        votes: Sequence[Mapping[int, NDArray[np.bool_]]],
        truth: NDArray[np.uint8],
    ) -> "ProductHits":
        """Count one patch.

        Args:
            plan: of the region.
            patch: what the products say.
            votes: masks by class, for each product.
            truth: uint8 (H, W), index of the true class; 255: unknown.
        """
        classes = len(plan.target)
        counts = [np.zeros((len(votes), classes), np.int64) for _ in range(3)]
        known = truth != NODATA
        for index, masks in enumerate(votes):
            has = np.zeros(NODATA + 1, bool)
            has[[claim.target for claim in plan.claims if claim.product == index]] = True
            inside = known & patch.covered[index] & has[truth]
            judged = known & patch.covered[index] if plan.products[index].thematic else inside
            hit = {target: mask & (truth == target) for target, mask in masks.items()}
            false = judged & ~np.logical_or.reduce([np.zeros_like(known), *hit.values()])
            counts[0][index] = np.bincount(truth[inside], minlength=classes)
            for target, mask in masks.items():
                counts[1][index, target] = (hit[target] & inside).sum()
                counts[2][index, target] = (mask & false).sum()
        return cls(*counts)

    def accuracy(self, index: int, without: Sequence[int] = ()) -> float | None:
        """Return the share of right pixels of one product; None without truth.

        Args:
            index: of the product.
            without: indices of classes to leave out besides those that it lacks.
        """
        kept = np.ones(self.truth.shape[1], bool)
        kept[list(without)] = False
        return _share(self.right[index, kept].sum(), self.truth[index, kept].sum())

    def as_dict(self, index: int, names: Sequence[str]) -> dict[str, object]:
        """Return the scores of one product for JSON; None where undefined, as for lacking classes.

        Args:
            index: of the product.
            names: of the classes.
        """
        truth, right, wrong = self.truth[index], self.right[index], self.wrong[index]
        places = range(len(names))
        return {
            "oa": self.accuracy(index),
            "pixels": int(truth.sum()),
            "producers_accuracy": {names[i]: _share(right[i], truth[i]) for i in places},
            "users_accuracy": {names[i]: _share(right[i], right[i] + wrong[i]) for i in places},
            "f1": {names[i]: _share(2 * right[i], truth[i] + right[i] + wrong[i]) for i in places},
        }


def _share(part: Any, whole: Any) -> float | None:  # noqa: ANN401, integers of NumPy
    return float(part / whole) if whole else None
