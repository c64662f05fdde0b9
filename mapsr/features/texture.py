"""An encoder without weights: colour, index and texture statistics of small cells.

With it everything runs and is tested without a download; no published number depends on it.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mapsr.errors import require_range
from mapsr.features.encoder import Encoder
from mapsr.settings import choice

# Typical mean and standard deviation of each map on aerial imagery in [0, 1]: constants, so that a
# cell's features depend on its surroundings alone, not on where a chip was cut.
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
# Half-width in pixels of the neighbourhood whose mean is a feature.
_AROUND_PX = 16
# Statistics are clipped at this many standard deviations: a bright roof is just bright.
_MOST = 3.0
# Bandwidth of the Gaussian kernel that the random features approximate.
_KERNEL = 2.0


@choice("backbone", "texture")
@dataclass(frozen=True)
class TextureSettings:
    """Colour, index and texture statistics; needs no weights and at least three bands.

    Raises:
        ConfigError: stride is below 2, or channels below 1.
    """

    stride: int = 4
    """Side of a cell in image pixels, at least 2. Smaller cells follow smaller objects but have
    noisier statistics, and their number grows with the inverse square: 4 suits 1 m images."""
    channels: int = 256
    """Number of random features, at least 1. The error of the kernel that they approximate falls
    with the root of their number, memory and time grow with it; some hundred are enough."""

    def __post_init__(self) -> None:
        require_range(self.stride, "backbone.stride", low=2)
        require_range(self.channels, "backbone.channels", low=1)

    def build(self, weights_folder: str | None = None) -> "Texture":
        """Build the encoder; it has no weights."""
        return Texture(self)


class Texture(Encoder):
    """Mean, standard deviation and neighbourhood mean of eight pixel maps, as random features.

    The cosine of two tokens approximates the Gaussian kernel of their statistics, so that a class
    prompt describes the density of its pixels rather than their mean colour.

    With a fourth band (near infrared), vegetation is the NDVI and wetness the NDWI; without it they
    are the excess green and the difference of blue and red.

    Source: Rahimi and Recht, Random features for large-scale kernel machines, NIPS 2007,
    algorithm 1; McFeeters, 1996, doi:10.1080/01431169608948714, for the NDWI; Woebbecke et al.,
    1995, doi:10.13031/2013.27838, for the excess green.
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
        # always the same draw: part of the encoder's definition, not of a run
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
        """Return the standardised statistics of each cell, (B, 24, H / stride, W / stride)."""
        maps = (_pixel_maps(image) - self.level) / self.spread  # (B, 8, H, W)
        mean = F.avg_pool2d(maps, self.stride)  # (B, 8, h, w)
        square = F.avg_pool2d(maps.square(), self.stride)
        spread = (square - mean.square()).clamp_min(0).sqrt()
        around = _box(mean, round(_AROUND_PX / self.stride))
        # a standard deviation is positive, and 0.5 is typical
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
