"""A weight-free encoder: colour, index and texture statistics of small cells.

It exists so that everything runs and is tested everywhere; no published number comes from it.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mapsr.errors import require_range
from mapsr.features.encoder import Encoder
from mapsr.settings import choice

# Typical level and spread of each map on aerial imagery in [0, 1]: constants, so that a cell's
# features depend on nothing but its surroundings, never on where a chip was cut.
_LEVELS = {
    "brightness": (0.42, 0.13),
    "vegetation": (0.06, 0.17),
    "wetness": (-0.03, 0.16),
    "green_red": (0.06, 0.085),
    "blue_red": (-0.05, 0.105),
    "edges": (0.06, 0.047),
    "fine": (0.016, 0.014),
    "coarse": (0.04, 0.036),
}
_STATISTICS = 3 * len(_LEVELS)
# Half-width in pixels of the neighbourhood whose mean is taken.
_AROUND_PX = 16
# Statistics beyond so many spreads are cut off: a bright roof is no more than bright.
_MOST = 3.0
# Width of the kernel that the random features stand for, in spreads.
_KERNEL = 2.0


@choice("backbone", "texture")
@dataclass(frozen=True)
class TextureSettings:
    """Colour, index and texture statistics; needs no weights and at least three bands."""

    stride: int = 4
    """Side of a cell in image pixels."""
    channels: int = 256
    """Random features that carry the statistics."""

    def __post_init__(self) -> None:
        require_range(self.stride, "backbone.stride", low=2)
        require_range(self.channels, "backbone.channels", low=1)

    def build(self, weights_folder: str | None = None) -> "Texture":
        """Build the encoder; there are no weights to look for."""
        return Texture(self)


class Texture(Encoder):
    """Cell means, cell spreads and neighbourhood means of eight pixel maps, as random features.

    The cosine of two tokens is about the Gaussian kernel of their statistics, so that a class
    prompt stands for the density of its pixels rather than for their mean colour.

    With a fourth band (near infrared) vegetation and wetness are the NDVI and the NDWI, without
    it the excess green and the difference of blue and red.

    Source: Rahimi and Recht, Random features for large-scale kernel machines, NIPS 2007.
    """

    bands = 3
    level: Tensor
    spread: Tensor
    frequencies: Tensor
    phases: Tensor

    def __init__(self, settings: TextureSettings) -> None:
        super().__init__()
        self.stride = settings.stride
        self.dim = settings.channels
        level, spread = zip(*_LEVELS.values(), strict=True)
        # the same draw every time: part of the encoder's definition, not of a run
        generator = torch.Generator().manual_seed(0)
        frequencies = torch.randn(self.dim, _STATISTICS, generator=generator) / _KERNEL
        phases = 2 * math.pi * torch.rand(self.dim, generator=generator)
        self.register_buffer("level", torch.tensor(level).view(1, -1, 1, 1))
        self.register_buffer("spread", torch.tensor(spread).view(1, -1, 1, 1))
        self.register_buffer("frequencies", frequencies[..., None, None])
        self.register_buffer("phases", phases)

    def encode(self, image: Tensor) -> Tensor:
        """Encode (B, 3 or more, H, W) in [0, 1] to tokens (B, D, H / stride, W / stride)."""
        angles = F.conv2d(self.statistics(image), self.frequencies, self.phases)
        return angles.cos() * math.sqrt(2 / self.dim)

    def statistics(self, image: Tensor) -> Tensor:
        """What the random features are drawn over, (B, 24, H / stride, W / stride)."""
        maps = (_pixel_maps(image) - self.level) / self.spread  # (B, 8, H, W)
        mean = F.avg_pool2d(maps, self.stride)  # (B, 8, h, w)
        square = F.avg_pool2d(maps.square(), self.stride)
        spread = (square - mean.square()).clamp_min(0).sqrt()
        around = _box(mean, round(_AROUND_PX / self.stride))
        # a spread is positive; half a unit is common
        return torch.cat([mean, 2 * spread - 1, around], dim=1).clamp(-_MOST, _MOST)


def _pixel_maps(image: Tensor) -> Tensor:
    red, green, blue = image[:, 0:1], image[:, 1:2], image[:, 2:3]
    grey = (red + green + blue) / 3
    if image.shape[1] > 3:
        infrared = image[:, 3:4]
        vegetation, wetness = _contrast(infrared, red), _contrast(green, infrared)
    else:
        vegetation, wetness = 2 * green - red - blue, blue - red
    across = (grey - F.pad(grey, (1, 0, 0, 0), mode="replicate")[..., :-1]).abs()
    down = (grey - F.pad(grey, (0, 0, 1, 0), mode="replicate")[..., :-1, :]).abs()
    fine = (grey - _box(grey, 1)).abs()
    coarse = (_box(grey, 1) - _box(grey, 5)).abs()
    colours = [grey, vegetation, wetness, _contrast(green, red), _contrast(blue, red)]
    return torch.cat([*colours, across + down, fine, coarse], dim=1)


def _contrast(first: Tensor, second: Tensor) -> Tensor:
    return (first - second) / (first + second).clamp_min(0.05)


def _box(maps: Tensor, radius: int) -> Tensor:
    size = 2 * radius + 1
    return F.avg_pool2d(maps, size, stride=1, padding=radius, count_include_pad=False)
