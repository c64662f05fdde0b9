"""A legend: the classes of a product, in order."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import LegendError, near_match

NODATA = 255
"""Class index of pixels without a class, in memory and in files."""

MASKED = -1
"""Code of pixels that a raster masks or does not cover."""

_CODES = 1 << 16
"""Codes lie below this: 16 bits hold the codes of every published product."""


@dataclass(frozen=True)
class LandClass:
    """One class of a product.

    Raises:
        LegendError: the code is outside 0..65535, or a part of the colour outside 0..255.
    """

    code: int
    """What the product's rasters hold, 0..65535."""
    name: str
    """Unique in the legend."""
    color: tuple[int, int, int]
    """Red, green and blue, 0..255 each."""
    target: str | None = None
    """Class of the target legend it stands for; None leaves it out, as nodata."""

    def __post_init__(self) -> None:
        if not 0 <= self.code < _CODES:
            raise LegendError(
                f"Class '{self.name}' has code {self.code}, expected 0..{_CODES - 1}."
            )
        if not all(0 <= value <= 255 for value in self.color):
            raise LegendError(
                f"Class '{self.name}' has color {list(self.color)}, "
                "expected red, green and blue in 0..255."
            )


@dataclass(frozen=True)
class Legend:
    """The classes of a product; a class's index is its place in ``classes``.

    Raises:
        LegendError: there are no classes or more than 255, a code or name occurs twice, or a nodata
            code is also a class.
    """

    name: str
    """Short name."""
    title: str
    """Name for people."""
    source: str
    """Where codes, names and colours come from."""
    classes: tuple[LandClass, ...]
    """1 to 255 classes."""
    nodata: frozenset[int] = frozenset()
    """Codes that mean "no class here"."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= NODATA:
            raise LegendError(
                f"Legend '{self.name}' has {len(self.classes)} classes, expected 1 to {NODATA}."
            )
        for what, values in (("code", self.codes), ("name", self.names)):
            value, times = Counter(values).most_common(1)[0]
            if times > 1:
                raise LegendError(
                    f"Legend '{self.name}' has the {what} {value!r} {times} times, "
                    "expected it once; remove or rename the others."
                )
        if shared := sorted(self.nodata.intersection(self.codes)):
            raise LegendError(
                f"Legend '{self.name}' has the code {shared[0]} both as nodata and as a class, "
                "expected one of the two."
            )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, by index."""
        return tuple(land_class.name for land_class in self.classes)

    @property
    def colors(self) -> tuple[tuple[int, int, int], ...]:
        """Colours of the classes, by index."""
        return tuple(land_class.color for land_class in self.classes)

    @property
    def codes(self) -> tuple[int, ...]:
        """Codes of the classes, by index."""
        return tuple(land_class.code for land_class in self.classes)

    def index(self, name: str) -> int:
        """Return the index of the class called ``name``.

        Raises:
            LegendError: no class is called so.
        """
        if name not in self.names:
            raise LegendError(
                f"Legend '{self.name}' has no class '{name}', expected one of "
                f"{', '.join(self.names)}.{near_match(name, self.names)}"
            )
        return self.names.index(name)

    def encode(self, codes: NDArray[np.integer]) -> tuple[NDArray[np.uint8], Counter[int]]:
        """Turn the codes of a raster into class indices.

        Args:
            codes: integers of any shape; -1 stands for masked pixels.

        Returns:
            uint8 class indices of the same shape, 255 for nodata, masked and unknown codes; and
            how many pixels each unknown code has.
        """
        inside = (codes >= 0) & (codes < _CODES)
        indices = np.where(inside, self._lookup[np.where(inside, codes, 0)], np.uint8(NODATA))
        rest, counts = np.unique(codes[indices == NODATA], return_counts=True)
        unknown = Counter(dict(zip(rest.tolist(), counts.tolist(), strict=True)))
        for code in (MASKED, *self.nodata):
            unknown.pop(code, None)
        return indices, unknown

    @cached_property
    def _lookup(self) -> NDArray[np.uint8]:
        """Class index by code, uint8 (65536,)."""
        table = np.full(_CODES, NODATA, dtype=np.uint8)
        table[list(self.codes)] = np.arange(len(self.classes), dtype=np.uint8)
        return table
