"""Class prompts by expectation-maximisation: what each class looks like, from shares alone.

A soft crosswalk says how much of each class a product class holds. One Gaussian a class with one
covariance for all explains the features of the pixels: nothing is trained by gradients, and no
pixel has to be trusted.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from mapsr.errors import PromptError, require_choice, require_range
from mapsr.progress import Progress, Quiet, slowly
from mapsr.prompts.fitting import Batch, Material, PromptFit, Unseen
from mapsr.prompts.observations import (
    Expected,
    FactoredPixels,
    Moments,
    Observations,
    SampledPixels,
)
from mapsr.prompts.prompts import ClassPrompts, check_prompts
from mapsr.prompts.unseen import seen_by_others
from mapsr.settings import choice

logger = logging.getLogger(__name__)


@choice("prompts", "em")
@dataclass(frozen=True)
class EmPromptSettings:
    """Prompts from the shares of each class in the product's classes; no probe is trained."""

    through: str = "pixels"
    """Work on a sample of pixel features ("pixels") or on all, through the "operator"."""
    pixels: int = 40000
    """Pixels sampled in all, evenly from the chips, with through=pixels; more change little."""
    chips: int | None = 512
    """Most chips to fit on, drawn evenly from all; null: all."""
    steps: int = 25
    """Steps of EM; fewer stop before the classes have parted, more change little."""
    temperature: float = 3.3
    """T: how many pixels tell as much as one would if neighbours were independent. Higher trusts
    the product more, 1 lets the image drown it."""
    shrinkage: float = 0.05
    """Weight in [0, 1) of a sphere in the covariance; raise it for few pixels or many channels."""
    floor: float = 1e-4
    """Least share of any class in any product class: a table is never that sure."""
    least: float = 1e-3
    """A class that ends with less than this share of the pixels gets no prompt."""

    learns_from: ClassVar[str] = "coarse"
    scenes: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        require_choice(self.through, ("pixels", "operator"), "prompts.through")
        for name in ("pixels", "steps"):
            require_range(getattr(self, name), f"prompts.{name}", low=1)
        if self.chips is not None:
            require_range(self.chips, "prompts.chips", low=1)
        require_range(self.temperature, "prompts.temperature", low=1)
        require_range(self.shrinkage, "prompts.shrinkage", high=0.999)
        require_range(self.floor, "prompts.floor", open_low=True, high=0.1)
        require_range(self.least, "prompts.least", high=0.5)

    @property
    def sampled(self) -> int:
        """Pixels whose features are held at once."""
        return self.pixels if self.through == "pixels" else 0

    def fit(self, material: Material) -> PromptFit:
        """Fit prompts by EM on the shares of the soft crosswalk; see `fit_em`."""
        soft = material.soft
        shares = torch.from_numpy(soft.shares)
        unseen: Unseen | None = None
        if self.through == "pixels":
            sample = material.sample(self.pixels, "shares")
            with material.watch("prompts"), torch.no_grad():
                shown = material.progress
                found = fit_em(SampledPixels(*sample[:2]), shares, material.names, self, shown)
                unseen = seen_by_others(
                    sample, lambda pixels: _em(pixels, shares, material.names, self, shown).prompts
                )
        else:
            with material.watch("prompts"), torch.no_grad():
                found = fit_em(FactoredPixels(_Passes(material)), shares, material.names, self)
        by_name = dict(zip(material.names, found.weights, strict=True))
        facts = soft.facts | {"class_weights": by_name, "em_objective": list(found.objective)}
        return PromptFit(found.prompts, unseen=unseen, facts=facts)


class _Passes:
    """The batches of material, read in each pass."""

    def __init__(self, material: Material) -> None:
        self._material = material

    def __iter__(self) -> Iterator[Batch]:
        yield from self._material.batches("shares", "prompts")


@dataclass(frozen=True)
class EmFit:
    """What EM found.

    Attributes:
        prompts: mean feature of each class; classes below ``settings.least`` have none.
        weights: (C,) share of the pixels that each class ended with.
        objective: of each step, per pixel; it never falls (see `fit_em`).
    """

    prompts: ClassPrompts
    weights: tuple[float, ...]
    objective: tuple[float, ...]


class _Gaussians(NamedTuple):
    """Scores of the classes, weight (f - mean) + bias, and what no class changes in J."""

    weight: Tensor
    bias: Tensor
    constant: float


