"""Pixels as prompts see them that were fitted elsewhere: what calibration without truth asks."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from mapsr.errors import PromptError
from mapsr.prompts.fitting import Sample, Unseen
from mapsr.prompts.observations import Observations, SampledPixels
from mapsr.prompts.prompts import ClassPrompts

logger = logging.getLogger(__name__)


def seen_by_others(sample: Sample, fit: Callable[[Observations], ClassPrompts]) -> Unseen | None:
    """Fit on every second chip, look at the others, and the other way round.

    Whole chips are left out because neighbours of a product cell know its class.

    Args:
        sample: features with product classes.
        fit: makes prompts.

    Returns:
        All pixels of the sample; None where they are of one chip, or half of them will not do for
        a fit.
    """
    chips, number = sample.chips.unique(return_inverse=True)
    if len(chips) < 2:
        logger.info("no calibration against the product: it takes two chips or more to fit on")
        return None
    odd = (number % 2 == 1).to(sample.features.device)
    cosines, products = [], []
    for left_out in (odd, ~odd):
        kept = SampledPixels(sample.features[~left_out], sample.labels[~left_out])
        try:
            prompts = fit(kept)
        except PromptError as error:
            logger.info(
                "no calibration against the product: half of the chips will not do: %s", error
            )
            return None
        cosines.append(cosines_of(sample.features[left_out], prompts))
        products.append(sample.labels[left_out])
    return Unseen(torch.cat(cosines), torch.cat(products))


def cosines_of(features: Tensor, prompts: ClassPrompts) -> Tensor:
    """Cosines of features (n, D) to prompts, (n, C); -inf for a class without one."""
    unit = torch.nn.functional.normalize(prompts.vectors.to(features), dim=1)
    cosine = torch.nn.functional.normalize(features, dim=1) @ unit.T
    return cosine.masked_fill(~prompts.present.to(features.device), float("-inf"))
