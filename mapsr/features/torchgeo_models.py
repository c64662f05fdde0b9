"""Models of torchgeo that were trained on satellite and aerial images, as maps of features."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mapsr.errors import ConfigError, require_choice
from mapsr.seeds import seeded

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_PANOPTICON_PX = 518
"""Side of the images whose grid the published positions are for."""


class SatelliteModel(nn.Module, ABC):
    """One family of torchgeo's models: which layers it has, and how an image goes through it.

    Attributes:
        net: what weights are loaded into.
        sides: pixels along the side of a cell, for each layer.
        statistics: mean and standard deviation by channel that it was trained with; None: not known
            for these bands.
    """

    net: Any
    sides: tuple[int, ...]
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @abstractmethod
    def forward(self, image: Tensor, layer: int) -> Tensor:
        """Encode (B, channels, H, W) to the layer's map (B, D, h, w)."""
        ...


class Dofa(SatelliteModel):
    """DOFA: a ViT whose patch embedding is generated from the wavelengths of the bands.

    Its tokens are those of its transformer, each through the norm that torchgeo applies to their
    mean (plain where the weights bring none).

    Source: Xiong et al., Neural plasticity-inspired foundation model for observing the Earth
    crossing modalities, 2024, arXiv:2403.15356.
    """

    wavelengths: Tensor

    def __init__(self, net: Any, wavelengths_um: Tensor) -> None:  # noqa: ANN401 - torchgeo's
        super().__init__()
        self.net = net
        self.sides = (int(net.patch_size),) * len(net.blocks)
        self.statistics = _IMAGENET if len(wavelengths_um) == 3 else None
        self.register_buffer("wavelengths", wavelengths_um, persistent=False)

    def forward(self, image: Tensor, layer: int) -> Tensor:
        """Encode (B, channels, H, W) to (B, D, H / patch, W / patch)."""
        tokens, _ = self.net.patch_embed(image, self.wavelengths)  # (B, h w, D)
        norm = self.net.fc_norm if self.net.global_pool else self.net.norm
        grid = (image.shape[2] // self.sides[0], image.shape[3] // self.sides[0])
        return _through_blocks(self.net, tokens, grid, layer, norm)


class Panopticon(SatelliteModel):
    """Panopticon: DINOv2's ViT behind an attention over the bands, told apart by wavelength.

    Source: Waldmann et al., Panopticon: advancing any-sensor foundation models for Earth
    observation, 2025, arXiv:2503.10845.
    """

    wavelengths: Tensor

    def __init__(self, net: Any, wavelengths_um: Tensor) -> None:  # noqa: ANN401 - torchgeo's
        super().__init__()
        self.net = net.model
        self.sides = (int(self.net.patch_embed.patch_size[0]),) * len(self.net.blocks)
        self.statistics = _IMAGENET if len(wavelengths_um) == 3 else None
        self.register_buffer("wavelengths", wavelengths_um, persistent=False)

    def forward(self, image: Tensor, layer: int) -> Tensor:
        """Encode (B, channels, H, W) to (B, D, H / 14, W / 14)."""
        # a copy: the embedding writes into it; nanometres
        bands = (1000 * self.wavelengths).round().expand(len(image), -1).clone()
        tokens = self.net.patch_embed({"imgs": image, "chn_ids": bands})  # (B, h w, D)
        grid = (image.shape[2] // self.sides[0], image.shape[3] // self.sides[0])
        return _through_blocks(self.net, tokens, grid, layer, self.net.norm)


class SatlasSwin(SatelliteModel):
    """torchvision's Swin v2, for the weights of SatlasPretrain.

    Source: Bastani et al., SatlasPretrain, ICCV 2023, arXiv:2211.15660.
    """

    def __init__(self, net: Any, channels: int) -> None:  # noqa: ANN401 - torchvision's
        super().__init__()
        first = net.features[0][0]
        if first.in_channels != channels:
            net.features[0][0] = nn.Conv2d(channels, first.out_channels, 4, 4)
        net.head = nn.Identity()
        self.net = net
        self.sides = tuple(4 << stage for stage in range(len(net.features) // 2))
        self.statistics = ((0.0,) * channels, (1.0,) * channels)

    def forward(self, image: Tensor, layer: int) -> Tensor:
        """Encode (B, channels, H, W) to (B, D, H / side, W / side) of the stage."""
        cells: Tensor = self.net.features[: 2 * layer + 2](image)  # (B, h, w, D)
        if layer == len(self.sides) - 1:
            cells = self.net.norm(cells)
        return cells.permute(0, 3, 1, 2).contiguous()


def _dofa(make: Callable[..., Any], waves: Tensor) -> SatelliteModel:
    return Dofa(make(num_classes=0), waves)


def _panopticon(make: Callable[..., Any], waves: Tensor) -> SatelliteModel:
    return Panopticon(make(img_size=_PANOPTICON_PX), waves)


def _satlas(make: Callable[..., Any], waves: Tensor) -> SatelliteModel:
    return SatlasSwin(make(), len(waves))


MODELS: dict[str, Callable[[Callable[..., Any], Tensor], SatelliteModel]] = {
    "dofa_small_patch16_224": _dofa,
    "dofa_base_patch16_224": _dofa,
    "dofa_large_patch16_224": _dofa,
    "panopticon_vitb14": _panopticon,
    "swin_v2_t": _satlas,
    "swin_v2_b": _satlas,
}
"""torchgeo's name of a model -> what makes it. Its ResNets and ViTs are timm's."""
TIMM_TOO = ("resnet", "vit_")
"""How names of torchgeo's models begin that are timm's."""


def create_torchgeo(model: str, wavelengths_um: Tensor, seed: int) -> SatelliteModel:
    """Make a model of torchgeo with random weights.

    Args:
        model: torchgeo's name.
        wavelengths_um: of each channel, in micrometres.
        seed: of the weights.

    Raises:
        ConfigError: the model is not among those known here, or torchgeo is not installed.
    """
    if model.startswith(TIMM_TOO):
        raise ConfigError(
            f"backbone.model is '{model}', which torchgeo takes from timm: use backbone=timm "
            f"backbone.model={model} with the weights as backbone.checkpoint=FILE."
        )
    require_choice(model, MODELS, "backbone.model")
    from torchgeo import models  # takes seconds

    with seeded(seed):
        made = MODELS[model](getattr(models, model), wavelengths_um)
    return made.eval()


def _through_blocks(
    net: Any,  # noqa: ANN401 - of torchgeo
    tokens: Tensor,
    grid: tuple[int, int],
    layer: int,
    norm: nn.Module,
) -> Tensor:
    """Carry (B, h w, D) patches through a ViT's blocks, positions resampled to their grid."""
    from timm.layers.pos_embed import resample_abs_pos_embed

    places = resample_abs_pos_embed(net.pos_embed, list(grid), num_prefix_tokens=1)
    first = (net.cls_token + places[:, :1]).expand(len(tokens), -1, -1)
    tokens = torch.cat([first, tokens + places[:, 1:]], dim=1)
    for block in net.blocks[: layer + 1]:
        tokens = block(tokens)
    patches = norm(tokens[:, 1:]).transpose(1, 2)  # (B, D, h w)
    cells: Tensor = patches.unflatten(2, grid).contiguous()
    return cells
