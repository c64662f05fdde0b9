"""What the classes of a product hold, by the map: sums that add up over scenes, then a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.legends import NODATA

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Composition:
    """Sums of probabilities by product class; sums of scenes add up.

    Probabilities that used the product as a prior lean towards its soft crosswalk: a class that
    the table gives no share is hardly found in them.

    Attributes:
        counts: int64 (K,), pixels of each product class.
        sums: float64 (K, C), of the probabilities of each target class.
        doubted: float64 (K,), of the probabilities that the pixel is not of the product's class;
            NaN where the product's class stands for none.
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    doubted: NDArray[np.float64]

    @classmethod
    def of(cls, probabilities: Floats, products: NDArray[np.uint8], table: Sequence[int]) -> Self:
        """Sum one scene; pixels without a product class or with NaN are ignored.

        Args:
            probabilities: float (C, H, W), or (C, n).
            products: uint8 (H, W), or (n,), product class 0..K-1 or 255.
            table: target class of each of the K product classes, 255: none.

        Raises:
            DataError: the shapes differ.
            DataError: products hold a class that the table has not.
        """
        if probabilities.shape[1:] != products.shape:
            raise DataError(
                f"probabilities are {probabilities.shape} and the product {products.shape}, "
                "expected (C, H, W) and (H, W) on one grid."
            )
        asked = (products != NODATA) & ~np.isnan(probabilities).any(0)
        product, chosen = products[asked], probabilities[:, asked]
        if product.size and product.max() >= len(table):
            raise DataError(
                f"the product holds the class {product.max()}, expected 0..{len(table) - 1} or 255."
            )
        counts = np.bincount(product, minlength=len(table))
        columns = [np.bincount(product, one, len(table)) for one in chosen]
        sums = np.stack(columns, axis=1).astype(np.float64)
        known = np.asarray(table) != NODATA
        own = np.where(known, table, 0)[:, None]
        doubted = counts - np.take_along_axis(sums, own, 1)[:, 0]
        return cls(counts, sums, np.where(known, doubted, np.nan))

    def __add__(self, other: "Composition") -> "Composition":
        if self.sums.shape != other.sums.shape:
            raise DataError(
                f"can't add compositions of {self.sums.shape} and {other.sums.shape} (product, "
                "target) classes; expected scenes of one product and legend."
            )
        return Composition(
            self.counts + other.counts, self.sums + other.sums, self.doubted + other.doubted
        )

    @property
    def shares(self) -> NDArray[np.float64]:
        """(K, C): estimated share of each target class; NaN for a product class without pixels."""
        return _by_count(self.sums, self.counts[:, None])

    @property
    def doubt(self) -> NDArray[np.float64]:
        """(K,): estimated share of each product class's pixels that are not of its class."""
        return _by_count(self.doubted, self.counts)

    def as_rows(self, products: Sequence[str], targets: Sequence[str]) -> list[dict[str, object]]:
        """Return a row for each product class that has pixels, largest first, for CSV or JSON.

        Args:
            products: names of the K product classes.
            targets: names of the C target classes.
        """
        shares, doubt = self.shares, self.doubt
        return [
            {"class": products[k], "pixels": int(self.counts[k])}
            | {name: float(shares[k, c]) for c, name in enumerate(targets)}
            | {"not_its_class": None if np.isnan(doubt[k]) else float(doubt[k])}
            for k in np.argsort(-self.counts, kind="stable")
            if self.counts[k]
        ]


def doubt_of(
    probabilities: Floats, products: NDArray[np.uint8], table: Sequence[int]
) -> NDArray[np.float32]:
    """Probability that a pixel is not of the class that its product class stands for, (H, W).

    Args:
        probabilities: float (C, H, W).
        products: uint8 (H, W), product class or 255.
        table: target class of each product class, 255: none.

    Returns:
        In [0, 1]; NaN where the product stands for no class.
    """
    target = np.full(NODATA + 1, NODATA)
    target[: len(table)] = table
    own = target[products]  # (H, W)
    known = own != NODATA
    sure = np.take_along_axis(probabilities, np.where(known, own, 0)[None], 0)[0]
    return np.where(known, 1 - sure, np.nan).astype(np.float32)


def _by_count(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    mean = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=mean, where=counts > 0)
    return mean
