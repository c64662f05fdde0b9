"""The product as a prior: what it says of a pixel counts beside what the pixel looks like."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from mapsr.errors import require_range
from mapsr.legends import NODATA
from mapsr.prompts.em import log_shares
from mapsr.prompts.prompts import ClassPrompts
from mapsr.settings import choice

# Below this standard deviation, in pixels, a pixel's own weight is all but one.
_LEAST_BLUR = 0.2


class PriorSettings(Protocol):
    """What each choice of the group ``prior`` offers.

    Attributes:
        gives_probabilities: whether scores are probabilities.
    """

    gives_probabilities: ClassVar[bool]

    @property
    def strength(self) -> float:
        """How much the product at the place of a map counts; 0: it is not read."""
        ...

    def learned(self, shares: Tensor, area: Tensor) -> "ProductPrior | None":
        """Make what turns cosines into scores; None: they are the scores.

        Args:
            shares: (K, C), rows of p(c | k).
            area: (C,), shares of the classes where the method was fitted.
        """
        ...


@choice("prior", "none")
@dataclass(frozen=True)
class NoPriorSettings:
    """The paper's inference: the most similar prompt, whatever the product says."""

    strength: ClassVar[float] = 0.0
    gives_probabilities: ClassVar[bool] = False

    def learned(self, shares: Tensor, area: Tensor) -> None:
        """Learn nothing."""


@choice("prior", "product")
@dataclass(frozen=True)
class ProductPriorSettings:
    """Probabilities of the classes, with the product where a map is made as their prior."""

    strength: float = 1.0
    """beta: 0 leaves the product out, 1 takes its shares as they are; also given as product_prior=.
    Lower it where the product is far older than the image."""
    blur: float = 0.5
    """Standard deviation of the product's place, in its cells: misregistration. Half a cell suits
    products that are warped to their grid once; 0 trusts each cell's edge."""
    sharpness: float = 20.0
    """kappa: what cosines are multiplied by to become log-likelihoods; higher trusts the image."""
    floor: float = 1e-4
    """Least share of any class in any product class: a table is never that sure."""

    gives_probabilities: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_range(self.strength, "prior.strength")
        require_range(self.blur, "prior.blur", high=4)
        require_range(self.sharpness, "prior.sharpness", open_low=True)
        require_range(self.floor, "prior.floor", open_low=True, high=0.1)

    def learned(self, shares: Tensor, area: Tensor) -> "ProductPrior":
        """Take what a fit knows of the product."""
        return ProductPrior(self, shares, area)


@dataclass(frozen=True)
class ProductPrior:
    """What a fit knows of the product: turns cosines into probabilities.

    Attributes:
        settings: how much the product counts.
        shares: (K, C) float64, rows of p(c | k); rows of zeros are left out.
        area: (C,) float64, shares of the classes where there is no product.
    """

    settings: ProductPriorSettings
    shares: Tensor
    area: Tensor

    def posterior(
        self,
        cosine: Tensor,
        prompts: ClassPrompts,
        products: Tensor | None,
        cell: tuple[float, float] | None,
    ) -> Tensor:
        """Probability of each class, (B, C, H, W).

        Args:
            cosine: (B, P, H, W) to the prompts that exist.
            prompts: of C classes.
            products: (B, H, W) uint8 product classes, 255 for none; None: there is no product.
            cell: rows and columns of the image that a cell of the product spans.
        """
        settings = self.settings
        device = cosine.device
        if products is None or cell is None or not settings.strength:
            none = cosine.new_zeros(1, len(prompts.counts), 1, 1)
            return posterior(cosine, prompts, none, settings.sharpness, 0.0)
        prior = log_prior(
            products.long().to(device),
            self.shares.to(device),
            cell,
            self.area.to(device),
            blur=settings.blur,
            floor=settings.floor,
        )
        return posterior(cosine, prompts, prior, settings.sharpness, settings.strength)


def class_shares(counts: Tensor, shares: Tensor) -> Tensor:
    """Shares of the target classes in an area: p(c | k) over its product pixels, (C,).

    Args:
        counts: (K,) pixels of each product class in the area.
        shares: (K, C), rows of p(c | k); rows of zeros are left out.

    Returns:
        (C,) that sums to one; even where no pixel has a class.
    """
    total = counts.to(shares) @ shares
    even = torch.full_like(total, 1 / len(total))
    return total / total.sum() if total.sum() > 0 else even


def log_prior(
    products: Tensor,
    shares: Tensor,
    cell: tuple[float, float],
    area: Tensor,
    *,
    blur: float = 0.5,
    floor: float = 1e-4,
) -> Tensor:
    """Log p(c | k_u) of each pixel, blurred as the product's place is uncertain.

    The shares, not their logarithms, are blurred: the result is what the product says of a pixel
    when its cells may lie a little elsewhere. Cost: C H W (H + W), no array beyond C channels.

    Args:
        products: (..., H, W) int64 product class; 255 where the product has none.
        shares: (K, C), rows of p(c | k); rows of zeros are left out, as 255 is.
        cell: rows and columns of the image that a cell of the product spans.
        area: (C,) shares of the classes, for pixels without a product class.
        blur: standard deviation in cells.
        floor: least share of a class.

    Returns:
        (..., C, H, W) float32, on the device of ``products``.
    """
    shares, area = shares.to(products.device), area.to(products.device, shares.dtype)
    known = shares.sum(1, keepdim=True) > 0
    rows = torch.cat([torch.where(known, shares, area), area[None]])  # (K + 1, C)
    index = torch.where(products == NODATA, len(shares), products)
    plane = log_shares(rows, floor).exp().float()[index].movedim(-1, -3)  # (..., C, H, W)
    down, across = (
        _gaussian(side, blur * span, products.device)
        for side, span in zip(products.shape[-2:], cell, strict=True)
    )
    return (down @ plane @ across.T).log()


def posterior(
    cosine: Tensor, prompts: ClassPrompts, prior: Tensor, sharpness: float, strength: float
) -> Tensor:
    """Probability of each class, (B, C, H, W): softmax of kappa cos + beta log p(c | k).

    Args:
        cosine: (B, P, H, W) to the prompts that exist; see `ClassPrompts.cosine`.
        prompts: of C classes, P of them present; the others have probability zero.
        prior: (B, C, H, W), log p(c | k) of `log_prior`.
        sharpness: kappa.
        strength: beta; 0 leaves the product out.

    Raises:
        ConfigError: ``strength`` is below 0.
    """
    require_range(strength, "prior.strength")
    scores = sharpness * cosine
    if strength > 0:
        scores = scores + strength * prior[:, prompts.present.to(prior.device)]
    shares = scores.softmax(1)
    every = shares.new_zeros(len(shares), len(prompts.counts), *shares.shape[2:])
    every[:, prompts.present.to(shares.device)] = shares
    return every


def renormalised(refined: Tensor) -> Tensor:
    """Make probabilities again of what a graph smoothed, (B, C, H, W): its sums miss one a little.

    Propagation over a symmetrically normalised graph keeps signs but not sums. The most probable
    class of a pixel stays what it was.
    """
    positive = refined.clamp_min(0)
    return positive / positive.sum(1, keepdim=True).clamp_min(1e-12)


def _gaussian(side: int, deviation: float, device: torch.device) -> Tensor:
    """Rows of Gaussian weights that sum to one within the side, (side, side) float32."""
    if deviation < _LEAST_BLUR:
        return torch.eye(side, device=device)
    place = torch.arange(side, dtype=torch.float32, device=device)
    return (-0.5 * ((place[:, None] - place) / deviation).square()).softmax(1)
