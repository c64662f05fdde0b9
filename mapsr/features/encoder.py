"""The interface of all encoders."""

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from mapsr.errors import ConfigError


class Encoder(nn.Module, ABC):
    """A frozen map from images to a grid of feature vectors (tokens).

    Attributes:
        stride: image pixels per token, along rows and columns.
        dim: length D of a token.
        bands: how many leading bands of the image the encoder needs.
        weights: name and SHA-256 of the weights, None for an encoder without weights.
        precision: of its products; see ``mapsr.features.half``.
        libraries: packages on whose versions the last bit of a token depends.
    """

    stride: int
    dim: int
    bands: int
    weights: dict[str, str] | None = None
    precision: torch.dtype = torch.float32
    libraries: tuple[str, ...] = ("torch", "timm")

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Encode images.

        Args:
            image: (B, bands or more, H, W) float32 in [0, 1], H and W multiples of ``stride``.

        Returns:
            Tokens, (B, D, H / stride, W / stride) float32.

        Raises:
            ConfigError: the image has too few bands.
            ConfigError: its sides are not multiples of the stride.
        """
        bands, height, width = image.shape[1:]
        if bands < self.bands:
            raise ConfigError(
                f"The image has {bands} band(s), but {type(self).__name__} reads {self.bands}: "
                "choose another backbone or an image with more bands."
            )
        if height % self.stride or width % self.stride:
            raise ConfigError(
                f"Image sides {height} x {width} px are not multiples of the encoder's stride of "
                f"{self.stride} px: pad the image first."
            )
        if self.precision == torch.float32:
            return self.encode(image)
        with torch.autocast(image.device.type, self.precision):
            return self.encode(image).float()

    @abstractmethod
    def encode(self, image: Tensor) -> Tensor:
        """Encode images whose shape is checked; see ``forward``."""


class EncoderSettings(Protocol):
    """What each choice of the group ``backbone`` offers.

    Settings with a field ``weights`` need that entry of the weight registry, unless their
    ``checkpoint`` is set. Those with ``halves = True`` are of a network that may compute in
    bfloat16 with speed=fast.
    """

    def build(self, weights_folder: str | None = None) -> Encoder:
        """Build the encoder with its weights.

        Raises:
            ConfigError: settings that don't fit.
            WeightsError: the weights are absent, damaged or of another architecture.
        """
        ...
