"""What maps hold inside each area of a boundary layer: areas and shares of classes, by city.

Source: EcoVision, J. Remote Sens. 2025, 0811: the composition of 42 cities inside their urban
boundaries (Figure 7) with its mean over cities, and the accuracies by city (Figure 6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.geo import Window
from mapsr.geo.boundaries import Boundaries, pixel_hectares
from mapsr.labelling.boxes import box_of
from mapsr.labelling.product_scores import ProductHits
from mapsr.labelling.products import Product
from mapsr.legends import NODATA, Legend

Counts = NDArray[np.int64]
SCORES = ("producers_accuracy", "users_accuracy", "f1")
"""Names of the accuracies of a class."""
SEVERAL = "several classes"
"""What pixels of several classes at once are called."""
_OF_TRUTH = (*SCORES, "oa")


@dataclass(frozen=True, eq=False)
class CityCounts:
    """Pixels inside each of N cities; counts of windows and rasters add up.

    Attributes:
        names: N names of cities.
        groups: N names of what each belongs to, as its region; "" for nothing.
        size: float64 (N,), pixels inside each boundary, whether a raster reaches there or not.
        hectares: area of a pixel; None where the CRS of the rasters has no true metres.
        pixels: int64 (N,), pixels counted.
        held: int64 (P, N, C + 2), those that each product gives to each class; last but one, to
            several classes at once; last, to none.
        hits: truth against each product, for each city.

    Raises:
        DataError: when added, the two are of other cities or pixels of another size.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    size: NDArray[np.float64]
    hectares: float | None
    pixels: Counts
    held: Counts
    hits: tuple[ProductHits, ...]

    @classmethod
    def zeros(cls, areas: Boundaries, products: int, classes: int) -> "CityCounts":
        """Return the counts of no pixel."""
        number = len(areas.names)
        return cls(
            areas.names,
            areas.groups,
            areas.pixels,
            pixel_hectares(areas.grid),
            np.zeros(number, np.int64),
            np.zeros((products, number, classes + 2), np.int64),
            tuple(ProductHits.zeros(products, classes) for _ in areas.names),
        )

    def __add__(self, other: "CityCounts") -> "CityCounts":
        alike = self.names == other.names and self.hectares == other.hectares
        if not alike or not np.allclose(self.size, other.size, rtol=1e-2):
            raise DataError(
                "Can't add cities on rasters of different pixels, expected rasters of one pixel "
                "size and one kind of reference system: compare those of each kind by themselves."
            )
        return CityCounts(
            self.names,
            self.groups,
            self.size,
            self.hectares,
            self.pixels + other.pixels,
            self.held + other.held,
            tuple(one + more for one, more in zip(self.hits, other.hits, strict=True)),
        )

    def shares(self, product: int) -> NDArray[np.float64]:
        """Return the share (N, C + 1) of each class in the mapped pixels of a city.

        The last one is that of pixels of several classes at once, as built-up land that stands for
        buildings and roads. NaN for a city without any mapped pixel.
        """
        counts = self.held[product, :, :-1]
        total = counts.sum(axis=1, keepdims=True)
        shares = np.full(counts.shape, np.nan)
        np.divide(counts, total, out=shares, where=total > 0)
        return shares

    def mean_shares(self, product: int) -> NDArray[np.float64]:
        """Return the mean (C + 1,) of the shares over the cities that have some; NaN without any.

        Each city weighs the same, whatever its size.
        """
        shares = self.shares(product)
        known = shares[~np.isnan(shares).any(axis=1)]
        return known.mean(axis=0) if len(known) else np.full(shares.shape[1], np.nan)

    def as_dict(self, products: Sequence[Product], names: Sequence[str]) -> dict[str, object]:
        """Return everything for JSON; None where undefined.

        Args:
            products: P of them.
            names: of the C classes.
        """
        return {
            "hectares_per_pixel": self.hectares,
            "boundaries": {
                city: {
                    "group": self.groups[number],
                    "inside": self._inside(number),
                    "pixels": int(self.pixels[number]),
                    "hectares": self._hectares(self.pixels[number]),
                }
                for number, city in enumerate(self.names)
            },
            "products": {one.name: self._product(i, names) for i, one in enumerate(products)},
        }

    def _product(self, index: int, names: Sequence[str]) -> dict[str, object]:
        cities = [self._city(index, number, names) for number in range(len(self.names))]
        means = [_known(mean) for mean in self.mean_shares(index)]
        return {
            "mean_shares": dict(zip((*names, SEVERAL), means, strict=True)),
            "boxes": {name: _boxes(cities, name) for name in (*names, SEVERAL)},
            "by_city": dict(zip(self.names, cities, strict=True)),
        }

    def _city(self, index: int, number: int, names: Sequence[str]) -> dict[str, Any]:
        """Numbers of a city by kind and class."""
        *held, nothing = self.held[index, number].tolist()
        kinds = {
            "pixels": held,
            "hectares": [self._hectares(count) for count in held],
            "shares": [_known(share) for share in self.shares(index)[number]],
        }
        keys = (*names, SEVERAL)
        named: dict[str, object] = {
            kind: dict(zip(keys, some, strict=True)) for kind, some in kinds.items()
        }
        hits = self.hits[number].as_dict(index, names)
        return named | {"undetermined_pixels": nothing} | {key: hits[key] for key in _OF_TRUTH}

    def _inside(self, number: int) -> float | None:
        """Share of a city that was counted; centres of pixels make it a little inexact."""
        size = float(self.size[number])
        return min(1.0, float(self.pixels[number] / size)) if size else None

    def _hectares(self, count: int) -> float | None:
        return None if self.hectares is None else float(count) * self.hectares


