"""Any model of timm that gives maps of features, as a frozen encoder."""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from mapsr.checkpoints import check_start
from mapsr.errors import ConfigError, require_range
from mapsr.features.bands import BandInput, BandSettings
from mapsr.features.loading import LoadedEncoder, load_whole, started
from mapsr.features.timm_models import (
    converters,
    create_timm,
    feature_maps,
    layer_info,
    probed,
    require_tag,
)
from mapsr.settings import aside, choice


@choice("backbone", "timm")
@dataclass(frozen=True)
class TimmSettings(BandSettings):
    """A model of timm: ViT, EVA, DINOv3, SAM, Swin, ConvNeXt, ResNet and others.

    Raises:
        ConfigError: enlarge is not above 0.
        ConfigError: a checkpoint is named although pretrained is false.
        ConfigError: bands, reads, mean or std don't fit each other.
    """

    model: str = "convnext_tiny.fb_in22k"
    """timm's name of the model with its tag, as timm.list_pretrained() lists them. It must take
    images of any size and give maps: docs/encoders.md says which families do."""
    weights: str | None = None
    """Name in `mapsr weights list`, or timm/MODEL.TAG; null: those that timm publishes for
    backbone.model."""
    checkpoint: str | None = None
    """Path of a weight file of one's own to use instead (safetensors, or torch.save of tensors);
    wrappers such as {'model': ...} and prefixes such as module. and backbone. are read."""
    pretrained: bool = True
    """False: random weights, which serve as a baseline and for trials without any download."""
    seed: int = 0
    """Of the random weights; without a say otherwise."""
    layer: int = -1
    """Index of the block (ViT, EVA, SAM) or stage (Swin, ConvNeXt, ResNet) whose output gives the
    tokens; -1 is the last. Stages halve the resolution one by one: Swin and ConvNeXt have cells of
    4, 8, 16 and 32 px. Fine stages follow edges, late ones tell classes apart."""
    enlarge: float = 1.0
    """Factor above 0 by which the image is enlarged (bicubic) before the encoder; the side of a
    cell divided by it must be a whole number. 2 takes at least four times the time and memory."""
    accept_licence: str | None = aside(None)
    """Word by which a licence is accepted that asks for it, such as dinov3; read it first."""

    halves: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self.enlarge, "backbone.enlarge", open_low=True)
        check_start(self, "backbone")

    def build(self, weights_folder: str | None = None) -> "TimmEncoder":
        """Build the encoder with its weights.

        Raises:
            ConfigError: timm has no such model, or it gives no maps of images of any size.
            ConfigError: a setting does not fit the model.
            WeightsError: the weights are absent, damaged, of another architecture, or ask for a
                licence to be accepted.
        """
        if self.pretrained and self.weights is None and self.checkpoint is None:
            require_tag(self.model)
        return started(self, lambda: TimmEncoder(self), weights_folder)


class TimmEncoder(LoadedEncoder):
    """A frozen model of timm with choice of bands and normalisation inside.

    Without ``load`` its weights are random.
    """

    def __init__(self, settings: TimmSettings) -> None:
        super().__init__()
        self.settings = settings
        channels = len(settings.reads)
        self.model = create_timm(settings.model, channels, settings.seed).eval()
        self.layer, self.side = layer_info(self.model, settings.model, settings.layer)
        self.stride = whole_stride(self.side, settings.enlarge)
        known = self.model.pretrained_cfg
        self.input = BandInput(settings, known.get("mean"), known.get("std"))
        self.bands = self.input.needed
        largest = max(round(info["reduction"]) for info in self.model.feature_info)
        self.dim = probed(
            lambda image: feature_maps(self.model, image, self.layer),
            settings.model,
            channels,
            self.side,
            largest,
        )
        self.requires_grad_(False)

    def load(self, state: dict[str, Tensor], source: str) -> None:
        """Load a state dict in timm's names or those of the model's authors; see ``load_whole``."""
        load_whole(self.model, state, self.settings.model, source, converters(self.model))

    def encode(self, image: Tensor) -> Tensor:
        """Encode (B, bands or more, H, W) to tokens (B, D, H / stride, W / stride)."""
        image = enlarged(image[:, : self.bands], self.stride, self.side)
        return feature_maps(self.model, self.input(image), self.layer)


def whole_stride(side: int, enlarge: float) -> int:
    """Return how many pixels of the image a cell covers.

    Args:
        side: of a cell, in pixels of what the model sees.
        enlarge: factor between the image and that.

    Raises:
        ConfigError: it is no whole number.
    """
    stride = side / enlarge
    if stride != round(stride):
        raise ConfigError(
            f"backbone.enlarge={enlarge} makes a patch of {side} px cover {stride:g} image pixels; "
            "choose a factor that gives a whole number."
        )
    return round(stride)


def enlarged(image: Tensor, stride: int, side: int) -> Tensor:
    """Enlarge (B, C, H, W) bicubically so that a cell of ``stride`` px has ``side`` px."""
    if side == stride:
        return image
    size = [length // stride * side for length in image.shape[2:]]
    return F.interpolate(image, size=size, mode="bicubic", align_corners=False)
