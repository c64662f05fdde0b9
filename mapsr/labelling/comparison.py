"""Products and maps held against a truth, each by the classes that it has; and inside cities."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.geo import Grid, Window
from mapsr.geo.boundaries import Boundaries
from mapsr.labelling.cities import CityCounts, count_cities
from mapsr.labelling.patches import OpenProduct, read_patch
from mapsr.labelling.product_scores import ProductHits
from mapsr.labelling.products import Product
from mapsr.labelling.statistics import count_pairs, votes_of
from mapsr.legends import NODATA, Legend


@dataclass(frozen=True, eq=False)
class Comparison:
    """Products against a truth, and against each other; those of windows add up.

    Attributes:
        products: P of them.
        target: legend that all are carried to.
        pixels: pixels looked at.
        truth: int64 (C,), pixels of each class by the truth.
        strange: pixels by code of the truth without mapping.
        unmapped: the same of each product.
        covered: int64 (P,), pixels that each product covers.
        hits: truth against each product.
        both: int64 (P, P), pixels at which both of two products say something.
        agreed: int64 (P, P), those at which they name a common class.
        cities: what lies inside the cities; None: there are none.
    """

    products: tuple[Product, ...]
    target: Legend
    pixels: int
    truth: NDArray[np.int64]
    strange: Counter[int]
    unmapped: tuple[Counter[int], ...]
    covered: NDArray[np.int64]
    hits: ProductHits
    both: NDArray[np.int64]
    agreed: NDArray[np.int64]
    cities: CityCounts | None

    def __add__(self, other: "Comparison") -> "Comparison":
        cities = self.cities
        if cities is not None and other.cities is not None:
            cities = cities + other.cities
        pairs = zip(self.unmapped, other.unmapped, strict=True)
        return replace(
            self,
            pixels=self.pixels + other.pixels,
            truth=self.truth + other.truth,
            strange=self.strange + other.strange,
            unmapped=tuple(one + more for one, more in pairs),
            covered=self.covered + other.covered,
            hits=self.hits + other.hits,
            both=self.both + other.both,
            agreed=self.agreed + other.agreed,
            cities=cities,
        )

    def as_dict(self) -> dict[str, object]:
        """Return everything for JSON; None where undefined."""
        known = int(self.truth.sum())
        shares = self.truth / known if known else [None] * len(self.target)
        names = self.target.names
        found: dict[str, object] = {
            "target": self.target.name,
            "classes": list(names),
            "colors": {one.name: list(one.color) for one in self.target.classes},
            "pixels": self.pixels,
            "truth": {
                "pixels": known,
                "shares": dict(zip(names, map(_plain, shares), strict=True)),
                "unmapped": _codes(self.strange),
            },
            "products": {one.name: self._product(i, one) for i, one in enumerate(self.products)},
            "pairs": self._pairs(),
        }
        if self.cities is not None:
            found["cities"] = self.cities.as_dict(self.products, names)
        return found

    def _product(self, index: int, product: Product) -> dict[str, object]:
        names = self.target.names
        groups = sorted((self._places(group) for group in product.merged()), key=min)
        has = {place for group in groups for place in group}
        return {
            "title": product.title,
            "files": [str(path) for path in product.source.paths],
            "lacks": [name for place, name in enumerate(names) if place not in has],
            "covered": float(self.covered[index] / self.pixels) if self.pixels else None,
            "unmapped": _codes(self.unmapped[index]),
            **self.hits.as_dict(index, names),
            "groups": [
                {"classes": [names[place] for place in group], **self.hits.scores(index, group)}
                for group in groups
            ],
        }

    def _places(self, names: Sequence[str]) -> list[int]:
        return sorted(self.target.index(name) for name in names)

    def _pairs(self) -> list[dict[str, object]]:
        number = len(self.products)
        return [
            {
                "products": [self.products[one].name, self.products[other].name],
                "both": int(self.both[one, other]),
                "agree": int(self.agreed[one, other]),
                "conflict": int(self.both[one, other] - self.agreed[one, other]),
            }
            for one in range(number)
            for other in range(one + 1, number)
        ]


def compare(
    products: Sequence[OpenProduct],
    target: Legend,
    grid: Grid,
    window: Window,
    truth: OpenProduct | None,
    areas: Boundaries | None,
) -> Comparison:
    """Hold products against the truth in one window; comparisons add up.

    Args:
        products: opened.
        target: legend that all are carried to.
        grid: whose pixels are counted.
        window: of the grid.
        truth: its values stand for one class each; None: there is none.
        areas: cities on the grid; None: there are none.

    Raises:
        RasterError: a file can't be read.
        ConfigError: a tag without a buffer meets lines or points.
    """
    own = tuple(opened.product for opened in products)
    patch = read_patch(products, [1] * len(products), target, grid, window)
    votes = votes_of(patch)
    both, agreed = count_pairs(votes)
    labels, strange = _truth(truth, target, grid, window)
    cities = None
    if areas is not None:
        cities = count_cities(areas, window, own, target, patch.covered, votes, labels)
    return Comparison(
        products=own,
        target=target,
        pixels=window.area,
        truth=np.bincount(labels[labels != NODATA], minlength=len(target)),
        strange=strange,
        unmapped=patch.unmapped,
        covered=np.array([mask.sum() for mask in patch.covered], np.int64),
        hits=ProductHits.of(own, target, patch.covered, votes, labels),
        both=both,
        agreed=agreed,
        cities=cities,
    )


def require_truth(comparison: Comparison) -> None:
    """Refuse a comparison with a truth that says nothing.

    Raises:
        DataError: no pixel has a true class.
    """
    if not comparison.truth.any():
        found = ", ".join(map(str, sorted(comparison.strange))) or "none"
        raise DataError(
            f"The truth names no class of legend '{comparison.target.name}' anywhere (codes "
            f"without mapping: {found}), expected some: check its legend."
        )


def _truth(
    truth: OpenProduct | None, target: Legend, grid: Grid, window: Window
) -> tuple[NDArray[np.uint8], Counter[int]]:
    """Index of the true class uint8 (H, W), 255 unknown; and pixels by code without mapping."""
    labels = np.full((window.height, window.width), NODATA, np.uint8)
    if truth is None:
        return labels, Counter()
    patch = read_patch([truth], [1], target, grid, window)
    for prompt in patch.prompts:
        labels[prompt.mask] = prompt.target
    return labels, patch.unmapped[0]


def _codes(counts: Counter[int]) -> dict[str, int]:
    return {str(code): pixels for code, pixels in sorted(counts.items())}


def _plain(value: float | None) -> float | None:
    return None if value is None else float(value)
