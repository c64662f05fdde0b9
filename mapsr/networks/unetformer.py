"""UNetFormer: a ResNet-18 and a decoder with windowed attention.

Source: Wang et al., UNetFormer: A UNet-like transformer for efficient semantic segmentation of
remote sensing urban scene imagery, ISPRS Journal 190, 2022, doi:10.1016/j.isprsjprs.2022.06.008;
windows and relative positions after Liu et al., Swin transformer, ICCV 2021, equation 4,
doi:10.48550/arXiv.2103.14030.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapsr.checkpoints import check_start
from mapsr.networks.backbone import Backbone
from mapsr.networks.layers import conv_norm, reflect, size_of, zoom
from mapsr.networks.network import SegmentationNetwork, assemble
from mapsr.settings import choice

WIDTH = 64
HEADS = 8
WINDOW = 8


@choice("network", "unetformer")
@dataclass(frozen=True)
class UNetFormerSettings:
    """UNetFormer with the ResNet-18 that it was published with.

    Raises:
        ConfigError: there is a checkpoint, but pretrained is false.
    """

    encoder: str = "resnet18"
    """timm's name of an encoder with four maps of strides 4 to 32. The published one is resnet18;
    resnet34 and resnet50 are larger and slower and need a checkpoint of their own."""
    weights: str = "resnet18_swsl"
    """Name of its pretrained weights in `mapsr weights list`."""
    checkpoint: str | None = None
    """Path of a weight file in timm's names to use instead, such as one of your own pretraining."""
    pretrained: bool = True
    """Whether the encoder starts from these weights, as published; false starts from random ones,
    which needs no download and far more training."""
    auxiliary: bool = True
    """Whether an auxiliary head helps training, as published: 37,312 parameters with 5 classes,
    which MapSR's Table I counts. False saves little."""
    statistics: str = "imagenet"
    """Mean and standard deviation that normalise the bands: "imagenet" (RGB, as the encoder was
    pretrained) or "naip" (up to four bands)."""

    def __post_init__(self) -> None:
        check_start(self, "network")

    def build(
        self, bands: int, classes: int, weights_folder: str | None = None, seed: int = 0
    ) -> "UNetFormer":
        """Build the network, its encoder with pretrained weights unless turned off.

        Raises:
            ConfigError: timm has no such encoder.
            ConfigError: the statistics have fewer bands.
            WeightsError: the weights are absent, damaged or of another architecture.
        """
        return assemble(lambda: UNetFormer(self, bands, classes), self, weights_folder, seed)


class GlobalLocalAttention(nn.Module):
    """Window attention mixed across windows, plus a local convolutional branch."""

    index: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(WIDTH, 3 * WIDTH, 1, bias=False)
        self.table = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, HEADS))
        nn.init.trunc_normal_(self.table, std=0.02)
        self.register_buffer("index", window_offsets(), persistent=False)
        self.near = conv_norm(WIDTH, WIDTH, 3, nn.Identity())
        self.own = conv_norm(WIDTH, WIDTH, 1, nn.Identity())
        self.project = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, WINDOW, padding=WINDOW // 2 - 1, groups=WIDTH, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.Conv2d(WIDTH, WIDTH, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64, h, w) to (B, 64, h, w)."""
        mixed = mix_windows(self.attend(x)) + self.near(x) + self.own(x)
        out: Tensor = self.project(reflect(mixed, 1, 1))
        return out

    def attend(self, x: Tensor) -> Tensor:
        """Attention within windows of 8 x 8, (B, 64, h, w)."""
        height, width = size_of(x)
        x = reflect(x, -height % WINDOW, -width % WINDOW)
        rows, columns = x.shape[2] // WINDOW, x.shape[3] // WINDOW
        qkv = self.qkv(x).unflatten(1, (3, HEADS, -1))
        qkv = qkv.unflatten(5, (columns, WINDOW)).unflatten(4, (rows, WINDOW))
        # (3, B, rows, columns, heads, 8, 8, d)
        qkv = qkv.permute(1, 0, 4, 6, 2, 5, 7, 3).flatten(5, 6)
        bias = self.table[self.index].permute(2, 0, 1)  # (heads, 64, 64)
        query, key, value = qkv.flatten(1, 3)  # (B windows, heads, 64, d)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query))
        out = out.unflatten(0, (-1, rows, columns)).unflatten(4, (WINDOW, WINDOW))
        out = out.permute(0, 3, 6, 1, 4, 2, 5)  # (B, heads, d, rows, 8, columns, 8)
        joined: Tensor = out.flatten(5, 6).flatten(3, 4).flatten(1, 2)
        return joined[..., :height, :width]


