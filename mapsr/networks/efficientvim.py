"""EfficientViM with a semantic feature pyramid.

Source: Lee et al., EfficientViM: Efficient vision Mamba with hidden state mixer based state space
duality, CVPR 2025, doi:10.48550/arXiv.2411.15241 (mlvlab/EfficientViM, MIT); Kirillov et al.,
Panoptic feature pyramid networks, CVPR 2019, doi:10.1109/CVPR.2019.00656.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mapsr.checkpoints import check_start
from mapsr.networks.backbone import Backbone
from mapsr.networks.layers import conv_norm, size_of, zoom
from mapsr.networks.network import SegmentationNetwork, assemble
from mapsr.settings import choice

PYRAMID = 256
WIDTH = 128


@choice("network", "efficientvim")
@dataclass(frozen=True)
class EfficientViMSettings:
    """EfficientViM-M4 with a semantic feature pyramid.

    Raises:
        ConfigError: there is a checkpoint, but pretrained is false.
    """

    encoder: str = "efficientvim_m4"
    """timm's name of the encoder, from small to large: efficientvim_m1 .. m4. MapSR's Table I has
    m4; smaller ones train faster and need a checkpoint of their own."""
    weights: str = "efficientvim_m4"
    """Name of its pretrained weights in `mapsr weights list`."""
    checkpoint: str | None = None
    """Path of a weight file in timm's names to use instead, such as one of your own pretraining."""
    pretrained: bool = True
    """Whether the encoder starts from these weights, as published; false starts from random ones,
    which needs no download and far more training."""
    statistics: str = "imagenet"
    """Mean and standard deviation that normalise the bands: "imagenet" (RGB, as the encoder was
    pretrained) or "naip" (up to four bands)."""

    def __post_init__(self) -> None:
        check_start(self, "network")

    def build(
        self, bands: int, classes: int, weights_folder: str | None = None, seed: int = 0
    ) -> "EfficientViM":
        """Build the network, its encoder with pretrained weights unless turned off.

        Raises:
            ConfigError: timm has no such encoder.
            ConfigError: the statistics have fewer bands.
            WeightsError: the weights are absent, damaged or of another architecture.
        """
        return assemble(lambda: EfficientViM(self, bands, classes), self, weights_folder, seed)


class Pyramid(nn.Module):
    """The encoder's maps, each with the coarser ones added, and the last one subsampled by 2."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(inputs, PYRAMID, 1) for inputs in channels)
        self.smooth = nn.ModuleList(nn.Conv2d(PYRAMID, PYRAMID, 3, padding=1) for _ in channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """(B, channels, h, w) each, finest first, to (B, 256, h, w) and one more."""
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for fine in range(len(levels) - 2, -1, -1):
            coarser = F.interpolate(levels[fine + 1], size=size_of(levels[fine]), mode="nearest")
            levels[fine] = levels[fine] + coarser
        levels = [smooth(x) for smooth, x in zip(self.smooth, levels, strict=True)]
        return [*levels, levels[-1][..., ::2, ::2]]


class Ascent(nn.Module):
    """Convolutions, each followed by a bilinear doubling where there is one."""

    def __init__(self, doublings: int) -> None:
        """Set up the layers.

        Args:
            doublings: how many convolutions are followed by one; 0 is one convolution alone.
        """
        super().__init__()
        self.doublings = doublings
        self.convs = nn.ModuleList(
            conv_norm(WIDTH if step else PYRAMID, WIDTH, 3, nn.ReLU())
            for step in range(max(1, doublings))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 256, h, w) to (B, 128, 2^doublings h, 2^doublings w)."""
        for conv in self.convs:
            x = conv(x)
            if self.doublings:
                x = zoom(x, (2 * x.shape[2], 2 * x.shape[3]))
        return x


class PyramidHead(nn.Module):
    """A sum of all levels, each doubled as often as it was halved.

    Where a level of odd sides was halved, its doublings are larger than the finest level, to which
    they are resampled before the sum, as in MMSegmentation's head (448 px: 4, 8, 16, 32 to 28).
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.ascents = nn.ModuleList(Ascent(doublings) for doublings in range(4))
        self.classify = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(WIDTH, classes, 1))

    def forward(self, levels: list[Tensor]) -> Tensor:
        """(B, 256, h, w) each, finest first, to logits (B, C, h, w) of the finest."""
        size = size_of(levels[0])
        total = sum(zoom(ascent(x), size) for ascent, x in zip(self.ascents, levels, strict=True))
        out: Tensor = self.classify(total)
        return out


class EfficientViM(SegmentationNetwork):
    """timm's encoder, a pyramid and its head.

    The pyramid was designed for maps of strides 4 to 32, but this encoder's have 16 to 64, so the
    logits have stride 16 before they are resampled.
    """

    stride = 64

    def __init__(self, settings: EfficientViMSettings, bands: int, classes: int) -> None:
        super().__init__(bands, classes, settings.statistics)
        self.encoder = Backbone(settings.encoder, bands, maps=3)
        self.pyramid = Pyramid(self.encoder.channels)
        self.head = PyramidHead(classes)

    def logits(self, image: Tensor) -> list[Tensor]:
        """Logits of the map."""
        return [zoom(self.head(self.pyramid(self.encoder(image))), size_of(image))]
