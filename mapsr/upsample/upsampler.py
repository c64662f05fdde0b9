"""What every upsampler promises."""

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from mapsr.errors import ConfigError
from mapsr.upsample.operator import PixelOperator


class Upsampler(nn.Module, ABC):
    """From an image and its tokens to the operator that carries tokens to pixels.

    Attributes:
        weights: name and SHA-256 of the weights, None for an upsampler without weights.
        precision: of the products over the pixels of the image, where the upsampler heeds it.
    """

    weights: dict[str, str] | None = None
    precision: torch.dtype = torch.float32

    @torch.no_grad()
    def forward(
        self, image: Tensor, tokens: Tensor, size: tuple[int, int] | None = None
    ) -> PixelOperator:
        """Make the operator for a batch of images.

        Args:
            image: (B, 3 or more, H, W) float32 in [0, 1].
            tokens: (B, D, h, w) of the same images.
            size: (H', W') pixels wanted; None: the image's.

        Returns:
            The operator from h x w tokens to H' x W' pixels.

        Raises:
            ConfigError: image and tokens are not of one batch.
        """
        if len(image) != len(tokens):
            raise ConfigError(
                f"got a batch of {len(image)} image(s) but tokens of {len(tokens)}, expected both "
                "of the same images: encode and upsample the same batch."
            )
        return self.operator(image, tokens, size or (image.shape[2], image.shape[3]))

    @abstractmethod
    def operator(self, image: Tensor, tokens: Tensor, size: tuple[int, int]) -> PixelOperator:
        """Make the operator; the shapes have been checked."""


class UpsamplerSettings(Protocol):
    """What each choice of the group ``upsampler`` offers.

    Settings with a field ``weights`` need that entry of the weight registry, unless their
    ``checkpoint`` is set. Those with ``coarsens = True`` are of a network over the pixels of the
    image, which may see a smaller one with speed=fast; those with ``halves = True`` heed
    ``Upsampler.precision``.
    """

    def build(self, weights_folder: str | None = None) -> Upsampler:
        """Build the upsampler with its weights.

        Raises:
            WeightsError: the weights are absent, damaged or of another architecture.
        """
        ...
