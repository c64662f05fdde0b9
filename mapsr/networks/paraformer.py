"""Paraformer: L2HNet's trunk and a vision transformer in parallel.

Source: Li et al., Learning without exact guidance: Updating large-scale high-resolution land cover
maps from low-resolution historical labels, CVPR 2024, doi:10.48550/arXiv.2403.02746
(LiZhuoHong/Paraformer, Apache-2.0).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapsr.checkpoints import check_start
from mapsr.errors import ConfigError, WeightsError
from mapsr.networks.backbone import create, load_exactly
from mapsr.networks.l2hnet import REDUCED, Reduction, Trunk, check_width
from mapsr.networks.layers import conv_norm, size_of, zoom
from mapsr.networks.network import SegmentationNetwork, assemble
from mapsr.settings import choice

PATCH = 16
DROPOUT = 0.1


@choice("network", "paraformer")
@dataclass(frozen=True)
class ParaformerSettings:
    """Paraformer with a ViT-B/16 pretrained on ImageNet-21k.

    Raises:
        ConfigError: width is not a positive multiple of 4.
        ConfigError: image is not a positive multiple of 16.
        ConfigError: there is a checkpoint, but pretrained is false.
    """

    width: int = 128
    """Channels of a convolutional block, a positive multiple of 4. 128 in MapSR's Table I; the
    light variant's 64 about halves the maps of full resolution, but few of the parameters."""
    image: int = 224
    """Side in pixels, a positive multiple of 16, of the grid of learned positions; choose
    training.crop, so that none are interpolated. 224 is published."""
    encoder: str = "vit_base_patch16_224"
    """timm's name of a vision transformer with learned positions. The published one has 86 M
    parameters; vit_small_patch16_224 and vit_tiny_patch16_224 are faster and less accurate."""
    weights: str = "vit_base_in21k"
    """Name of its pretrained weights in `mapsr weights list`."""
    checkpoint: str | None = None
    """Path of a weight file in timm's names to use instead, such as one of your own pretraining."""
    pretrained: bool = True
    """Whether the transformer starts from these weights, as published; false starts from random
    ones, which needs no download and far more training."""
    statistics: str = "naip"
    """Mean and standard deviation that normalise the bands: "naip" (up to four bands, as published)
    or "imagenet" (RGB alone)."""

    def __post_init__(self) -> None:
        check_width(self.width)
        check_start(self, "network")
        if self.image < PATCH or self.image % PATCH:
            raise ConfigError(
                f"network.image is {self.image}, expected a positive multiple of {PATCH} px."
            )

    def build(
        self, bands: int, classes: int, weights_folder: str | None = None, seed: int = 0
    ) -> "Paraformer":
        """Build the network, its transformer with pretrained weights unless turned off.

        Raises:
            ConfigError: timm has no such transformer.
            ConfigError: the statistics have fewer bands.
            WeightsError: the weights are absent, damaged or of another architecture.
        """
        return assemble(lambda: Paraformer(self, bands, classes), self, weights_folder, seed)


class ParaformerLogits(NamedTuple):
    """Logits (B, C, H, W) of each branch, and their mean, which makes the map."""

    main: Tensor
    cnn: Tensor
    vit: Tensor


