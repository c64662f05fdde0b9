"""Pixel features in factored form: the tokens and the operator that carries them to pixels."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mapsr.upsample.operator import PixelOperator

# Below this norm a direction means nothing; float32 products of tokens are exact to about 1e-7.
_LEAST_NORM = 1e-6


@dataclass(frozen=True)
class PixelFeatures:
    """F = A T for a batch of images, without F.

    Attributes:
        tokens: (B, h w, D).
        operator: A.
    """

    tokens: Tensor
    operator: PixelOperator

    @staticmethod
    def of(tokens: Tensor, operator: PixelOperator) -> "PixelFeatures":
        """Take tokens as the encoder gives them, (B, D, h, w)."""
        return PixelFeatures(tokens.flatten(2).transpose(1, 2).contiguous(), operator)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) pixels."""
        return self.operator.size

    def select(self, part: int) -> "PixelFeatures":
        """The features of one image of the batch, as a batch of one."""
        one = PixelFeatures(self.tokens[part : part + 1], self.operator.select(part))
        if "norm" in vars(self):  # known already
            vars(one)["norm"] = self.norm[part : part + 1]
        return one

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """W F + b, (B, C, H, W), for weight (C, D) and bias (C,)."""
        return self.operator.linear(self.tokens, weight, bias)

    @cached_property
    def norm(self) -> Tensor:
        """|F| per pixel, (B, H, W)."""
        return self.operator.norm(self.tokens).clamp_min(_LEAST_NORM)

    def cosine(self, directions: Tensor) -> Tensor:
        """Cosine of each pixel's feature to directions (C, D): (B, C, H, W).

        Source: MapSR, equation (8).
        """
        unit = torch.nn.functional.normalize(directions, dim=1)
        return self.linear(unit) / self.norm[:, None]

    def sums(self, labels: Tensor, count: int) -> Tensor:
        """Sum of features over pixel sets, (B, count, D); labels (B, H, W), negative: none."""
        return self.operator.pool(self.tokens, labels, count)

    def unit_sums(self, labels: Tensor, count: int) -> Tensor:
        """Sum of unit-length features over pixel sets, (B, count, D)."""
        return self.operator.pool(self.tokens, labels, count, 1 / self.norm)

    def at(self, pixels: Tensor) -> Tensor:
        """Features at flat pixel positions (n,), the same ones in each image: (B, n, D)."""
        return self.operator.at(self.tokens, pixels)
