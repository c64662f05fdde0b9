"""What came of a vote, in counts that add up over patches.

Coverage, overlaps and conflicts of sources are what Snorkel prints of its labelling functions; the
scores with truth are those of EcoVision's Tables 4, 5 and 7.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.evaluation import Confusion, Scores
from mapsr.labelling.plan import Plan
from mapsr.labelling.product_scores import ProductHits
from mapsr.labelling.prompts import PatchPrompts
from mapsr.labelling.voting import Labels, Plane
from mapsr.legends import NODATA

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Counts of pixels over some patches.

    Raises:
        DataError: when added, the two are of other products or classes.
    """

    products: tuple[str, ...]
    """Names, P of them."""
    classes: tuple[str, ...]
    """Names, C of them."""
    patches: int
    """Patches counted."""
    bare_patches: int
    """Patches that no product covers."""
    pixels: int
    """All pixels that the image has."""
    contested: int
    """Pixels at which two or more classes reached their thresholds."""
    covered: Counts
    """(P,) pixels that each product covers."""
    said: Counts
    """(P,) pixels at which each product votes for some class."""
    both: Counts
    """(P, P) pixels at which both products vote."""
    agreed: Counts
    """(P, P) pixels at which both vote for a common class."""
    trusted: Counts
    """(255, C) trusted pixels by round and class."""
    backed: Counts
    """(P + 1, C) trusted pixels of each class that each product, and last the model, voted for."""
    repaired: Counts
    """(P,) broken geometries that were repaired, counted in each patch that they reach."""
    skipped: Counts
    """(P,) geometries beyond repair, counted so too."""
    unmapped: tuple[Counter[int], ...]
    """Pixels by code without mapping, for each product."""
    confusion: Confusion
    """Truth against label; the last column counts undetermined pixels. Empty without truth."""
    hits: ProductHits
    """Truth against what each product says. Empty without truth."""

    def __add__(self, other: "Statistics") -> "Statistics":
        if (self.products, self.classes) != (other.products, other.classes):
            raise DataError(
                f"Can't add statistics of {', '.join(self.products)} and of "
                f"{', '.join(other.products)}: expected the same products and classes."
            )
        values: dict[str, Any] = {}
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.name == "unmapped":
                values[field.name] = tuple(a + b for a, b in zip(mine, theirs, strict=True))
            elif field.name in ("products", "classes"):
                values[field.name] = mine
            else:
                values[field.name] = mine + theirs
        return Statistics(**values)

    @property
    def ratio(self) -> float | None:
        """Share of the pixels with truth that are trusted; None without truth."""
        counts = self.confusion.counts
        return float(counts[:, :-1].sum() / counts.sum()) if counts.any() else None

    def scores(self, *, trusted: bool = True) -> Scores | None:
        """Score labels against truth: OA, PA (producer's), UA (user's accuracy) and F1.

        Args:
            trusted: leave undetermined pixels out, as the paper does; else each is an error.

        Returns:
            None where there is nothing to score.
        """
        counts = self.confusion.counts.copy()
        if trusted:
            counts[:, -1] = 0
        return Scores.of(Confusion(counts)) if counts.any() else None

    def as_dict(self) -> dict[str, object]:
        """Return everything for JSON, shares of all pixels beside counts; None where undefined."""
        return {
            "patches": self.patches,
            "bare_patches": self.bare_patches,
            "pixels": self.pixels,
            "contested": self.contested,
            "trusted": self._share(self.trusted.sum()),
            "trusted_by_class": self._by_class(self.trusted.sum(axis=0)),
            "trusted_by_round": self._by_round(),
            "products": {name: self._product(i) for i, name in enumerate(self.products)},
            "model": {"trusted_by_class": self._by_class(self.backed[-1])},
            "pairs": self._pairs(),
            "truth": self._truth(),
        }

    def _share(self, count: Any) -> float | None:  # noqa: ANN401, an integer of NumPy or Python
        return float(count / self.pixels) if self.pixels else None

    def _by_class(self, counts: Counts) -> dict[str, float | None]:
        pairs = zip(self.classes, counts, strict=True)
        return {name: self._share(count) for name, count in pairs}

    def _by_round(self) -> list[dict[str, float | None]]:
        last = np.flatnonzero(self.trusted.any(axis=1)).max(initial=-1)
        return [self._by_class(counts) for counts in self.trusted[: last + 1]]

    def _product(self, index: int) -> dict[str, object]:
        return {
            "covered": self._share(self.covered[index]),
            "votes": self._share(self.said[index]),
            "trusted_by_class": self._by_class(self.backed[index]),
            "unmapped": dict(sorted(self.unmapped[index].items())),
            "repaired": int(self.repaired[index]),
            "skipped": int(self.skipped[index]),
            "truth": self.hits.as_dict(index, self.classes),
        }

    def _pairs(self) -> list[dict[str, object]]:
        """Each pair of products once, with the pixels at which both vote."""
        number = len(self.products)
        return [
            {
                "products": [self.products[one], self.products[other]],
                "both": int(self.both[one, other]),
                "agree": int(self.agreed[one, other]),
                "conflict": int(self.both[one, other] - self.agreed[one, other]),
            }
            for one in range(number)
            for other in range(one + 1, number)
        ]

    def _truth(self) -> dict[str, object]:
        scores = {"trusted": self.scores(), "all": self.scores(trusted=False)}
        named = {
            name: None if one is None else one.as_dict(self.classes) for name, one in scores.items()
        }
        return {"ratio": self.ratio, **named}


