"""What historical products say of a patch: one mask for each class that a product votes for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import ConfigError, DataError

MOST_PRODUCTS = 31
"""Products of a region: each has a bit of 32, and the last bit is the model's."""
_MOST_WEIGHT = 255
"""Tenths that a confidence can hold."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """The pixels of a patch at which one product votes for one class.

    Raises:
        ConfigError: the weight is below one tenth.
        DataError: the mask is not a plane of bool.
    """

    product: int
    """Index of the product: its bit in the provenance."""
    target: int
    """Index of the class in the target legend."""
    weight: int
    """Weight of the vote in tenths, at least 1."""
    mask: NDArray[np.bool_]
    """bool (H, W)."""

    def __post_init__(self) -> None:
        if self.weight < 1:
            raise ConfigError(
                f"The weight of product {self.product} is {self.weight} tenths, expected at least "
                "1: leave a product without weight out of the registry."
            )
        if self.mask.dtype != bool or self.mask.ndim != 2:
            raise DataError(
                f"The mask of product {self.product} is {self.mask.dtype} {self.mask.shape}, "
                "expected bool (H, W)."
            )


@dataclass(frozen=True, eq=False)
class PatchPrompts:
    """All that the products say of a patch.

    Raises:
        ConfigError: there are more products than provenance has bits, or the weights of a class
            sum to more than a confidence can hold.
        DataError: the masks differ in size, or a prompt is of a product that is not there.
    """

    size: tuple[int, int]
    """Rows and columns of the patch."""
    products: tuple[str, ...]
    """Names of all products of the region, present or not; the place is the bit."""
    prompts: tuple[Prompt, ...]
    """Those of the products that are present, at most one for a product and class."""
    covered: tuple[NDArray[np.bool_], ...]
    """bool (H, W) for each product: where it covers the patch, whatever it says there."""
    unmapped: tuple[Counter[int], ...]
    """Pixels by code that the registry does not name, for each product."""
    repaired: tuple[int, ...]
    """Broken geometries that were repaired, for each product."""
    skipped: tuple[int, ...]
    """Geometries that were beyond repair and left out, for each product."""
    imaged: NDArray[np.bool_] | None = None
    """bool (H, W): pixels that the image has; None: all. Nothing is said of the others."""

    def __post_init__(self) -> None:
        if len(self.products) > MOST_PRODUCTS:
            raise ConfigError(
                f"There are {len(self.products)} products, expected at most {MOST_PRODUCTS}: "
                "provenance has no more bits; leave the weakest out."
            )
        for prompt in self.prompts:
            if prompt.mask.shape != self.size:
                raise DataError(
                    f"The mask of product {prompt.product} is {prompt.mask.shape}, expected the "
                    f"patch's {self.size}."
                )
            if not 0 <= prompt.product < len(self.products):
                raise DataError(
                    f"A prompt is of product {prompt.product}, expected one of "
                    f"{len(self.products)} products."
                )
        check_weights(self.prompts)

    @property
    def pixels(self) -> int:
        """Number of pixels that the image has."""
        return self.size[0] * self.size[1] if self.imaged is None else int(self.imaged.sum())

    def within(self, imaged: NDArray[np.bool_]) -> "PatchPrompts":
        """Return what is said of pixels that the image has.

        A label where there is no image teaches nothing, and is no part of a map of the image.

        Args:
            imaged: bool (H, W).
        """
        if imaged.all():
            return self
        prompts = tuple(replace(one, mask=one.mask & imaged) for one in self.prompts)
        return replace(
            self,
            prompts=tuple(one for one in prompts if one.mask.any()),
            covered=tuple(mask & imaged for mask in self.covered),
            imaged=imaged,
        )

    @property
    def present(self) -> tuple[bool, ...]:
        """Which products cover some pixel of the patch."""
        return tuple(bool(mask.any()) for mask in self.covered)

    @classmethod
    def of(
        cls, size: tuple[int, int], products: Sequence[str], prompts: Sequence[Prompt]
    ) -> "PatchPrompts":
        """Take prompts whose products cover the whole patch; a product without any does too."""
        number = len(products)
        return cls(
            size,
            tuple(products),
            tuple(prompts),
            covered=(np.broadcast_to(np.True_, size),) * number,
            unmapped=tuple(Counter() for _ in products),
            repaired=(0,) * number,
            skipped=(0,) * number,
        )


def check_weights(prompts: Sequence[Prompt]) -> None:
    """Refuse prompts of which the weights of some class sum to more than a byte holds.

    Raises:
        ConfigError: they do.
    """
    totals: Counter[int] = Counter()
    for prompt in prompts:
        totals[prompt.target] += prompt.weight
    for target, total in totals.items():
        if total > _MOST_WEIGHT:
            raise ConfigError(
                f"The weights of class {target} sum to {total} tenths, expected at most "
                f"{_MOST_WEIGHT}: lower the weights of its products."
            )