class Transformer(nn.Module):
    """The blocks of a timm ViT on the trunk's reduced map, with learned positions."""

    def __init__(self, model: str, inputs: int, grid: int) -> None:
        """Set up the layers with random weights and zero positions.

        Args:
            model: timm's name of a vision transformer.
            inputs: channels of the reduced map.
            grid: rows and columns of the positions.

        Raises:
            ConfigError: timm has no such model.
            ConfigError: the model has no blocks or no learned positions.
        """
        super().__init__()
        vit = create(model, proj_drop_rate=DROPOUT)
        if not hasattr(vit, "blocks") or getattr(vit, "pos_embed", None) is None:
            raise ConfigError(
                f"network.encoder '{model}' is not a vision transformer with learned positions: "
                "choose one such as vit_base_patch16_224."
            )
        for block in vit.blocks:
            block.attn.proj_drop = nn.Identity()  # the published dropout is in the MLP alone
        self.model = model
        self.dim: int = vit.embed_dim
        self.grid = (grid, grid)
        self.patches = nn.Conv2d(inputs, self.dim, 1)
        self.positions = nn.Parameter(torch.zeros(1, self.dim, grid, grid))
        self.dropout = nn.Dropout(DROPOUT)
        self.vit = nn.ModuleDict({"blocks": vit.blocks, "norm": vit.norm})

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, D, h, w)."""
        size = size_of(maps)
        patches = self.patches(maps) + resample(self.positions, size)  # (B, D, h, w)
        tokens = self.dropout(patches.flatten(2).transpose(1, 2))  # (B, h w, D)
        tokens = self.vit["norm"](self.vit["blocks"](tokens))
        out: Tensor = tokens.transpose(1, 2).unflatten(2, size)
        return out

    def load(self, state: dict[str, Tensor], source: str) -> None:
        """Load blocks, last norm and patch positions from timm's state dict of the transformer.

        Raises:
            WeightsError: a key or a shape does not belong to this transformer.
        """
        state = dict(state)
        positions = state.pop("pos_embed", None)
        if positions is None or positions.dim() != 3 or positions.shape[2] != self.dim:
            raise WeightsError(
                f"{source} is not a checkpoint of network.encoder '{self.model}': 'pos_embed' is "
                f"absent or does not have {self.dim} channels. Choose the encoder that it belongs "
                "to."
            )
        prefix = int("cls_token" in state)
        side = round((positions.shape[1] - prefix) ** 0.5)  # timm's trained grids are square
        if prefix + side**2 != positions.shape[1]:
            raise WeightsError(
                f"{source} has {positions.shape[1]} positions, which do not form a square grid, so "
                f"it is not a checkpoint of network.encoder '{self.model}': choose the encoder "
                "that it belongs to."
            )
        left_out = ("patch_embed.", "cls_token", "head.", "pre_logits.")
        load_exactly(self.vit, state, f"network.encoder '{self.model}'", source, left_out)
        patches = positions[:, prefix:].transpose(1, 2).unflatten(2, (side, side))
        with torch.no_grad():
            self.positions.copy_(resample(patches, self.grid))


class Decoder(nn.Module):
    """From the transformer's map back to the image's resolution, joined by the reduced maps."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        half, quarter, sixteenth = REDUCED
        self.start = conv_norm(dim, 512, 3, nn.ReLU())
        self.at_sixteenth = conv_norm(512 + sixteenth, 512, 3, nn.ReLU())
        self.at_quarter = conv_norm(512 + quarter, 640, 3, nn.ReLU())
        self.assist = conv_norm(640 + half, 1, 3, nn.ReLU())
        self.features = conv_norm(640 + half, 256, 3, nn.ReLU())

    def forward(self, tokens: Tensor, reduced: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the assist map, (B, 1, H, W), and the features, (B, 256, H, W)."""
        half, quarter, sixteenth = reduced
        x = self.at_sixteenth(torch.cat([self.start(tokens), sixteenth], dim=1))
        x = zoom(x, size_of(quarter), aligned=True)  # (B, 512, H / 4, W / 4)
        x = self.at_quarter(torch.cat([x, quarter], dim=1))
        x = torch.cat([zoom(x, size_of(half), aligned=True), half], dim=1)  # (B, 1280, H / 2, ...)
        size = (2 * half.shape[2], 2 * half.shape[3])
        assist = zoom(self.assist(x), size, aligned=True)
        return assist, zoom(self.features(x), size, aligned=True)


class Paraformer(SegmentationNetwork):
    """The published network; `losses.plat_loss` compares the logits of its two branches."""

    stride = PATCH
    extra_logits = ("cnn", "vit")

    def __init__(self, settings: ParaformerSettings, bands: int, classes: int) -> None:
        super().__init__(bands, classes, settings.statistics)
        self.trunk = Trunk(bands, settings.width, activated=False)
        self.reduction = Reduction(settings.width)
        self.encoder = Transformer(settings.encoder, REDUCED[-1], settings.image // PATCH)
        self.decoder = Decoder(self.encoder.dim)
        self.cnn = nn.Conv2d(settings.width + 1, classes, 3, padding=1)
        self.vit = nn.Conv2d(256, classes, 3, padding=1)

    def forward(self, image: Tensor) -> ParaformerLogits:
        """See `SegmentationNetwork.forward`."""
        return ParaformerLogits(*super().forward(image))

    def logits(self, image: Tensor) -> ParaformerLogits:
        """Logits of both branches, which share features, and their mean."""
        blocks = self.trunk(image)
        reduced = self.reduction(torch.cat(blocks, dim=1))
        assist, features = self.decoder(self.encoder(reduced[-1]), reduced)
        cnn = self.cnn(torch.cat([assist, blocks[-1]], dim=1))
        vit = self.vit(features)
        return ParaformerLogits((cnn + vit) / 2, cnn, vit)


def resample(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resample positions (1, D, h, w) to another grid, bicubically."""
    if size_of(positions) == grid:
        return positions
    return F.interpolate(positions, size=grid, mode="bicubic", align_corners=False)
