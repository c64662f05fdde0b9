"""Paraformer: L2HNet's trunk and a vision transformer side by side.

Source: Li et al., Learning without exact guidance: Updating large-scale high-resolution land cover
maps from low-resolution historical labels, CVPR 2024 (LiZhuoHong/Paraformer, Apache-2.0).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapsr.errors import ConfigError, WeightsError
from mapsr.networks.backbone import create, load_exactly
from mapsr.networks.l2hnet import REDUCED, Reduction, Trunk, check_width
from mapsr.networks.layers import conv_norm, size_of, zoom
from mapsr.networks.network import SegmentationNetwork, assemble, check_start
from mapsr.settings import choice

PATCH = 16
DROPOUT = 0.1


@choice("network", "paraformer")
@dataclass(frozen=True)
class ParaformerSettings:
    """Paraformer with a ViT-B/16 of ImageNet-21k."""

    width: int = 128
    """Channels of a convolutional block: 128 in MapSR's Table I; the light variant has 64."""
    image: int = 224
    """Side in pixels of the images whose patches have learned positions of their own."""
    encoder: str = "vit_base_patch16_224"
    """timm's name of the transformer; its patch projection is not used."""
    weights: str = "vit_base_in21k"
    """Name in mapsr's weight registry."""
    checkpoint: str | None = None
    """Path of a weight file to use instead of the registry's."""
    pretrained: bool = True
    """Whether the transformer starts from these weights; false: from random numbers."""
    statistics: str = "naip"
    """Whose mean and standard deviation normalise the bands: "naip" or "imagenet"."""

    def __post_init__(self) -> None:
        check_width(self.width)
        check_start(self)
        if self.image < PATCH or self.image % PATCH:
            raise ConfigError(
                f"network.image is {self.image}, expected a positive multiple of {PATCH} px."
            )

    def build(
        self, bands: int, classes: int, weights_folder: str | None = None, seed: int = 0
    ) -> "Paraformer":
        """Build the network with the transformer's first weights.

        Raises:
            ConfigError: timm has no such transformer, or the statistics know fewer bands.
            WeightsError: the weights are absent, damaged or of another architecture.
        """
        return assemble(lambda: Paraformer(self, bands, classes), self, weights_folder, seed)


class ParaformerLogits(NamedTuple):
    """Logits (B, C, H, W): their mean, which makes the map, and those of each branch."""

    main: Tensor
    cnn: Tensor
    vit: Tensor


class Transformer(nn.Module):
    """The blocks of a timm ViT over the trunk's reduced map, with positions of its own."""

    def __init__(self, model: str, inputs: int, grid: int) -> None:
        """Make it with random weights and positions of zero.

        Raises:
            ConfigError: timm has no such vision transformer.
        """
        super().__init__()
        vit = create(model, proj_drop_rate=DROPOUT)
        if not hasattr(vit, "blocks") or getattr(vit, "pos_embed", None) is None:
            raise ConfigError(
                f"network.encoder '{model}' is no vision transformer with learned positions; "
                "choose one such as vit_base_patch16_224."
            )
        for block in vit.blocks:
            block.attn.proj_drop = nn.Identity()  # the dropout is the MLP's alone
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
        """Load timm's state dict of the transformer: blocks, last norm, positions of patches.

        Raises:
            WeightsError: a key or a shape does not belong to this transformer.
        """
        state = dict(state)
        positions = state.pop("pos_embed", None)
        if positions is None or positions.dim() != 3 or positions.shape[2] != self.dim:
            raise WeightsError(
                f"{source} is not a checkpoint of network.encoder '{self.model}': 'pos_embed' is "
                f"absent or has not {self.dim} channels. Choose the encoder that it belongs to."
            )
        prefix = int("cls_token" in state)
        side = round((positions.shape[1] - prefix) ** 0.5)  # timm's trained grids are square
        if prefix + side**2 != positions.shape[1]:
            raise WeightsError(
                f"{source} has {positions.shape[1]} positions, which make no square grid: it is "
                f"not a checkpoint of network.encoder '{self.model}'."
            )
        left_out = ("patch_embed.", "cls_token", "head.", "pre_logits.")
        load_exactly(self.vit, state, f"network.encoder '{self.model}'", source, left_out)
        patches = positions[:, prefix:].transpose(1, 2).unflatten(2, (side, side))
        with torch.no_grad():
            self.positions.copy_(resample(patches, self.grid))


class Decoder(nn.Module):
    """From the transformer's map back to the image's resolution, past the reduced maps."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        half, quarter, sixteenth = REDUCED
        self.start = conv_norm(dim, 512, 3, nn.ReLU())
        self.at_sixteenth = conv_norm(512 + sixteenth, 512, 3, nn.ReLU())
        self.at_quarter = conv_norm(512 + quarter, 640, 3, nn.ReLU())
        self.assist = conv_norm(640 + half, 1, 3, nn.ReLU())
        self.features = conv_norm(640 + half, 256, 3, nn.ReLU())

    def forward(self, tokens: Tensor, reduced: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The assist map, (B, 1, H, W), and the features, (B, 256, H, W)."""
        half, quarter, sixteenth = reduced
        x = self.at_sixteenth(torch.cat([self.start(tokens), sixteenth], dim=1))
        x = zoom(x, size_of(quarter), aligned=True)  # (B, 512, H / 4, W / 4)
        x = self.at_quarter(torch.cat([x, quarter], dim=1))
        x = torch.cat([zoom(x, size_of(half), aligned=True), half], dim=1)  # (B, 1280, H / 2, ...)
        size = (2 * half.shape[2], 2 * half.shape[3])
        assist = zoom(self.assist(x), size, aligned=True)
        return assist, zoom(self.features(x), size, aligned=True)


class Paraformer(SegmentationNetwork):
    """The published network; `losses.plat_loss` takes the logits of its two branches."""

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
        """Logits of both branches, which see each other's features, and their mean."""
        blocks = self.trunk(image)
        reduced = self.reduction(torch.cat(blocks, dim=1))
        assist, features = self.decoder(self.encoder(reduced[-1]), reduced)
        cnn = self.cnn(torch.cat([assist, blocks[-1]], dim=1))
        vit = self.vit(features)
        return ParaformerLogits((cnn + vit) / 2, cnn, vit)


def resample(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Carry positions (1, D, h, w) to another grid, bicubic."""
    if size_of(positions) == grid:
        return positions
    return F.interpolate(positions, size=grid, mode="bicubic", align_corners=False)
