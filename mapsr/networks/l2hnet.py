"""L2HNet: a convolutional network that keeps the image's resolution throughout.

Source: Li et al., Breaking the resolution barrier: A low-to-high network for large-scale
high-resolution land-cover mapping using low-resolution labels, ISPRS Journal 192, 2022,
doi:10.1016/j.isprsjprs.2022.08.008.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapsr.errors import ConfigError, require_choice
from mapsr.networks.network import SegmentationNetwork
from mapsr.seeds import seeded
from mapsr.settings import choice

BLOCKS = 5
REDUCED = (640, 1024, 1024)


@choice("network", "l2hnet")
@dataclass(frozen=True)
class L2HNetSettings:
    """L2HNet, as counted in MapSR's tables or as published; it starts from random weights.

    Raises:
        ConfigError: the variant is unknown.
        ConfigError: width is not a positive multiple of 4.
    """

    variant: str = "trunk"
    """"trunk": the convolutional branch of Paraformer with its strided layers, which MapSR's
    Table I counts (36.92 M); "original": the network of 2022 (1.118 M), whose first convolution
    has a ReLU. The strided layers add nothing but parameters, so take "original" for new work."""
    width: int = 128
    """Channels of a block, a positive multiple of 4. Memory grows with it, parameters with its
    square. 128 is published; the light variant has 64."""
    statistics: str = "naip"
    """Mean and standard deviation that normalise the bands: "naip" (up to four bands, as published)
    or "imagenet" (RGB alone)."""

    def __post_init__(self) -> None:
        require_choice(self.variant, ("trunk", "original"), "network.variant")
        check_width(self.width)

    def build(
        self, bands: int, classes: int, weights_folder: str | None = None, seed: int = 0
    ) -> "L2HNet":
        """Build the network; it has no pretrained weights.

        Raises:
            ConfigError: the statistics have fewer bands.
        """
        with seeded(seed):
            return L2HNet(self, bands, classes)


def check_width(width: int) -> None:
    """Refuse a width that can't be quartered.

    Raises:
        ConfigError: ``width`` is not a positive multiple of four.
    """
    if width < 4 or width % 4:
        raise ConfigError(
            f"network.width is {width}, expected a positive multiple of 4: the branches of a "
            "block have the width, its half and its quarter."
        )


class PreservingBlock(nn.Module):
    """Parallel 1 x 1, 3 x 3 and 5 x 5 convolutions, fused and added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        branches = ((1, width), (3, width // 2), (5, width // 4))
        self.branches = nn.ModuleList(_biased(width, out, kernel) for kernel, out in branches)
        self.fuse = _biased(sum(out for _, out in branches), width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, w, H, W) to (B, w, H, W)."""
        branches = torch.cat([branch(x) for branch in self.branches], dim=1)
        out: Tensor = x + self.fuse(branches)
        return out


class Trunk(nn.Module):
    """A first convolution and five blocks, all at the image's resolution."""

    def __init__(self, bands: int, width: int, *, activated: bool) -> None:
        """Set up the layers.

        Args:
            bands: of the image.
            width: channels of each block.
            activated: whether a ReLU follows the first convolution: L2HNet has one, Paraformer
                does not.
        """
        super().__init__()
        self.start = nn.Conv2d(bands, width, 3, padding=1)
        self.activation = nn.ReLU() if activated else nn.Identity()
        self.blocks = nn.ModuleList(PreservingBlock(width) for _ in range(BLOCKS))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, bands, H, W) to the output of each block, (B, w, H, W)."""
        outputs = [self.activation(self.start(image))]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        return outputs[1:]


class StandardisedConv(nn.Conv2d):
    """A convolution whose filters are standardised to mean 0 and variance 1.

    Source: Qiao et al., Micro-batch training with batch-channel normalization and weight
    standardization, 2019, doi:10.48550/arXiv.1903.10520.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the standardised filters."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        filters = (self.weight - mean) / torch.sqrt(variance + 1e-5)
        return F.conv2d(x, filters, self.bias, self.stride, self.padding)


class Reduction(nn.Module):
    """Three strided convolutions from the blocks' outputs to a feature map of stride 16."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = (BLOCKS * width, *REDUCED)
        # the last step goes to the grid of a vision transformer's patches
        shapes = ((3, 2), (3, 2), (5, 4))
        self.steps = nn.ModuleList(
            nn.Sequential(
                StandardisedConv(before, after, kernel, stride, padding=1, bias=False),
                nn.GroupNorm(32, after, eps=1e-6),
                nn.ReLU(),
            )
            for (before, after), (kernel, stride) in zip(pairwise(channels), shapes, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 5 w, H, W) to 640, 1024 and 1024 channels at strides 2, 4 and 16."""
        outputs = [x]
        for step in self.steps:
            outputs.append(step(outputs[-1]))
        return outputs[1:]


class L2HNet(SegmentationNetwork):
    """The trunk with a 1 x 1 classifier on its last block.

    The variant "trunk" also has Paraformer's strided layers: 35.8 million parameters that MapSR's
    Table I counts, although the classifier does not use them. They are not run and get no gradient;
    distributed training must be told to expect unused parameters.
    """

    def __init__(self, settings: L2HNetSettings, bands: int, classes: int) -> None:
        super().__init__(bands, classes, settings.statistics)
        original = settings.variant == "original"
        self.trunk = Trunk(bands, settings.width, activated=original)
        self.unused = None if original else Reduction(settings.width)
        self.head = nn.Conv2d(settings.width, classes, 1)

    def logits(self, image: Tensor) -> list[Tensor]:
        """Logits of the last block."""
        return [self.head(self.trunk(image)[-1])]


def _biased(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())