class GlobalLocalBlock(nn.Module):
    """Attention and a two-layer perceptron, both pre-normalised and residual."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.BatchNorm2d(WIDTH), GlobalLocalAttention())
        self.perceptron = nn.Sequential(
            nn.BatchNorm2d(WIDTH),
            nn.Conv2d(WIDTH, 4 * WIDTH, 1),
            nn.ReLU6(),
            nn.Conv2d(4 * WIDTH, WIDTH, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64, h, w) to (B, 64, h, w)."""
        x = x + self.attention(x)
        out: Tensor = x + self.perceptron(x)
        return out


class WeightedFusion(nn.Module):
    """A weighted sum of an enlarged coarse map and an encoder's map, with learned weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(channels, WIDTH, 1, bias=False)
        self.shares = nn.Parameter(torch.ones(2))
        self.smooth = conv_norm(WIDTH, WIDTH, 3, nn.ReLU6())

    def forward(self, coarse: Tensor, encoded: Tensor) -> Tensor:
        """(B, 64, h, w) and (B, channels, 2 h, 2 w) to (B, 64, 2 h, 2 w)."""
        shares = self.shares.relu()
        shares = shares / (shares.sum() + 1e-8)
        mixed = shares[0] * self.skip(encoded) + shares[1] * zoom(coarse, size_of(encoded))
        out: Tensor = self.smooth(mixed)
        return out


class RefinementHead(nn.Module):
    """Fusion with the finest map, gated per pixel and per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fusion = WeightedFusion(channels)
        self.shortcut = conv_norm(WIDTH, WIDTH, 1, nn.Identity())
        self.place = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH), nn.Sigmoid()
        )
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(WIDTH, WIDTH // 16, 1, bias=False),
            nn.ReLU6(),
            nn.Conv2d(WIDTH // 16, WIDTH, 1, bias=False),
            nn.Sigmoid(),
        )
        self.project = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.Conv2d(WIDTH, WIDTH, 1, bias=False),
        )

    def forward(self, coarse: Tensor, encoded: Tensor) -> Tensor:
        """(B, 64, h, w) and (B, channels, 2 h, 2 w) to (B, 64, 2 h, 2 w)."""
        x = self.fusion(coarse, encoded)
        gated = self.place(x) * x + self.channel(x) * x
        return F.relu6(self.project(gated) + self.shortcut(x))


class UNetFormer(SegmentationNetwork):
    """The published network; in training it also gives the logits of the auxiliary head."""

    stride = 32

    def __init__(self, settings: UNetFormerSettings, bands: int, classes: int) -> None:
        super().__init__(bands, classes, settings.statistics)
        self.encoder = Backbone(settings.encoder, bands, maps=4)
        first, second, third, fourth = self.encoder.channels
        self.reduce = conv_norm(fourth, WIDTH, 1, nn.Identity())
        self.blocks = nn.ModuleList(GlobalLocalBlock() for _ in range(3))
        self.fusions = nn.ModuleList(WeightedFusion(channels) for channels in (third, second))
        self.refine = RefinementHead(first)
        self.head = _head(nn.Dropout2d(0.1), classes)
        self.auxiliary = _head(nn.Dropout(0.1), classes) if settings.auxiliary else None
        self.extra_logits = ("auxiliary",) if settings.auxiliary else ()

    def logits(self, image: Tensor) -> list[Tensor]:
        """Logits of the map, and in training of the auxiliary head."""
        first, second, third, fourth = self.encoder(image)
        coarsest = self.blocks[0](self.reduce(fourth))  # (B, 64, H / 32, W / 32)
        middle = self.blocks[1](self.fusions[0](coarsest, third))
        finest = self.blocks[2](self.fusions[1](middle, second))  # (B, 64, H / 8, W / 8)
        outputs = [self.head(self.refine(finest, first))]
        if self.auxiliary is not None and self.training:
            size = size_of(finest)
            enlarged = (zoom(maps, size, aligned=True) for maps in (coarsest, middle))
            outputs.append(self.auxiliary(sum(enlarged, finest)))
        return [zoom(logits, size_of(image)) for logits in outputs]


def mix_windows(x: Tensor) -> Tensor:
    """Sum of the means over a window's height and over its width around each pixel."""
    before = WINDOW // 2 - 1
    down = F.avg_pool2d(reflect(x, 1, 0), (WINDOW, 1), stride=1, padding=(before, 0))
    across = F.avg_pool2d(reflect(x, 0, 1), (1, WINDOW), stride=1, padding=(0, before))
    return down + across


def window_offsets() -> Tensor:
    """Index of the relative position of any two pixels of a window, (64, 64) in 0 .. 224."""
    places = torch.cartesian_prod(torch.arange(WINDOW), torch.arange(WINDOW))
    offset = places[:, None] - places[None] + WINDOW - 1  # (64, 64, 2)
    return offset[..., 0] * (2 * WINDOW - 1) + offset[..., 1]


def _head(dropout: nn.Module, classes: int) -> nn.Sequential:
    smooth = conv_norm(WIDTH, WIDTH, 3, nn.ReLU6())
    return nn.Sequential(smooth, dropout, nn.Conv2d(WIDTH, classes, 1, bias=False))
