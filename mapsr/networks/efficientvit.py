"""EfficientViT-Seg: linear attention and a head at an eighth of the resolution.

Source: Cai et al., EfficientViT: Lightweight multi-scale attention for high-resolution dense
prediction, ICCV 2023, doi:10.48550/arXiv.2205.14756 (mit-han-lab/efficientvit, Apache-2.0).
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mapsr.checkpoints import check_start
from mapsr.networks.backbone import Backbone
from mapsr.networks.layers import conv_norm, size_of
from mapsr.networks.network import SegmentationNetwork, assemble
from mapsr.settings import choice

# of the head published for ADE20K
WIDTH = 128
EXPAND = 4
DEPTH = 3
LAST = 1024


@choice("network", "efficientvit")
@dataclass(frozen=True)
class EfficientViTSettings:
    """EfficientViT-Seg L2 with the head published for ADE20K.

    Raises:
        ConfigError: there is a checkpoint, but pretrained is false.
    """

    encoder: str = "efficientvit_l2"
    """timm's name of the encoder, from small to large: efficientvit_b0 .. b3, then efficientvit_l1
    .. l3. MapSR's Table I has l2; smaller ones train faster and need a checkpoint of their own.
    timm's efficientvit_m0 .. m5 are another architecture of the same name."""
    weights: str = "efficientvit_l2"
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
    ) -> "EfficientViT":
        """Build the network, its encoder with pretrained weights unless turned off.

        Raises:
            ConfigError: timm has no such encoder.
            ConfigError: the statistics have fewer bands.
            WeightsError: the weights are absent, damaged or of another architecture.
        """
        return assemble(lambda: EfficientViT(self, bands, classes), self, weights_folder, seed)


class FusedInvertedBlock(nn.Module):
    """Fused MBConv: an expanding 3 x 3 and a projecting 1 x 1 convolution, added to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = conv_norm(WIDTH, EXPAND * WIDTH, 3, _gelu())
        self.narrow = conv_norm(EXPAND * WIDTH, WIDTH, 1, nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        """(B, 128, h, w) to (B, 128, h, w)."""
        out: Tensor = x + self.narrow(self.widen(x))
        return out


class EfficientViT(SegmentationNetwork):
    """timm's encoder and the published head; its logits have stride 8 and are resampled.

    In its linear attention timm adds 1e-5 to the denominator where the published code adds 1e-15.
    """

    stride = 32

    def __init__(self, settings: EfficientViTSettings, bands: int, classes: int) -> None:
        super().__init__(bands, classes, settings.statistics)
        self.encoder = Backbone(settings.encoder, bands, maps=3)
        self.reduce = nn.ModuleList(
            conv_norm(channels, WIDTH, 1, nn.Identity()) for channels in self.encoder.channels
        )
        self.blocks = nn.Sequential(*(FusedInvertedBlock() for _ in range(DEPTH)))
        self.head = nn.Sequential(conv_norm(WIDTH, LAST, 1, _gelu()), nn.Conv2d(LAST, classes, 1))
        for part in (self.reduce, self.blocks, self.head):
            for norm in part.modules():
                if isinstance(norm, nn.BatchNorm2d):
                    norm.eps = 1e-7

    def logits(self, image: Tensor) -> list[Tensor]:
        """Logits of the map."""
        maps = [reduce(x) for reduce, x in zip(self.reduce, self.encoder(image), strict=True)]
        size = size_of(maps[0])
        total = sum((_bicubic(x, size) for x in maps[1:]), maps[0])  # (B, 128, H / 8, W / 8)
        return [_bicubic(self.head(self.blocks(total)), size_of(image))]


def _bicubic(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bicubic", align_corners=False)


def _gelu() -> nn.Module:
    return nn.GELU(approximate="tanh")
