"""The interface of all encoders."""

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from mapsr.errors import ConfigError
from mapsr.features.reduced import halve, quantise, reduced
from mapsr.processors import products


class Encoder(nn.Module, ABC):
    """A frozen map from images to a grid of feature vectors (tokens).

    Attributes:
        stride: image pixels per token, along rows and columns.
        dim: length D of a token.
        bands: how many leading bands of the image the encoder needs.
        weights: name and SHA-256 of the weights, None for an encoder without weights.
        linear: type of number that its linear layers multiply; see ``reduce``.
        precision: that its other products are of.
        eager: whether torch calls its layers one by one, not compiled into one piece.
        libraries: packages on whose versions the last bit of a token depends.
    """

    stride: int
    dim: int
    bands: int
    weights: dict[str, str] | None = None
    linear: torch.dtype = torch.float32
    precision: torch.dtype = torch.float32
    eager: bool = True
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
        if self.products == "float32":
            return self.encode(image)
        kinds = self.linear, self.precision
        with reduced(self, image.device, *kinds, eager=self.eager):
            return self.encode(image).float()

    def reduce(self, linear: torch.dtype, others: torch.dtype) -> "Encoder":
        """Let products be of smaller numbers, in place, and return the encoder.

        Weights are rounded once; sums of products are exact or float32, and what is added from
        block to block stays float32, as do norms and tokens.

        Args:
            linear: of linear layers: float32, bfloat16, or int8 (on a CPU).
            others: of all other products: float32 or bfloat16.
        """
        if linear == torch.int8:
            quantise(self)
        if others == torch.bfloat16:
            halve(self)
        self.linear, self.precision = linear, others
        return self

    @property
    def products(self) -> str:
        """What its products are of: "float32", "bfloat16", "int8, bfloat16" or "int8, float32"."""
        return products(self.linear, self.precision)

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