def count_cities(
    areas: Boundaries,
    window: Window,
    products: Sequence[Product],
    target: Legend,
    covered: Sequence[NDArray[np.bool_]],
    votes: Sequence[Mapping[int, NDArray[np.bool_]]],
    truth: NDArray[np.uint8],
) -> CityCounts:
    """Count what products say inside each city, in one window.

    Args:
        areas: the cities.
        window: pixels (H, W) of their grid.
        products: P of them.
        target: legend.
        covered: (H, W) for each product: where it covers the window.
        votes: masks (H, W) by index of the class, for each product.
        truth: uint8 (H, W), index of the true class; 255: unknown.
    """
    counts = CityCounts.zeros(areas, len(products), len(target))
    hits = list(counts.hits)
    held = [_held(masks, (window.height, window.width), len(target)) for masks in votes]
    for city, inside, mask in areas.masks(window):
        part = inside.relative_to(window).slices
        counts.pixels[city] += mask.sum()
        for index, plane in enumerate(held):
            found = np.bincount(plane[part][mask], minlength=len(target) + 2)
            counts.held[index, city] += found
        cut = [{place: one[part] & mask for place, one in masks.items()} for masks in votes]
        known = np.where(mask, truth[part], np.uint8(NODATA))
        seen = [one[part] for one in covered]
        hits[city] = ProductHits.of(products, target, seen, cut, known)
    return replace(counts, hits=tuple(hits))


def _held(
    masks: Mapping[int, NDArray[np.bool_]], size: tuple[int, int], classes: int
) -> NDArray[np.uint16]:
    """The class of each pixel (H, W); ``classes`` for several, one more for none."""
    plane = np.full(size, classes + 1, np.uint16)
    for place, mask in masks.items():
        plane[mask] = np.where(plane[mask] == classes + 1, place, classes)
    return plane


def _boxes(
    cities: Sequence[Mapping[str, Any]], name: str
) -> dict[str, dict[str, float | None] | None]:
    """Box statistics over cities of the share of a class and of its accuracies."""
    found = {}
    for key in ("shares", *SCORES):
        box = box_of([one[key].get(name) for one in cities])
        found[key] = None if box is None else box.as_dict()
    return found


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
