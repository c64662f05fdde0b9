"""Upsampling that does not look at the image: nearest and bilinear."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mapsr.settings import choice
from mapsr.upsample.cells import Axis, Cells
from mapsr.upsample.local import LocalOperator
from mapsr.upsample.operator import PixelOperator
from mapsr.upsample.upsampler import Upsampler


@choice("upsampler", "nearest")
@dataclass(frozen=True)
class NearestSettings:
    """Each pixel takes the token above it: the baseline without any upsampling."""

    def build(self, weights_folder: str | None = None) -> "Nearest":
        """Build the upsampler."""
        return Nearest()


@choice("upsampler", "bilinear")
@dataclass(frozen=True)
class BilinearSettings:
    """Each pixel takes the mean of the four nearest tokens, weighted by distance.

    Smooth, and without regard for edges in the image: the baseline for the guided upsamplers.
    """

    def build(self, weights_folder: str | None = None) -> "Bilinear":
        """Build the upsampler."""
        return Bilinear()


class Nearest(Upsampler):
    """Nearest token, as interpolate(mode="nearest-exact")."""

    def operator(self, image: Tensor, tokens: Tensor, size: tuple[int, int]) -> PixelOperator:
        """Make the operator; the image only tells batch and device."""
        grid = (tokens.shape[2], tokens.shape[3])
        above = [
            (2 * torch.arange(n) + 1) * count // (2 * n)
            for n, count in zip(size, grid, strict=True)
        ]
        axes = [Axis.of(a, a + 1, count) for a, count in zip(above, grid, strict=True)]
        return _separable(axes, [axis.allowed.float() for axis in axes], tokens, size)


class Bilinear(Upsampler):
    """Bilinear between token centres, as interpolate(mode="bilinear", align_corners=False)."""

    def operator(self, image: Tensor, tokens: Tensor, size: tuple[int, int]) -> PixelOperator:
        """Make the operator; the image only tells batch and device."""
        axes, weights = [], []
        for n, count in zip(size, tokens.shape[2:], strict=True):
            place = ((torch.arange(n) + 0.5) * count / n - 0.5).clamp(0, count - 1)
            low = place.floor().long().clamp(max=max(count - 2, 0))
            axis = Axis.of(low, (low + 2).clamp(max=count), count)
            distance = (place[axis.pixels][..., None] - axis.tokens[:, None]).abs()
            axes.append(axis)
            weights.append((1 - distance).clamp_min(0))
        return _separable(axes, weights, tokens, size)


def _separable(
    axes: list[Axis], weights: list[Tensor], tokens: Tensor, size: tuple[int, int]
) -> LocalOperator:
    cells = Cells(axes[0], axes[1], size, (tokens.shape[2], tokens.shape[3]))
    product = cells.combine(torch.mul, *weights).to(tokens)
    return LocalOperator(cells.to(tokens.device), product.expand(len(tokens), -1, -1, -1))