def fit_em(
    pixels: Observations,
    shares: Tensor,
    names: Sequence[str],
    settings: EmPromptSettings,
    progress: Progress | None = None,
) -> EmFit:
    """Fit class prompts by EM with one Gaussian a class and one covariance S.

    Each step takes the means and the covariance that the shares R of the pixels give, and then the
    shares that these give. With T > 1 the likelihood of a pixel counts as 1 / T. The steps climb

        J = 1/n sum_i log sum_c p(c | k_i) N(f_i; m_c, S)^(1/T)
            - 1/(2T) l/(1-l) (log |S| + s tr S^-1),        s = tr(S_T) / D,

    the tempered log-likelihood and the inverse Wishart prior whose mode is the shrinkage
    S = (1-l) S_W + l s I; constants that no step changes are left out.

    Args:
        pixels: features with product classes.
        shares: (K, C), p(c | k), rows summing to one; a row of zeros is a class that is left out,
            none of whose pixels may be among ``pixels``.
        names: of the C classes.
        settings: see there.
        progress: shows the steps where they take long; None: what reads the pixels does.

    Returns:
        Prompts, the weights of the classes and the objective by step.

    Raises:
        PromptError: no pixel has a product class.
        PromptError: fewer than two classes keep a weight.
        PromptError: the features are not finite.
    """
    found = _em(pixels, shares, names, settings, progress or Quiet())
    shown = ", ".join(f"{n} {part:.2%}" for n, part in zip(names, found.weights, strict=True))
    logger.info("shares of the classes after EM: %s", shown)
    check_prompts(found.prompts, names, "EM")
    return found


def _em(
    pixels: Observations,
    shares: Tensor,
    names: Sequence[str],
    settings: EmPromptSettings,
    progress: Progress,
) -> EmFit:
    """Fit, and say nothing; see `fit_em`."""
    moments = pixels.moments()
    if moments.count == 0:
        raise PromptError(
            "No pixel of the scenes to fit on has a class of the coarse product that the soft "
            "crosswalk names: check the coarse product, legend.coarse and legend.soft."
        )
    if not torch.isfinite(moments.scatter).all():
        raise PromptError(
            "The features to fit on hold values that are not finite: check the image's values and "
            "the backbone's weights."
        )
    logs = log_shares(shares.to(moments.mean), settings.floor)
    zero = torch.zeros(shares.shape[1], len(moments.mean)).to(moments.mean)
    found = pixels.expect(zero, zero[:, 0], logs)
    climbed = []
    for _ in slowly(progress, range(settings.steps), "EM", settings.steps):
        gaussians = _maximised(found, moments, settings)
        found = pixels.expect(gaussians.weight, gaussians.bias, logs)
        climbed.append(found.evidence / moments.count + gaussians.constant)
    return _fitted(found, moments, names, tuple(climbed), settings)


def log_shares(shares: Tensor, floor: float) -> Tensor:
    """Log p(c | k) with no share below ``floor``, (K, C); rows of zeros become even shares."""
    raised = shares.clamp_min(floor)
    return (raised / raised.sum(1, keepdim=True)).log()


def _maximised(found: Expected, moments: Moments, settings: EmPromptSettings) -> _Gaussians:
    """The M step: means and covariance, as linear scores of the tempered likelihood."""
    part = found.weights / moments.count  # (C,)
    means = found.sums / found.weights.clamp_min(1e-300)[:, None]
    dim = len(moments.mean)
    within = moments.scatter - (means * part[:, None]).T @ means
    sphere = torch.eye(dim).to(within) * (moments.scatter.trace() / dim)
    mixed = torch.lerp(within, sphere, settings.shrinkage)
    # a feature without any spread, or none beyond rounding, must not make the matrix singular
    mixed = mixed + torch.eye(dim).to(within) * (1e-9 * mixed.trace() / dim + 1e-300)
    factor = torch.linalg.cholesky(mixed)
    weight = torch.cholesky_solve(means.T, factor).T
    inverse = torch.cholesky_inverse(factor)
    log_det = 2 * factor.diagonal().log().sum()
    ratio = settings.shrinkage / (1 - settings.shrinkage)
    spread = (inverse * moments.scatter).sum() + log_det
    prior = ratio * (log_det + (inverse * sphere).sum())
    bias = -0.5 * (weight * means).sum(1)
    heat = settings.temperature
    return _Gaussians(weight / heat, bias / heat, -0.5 * float(spread + prior) / heat)


def _fitted(
    found: Expected,
    moments: Moments,
    names: Sequence[str],
    climbed: tuple[float, ...],
    settings: EmPromptSettings,
) -> EmFit:
    part = found.weights / moments.count
    kept = part >= settings.least
    shown = ", ".join(f"{name} {float(p):.2%}" for name, p in zip(names, part, strict=True))
    if int(kept.sum()) < 2:
        raise PromptError(
            f"EM gave all pixels to one class ({shown}), expected two or more with at least "
            f"{settings.least:g} of them: the product shows one class alone here, or the image "
            f"drowns it; fit on more scenes, or raise prompts.temperature, now "
            f"{settings.temperature:g}."
        )
    vectors = moments.mean + found.sums / found.weights.clamp_min(1e-300)[:, None]
    counts = torch.where(kept, found.weights.round().long().clamp_min(1), 0).cpu()
    vectors = torch.where(kept[:, None], vectors, 0).float().cpu()
    return EmFit(ClassPrompts(vectors, counts), tuple(float(p) for p in part), climbed)
