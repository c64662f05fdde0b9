"""Class prompts: the mean feature of the pixels that a class can be trusted on."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mapsr.errors import PromptError
from mapsr.legends import NODATA
from mapsr.upsample import PixelFeatures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassPrompts:
    """One feature vector per class; a class without pixels has none and can't win a pixel.

    Attributes:
        vectors: (C, D) float32 mean of un-normalised features; zeros where there is none.
        counts: (C,) int64 pixels behind each.
    """

    vectors: Tensor
    counts: Tensor

    @property
    def present(self) -> Tensor:
        """(C,) bool: which classes have a prompt."""
        return self.counts > 0

    def cosine(self, features: PixelFeatures) -> Tensor:
        """Cosine of each pixel to the prompts that exist, (B, classes present, H, W).

        Source: MapSR, equation (8).
        """
        return features.cosine(self.vectors[self.present].to(features.tokens))

    def expand(self, scores: Tensor) -> Tensor:
        """Give scores of the classes present (B, P, ...) a place for all, (B, C, ...): -inf."""
        shape = (len(scores), len(self.counts), *scores.shape[2:])
        every = scores.new_full(shape, float("-inf"))
        every[:, self.present.to(scores.device)] = scores
        return every


class PromptState:
    """Sums of features per class.

    Attributes:
        sums: (C, D) float64.
        counts: (C,) int64 pixels behind each.

    Source: MapSR, equations (6) and (7).
    """

    def __init__(self, classes: int, dim: int, device: torch.device | str = "cpu") -> None:
        self.sums = torch.zeros(classes, dim, dtype=torch.float64, device=device)
        self.counts = torch.zeros(classes, dtype=torch.int64, device=device)

    def update(self, features: PixelFeatures, labels: Tensor) -> None:
        """Add the pixels of a batch; labels (B, H, W) int64 class or 255."""
        classes = len(self.counts)
        inside = labels != NODATA
        self.counts += torch.bincount(labels[inside], minlength=classes)
        sums = features.sums(torch.where(inside, labels, -1), classes)  # (B, C, D)
        self.sums += sums.sum(0, dtype=torch.float64)

    def compute(self) -> tuple[Tensor, Tensor]:
        """The mean of each class's features, (C, D) float32, and its pixels, (C,) int64."""
        means = self.sums / self.counts.clamp_min(1)[:, None]
        return means.float().cpu(), self.counts.cpu()


def agreement(scores: Tensor, labels: Tensor) -> Tensor:
    """Keep labels where the probe's best class is the label's: (B, H, W), 255 elsewhere.

    Args:
        scores: (B, C, H, W) of the probe.
        labels: (B, H, W) int64 target class of the coarse product, 255: none.

    Source: MapSR, equation (6).
    """
    return torch.where(scores.argmax(1) == labels, labels, NODATA)


def check_prompts(prompts: ClassPrompts, names: Sequence[str], source: str) -> None:
    """Report the classes without a prompt.

    Raises:
        PromptError: fewer than two classes have one, so that there is nothing to tell apart.
    """
    absent = [name for name, here in zip(names, prompts.present, strict=True) if not here]
    if len(names) - len(absent) < 2:
        raise PromptError(
            f"Only {len(names) - len(absent)} of {len(names)} classes has pixels for a prompt "
            f"({source}); there is nothing to tell apart. Fit on scenes with more classes, or "
            "choose another crosswalk."
        )
    if absent:
        logger.warning(
            "no pixels for a prompt of %s (%s): the map will not show it",
            ", ".join(absent),
            source,
        )