def count_patch(
    plan: Plan, patch: PatchPrompts, labels: Labels, truth: Plane | None = None
) -> Statistics:
    """Count one patch; statistics of patches add up.

    Args:
        plan: of the region.
        patch: what the products say.
        labels: after any number of rounds.
        truth: uint8 (H, W), index of the true class; 255: unknown. None: there is none.

    Raises:
        DataError: the truth has another size, type or classes.
    """
    classes, number = len(plan.target), len(plan.products)
    label = labels.label
    backed = [(labels.provenance >> np.uint32(bit)) & np.uint32(1) for bit in range(number + 1)]
    placed = labels.round[labels.trusted] * np.int64(classes) + label[labels.trusted]
    trusted = np.bincount(placed, minlength=NODATA * classes).reshape(NODATA, classes)
    votes = votes_of(patch)
    both, agreed = count_pairs(votes)
    known = np.full(label.shape, NODATA, np.uint8) if truth is None else truth
    return Statistics(
        products=patch.products,
        classes=plan.target.names,
        patches=1,
        bare_patches=int(not any(patch.present)),
        pixels=patch.pixels,
        contested=int((labels.reached > 1).sum()),
        covered=np.array([mask.sum() for mask in patch.covered], np.int64),
        said=both.diagonal().copy(),
        both=both,
        agreed=agreed,
        trusted=trusted,
        backed=np.stack([np.bincount(label[one > 0], minlength=classes) for one in backed]),
        repaired=np.array(patch.repaired, np.int64),
        skipped=np.array(patch.skipped, np.int64),
        unmapped=patch.unmapped,
        confusion=Confusion.of(known, label, classes),
        hits=ProductHits.of(plan.products, plan.target, patch.covered, votes, known),
    )


def votes_of(patch: PatchPrompts) -> list[dict[int, NDArray[np.bool_]]]:
    """Return the masks (H, W) by index of the class, for each product."""
    votes: list[dict[int, NDArray[np.bool_]]] = [{} for _ in patch.products]
    for prompt in patch.prompts:
        votes[prompt.product][prompt.target] = prompt.mask
    return votes


def count_pairs(votes: Sequence[Mapping[int, NDArray[np.bool_]]]) -> tuple[Counts, Counts]:
    """Count the pixels at which both of two products vote, and at which they agree.

    Args:
        votes: masks (H, W) by index of the class, for each product; see ``votes_of``.

    Returns:
        int64 (P, P) each.
    """
    number = len(votes)
    both, agreed = np.zeros((number, number), np.int64), np.zeros((number, number), np.int64)
    said = [_any(list(masks.values())) for masks in votes]
    for one in range(number):
        for other in range(one, number):
            common = votes[one].keys() & votes[other].keys()
            together = [votes[one][target] & votes[other][target] for target in common]
            both[one, other] = both[other, one] = (said[one] & said[other]).sum()
            agreed[one, other] = agreed[other, one] = _any(together).sum()
    return both, agreed


def _any(masks: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Where some mask is true; a single False without any mask."""
    together: NDArray[np.bool_] = np.zeros((), bool)
    for mask in masks:
        together = together | mask
    return together
