"""Networks of segmentation_models_pytorch behind one wrapper, their encoders from timm.

Any size of image, a batch of one and any number of bands work in all of them.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mapsr.checkpoints import check_start
from mapsr.errors import ConfigError, near_match, require_choice
from mapsr.extras import require_extra
from mapsr.networks.backbone import load_exactly, repeat_bands
from mapsr.networks.network import SegmentationNetwork
from mapsr.seeds import seeded
from mapsr.settings import choice
from mapsr.weights import load_state, resolve

ARCHITECTURES = ("unet", "pspnet", "deeplabv3plus", "dpt", "upernet", "segformer", "fpn")
_GROUPS = 32
_HEADS = ("fc.", "head.", "classifier.", "norm.")
_NON_COMMERCIAL = "mit_"
"""Encoders whose code in the package is under a licence for research alone."""


@choice("network", "smp")
@dataclass(frozen=True)
class SmpSettings:
    """An architecture of segmentation_models_pytorch.

    Raises:
        ConfigError: there is no such architecture, the licence of the encoder is not accepted, or
            there is a checkpoint, but pretrained is false.
    """

    architecture: str = "unet"
    """"unet", "pspnet", "deeplabv3plus", "dpt" (for a ViT), "upernet" (for a Swin), "segformer" or
    "fpn"."""
    encoder: str = "resnet34"
    """The package's name of an encoder; tu-NAME is timm's NAME. Smaller ones are faster: resnet18,
    tu-pvt_v2_b0, tu-vit_tiny_patch16_224."""
    non_commercial: bool = False
    """Accept the licence of mit_b0 to mit_b5, SegFormer's own encoders: the NVIDIA Source Code
    License, for research alone, though the package as a whole is under MIT."""
    weights: str = "resnet18_swsl"
    """Name of the encoder's pretrained weights in `mapsr weights list`: of a resnet18; vit_tiny and
    vit_base_in21k are of ViTs."""
    checkpoint: str | None = None
    """Path of a weight file in timm's names to use instead."""
    pretrained: bool = False
    """Whether the encoder starts from these weights; false starts from random ones."""
    statistics: str = "imagenet"
    """Mean and standard deviation that normalise the bands: "imagenet" (RGB) or "naip" (up to four
    bands)."""

    def __post_init__(self) -> None:
        require_choice(self.architecture, ARCHITECTURES, "network.architecture")
        check_start(self, "network")
        if self.encoder.startswith(_NON_COMMERCIAL) and not self.non_commercial:
            raise ConfigError(
                f"network.encoder is '{self.encoder}', whose licence allows research alone: choose "
                "tu-pvt_v2_b2, or accept it with network.non_commercial=true."
            )

    def build(
        self, bands: int, classes: int, weights_folder: str | None = None, seed: int = 0
    ) -> "SmpNetwork":
        """Build the network, its encoder with pretrained weights where asked for.

        Raises:
            ConfigError: the package is not installed, or can't build the network so.
            ConfigError: the statistics have fewer bands.
            WeightsError: the weights are absent, damaged or of another architecture.
        """
        found = None
        if self.pretrained:
            found = resolve(self.weights, self.checkpoint, weights_folder)
        with seeded(seed):
            network = SmpNetwork(self, bands, classes)
        if found is not None:
            network.load_encoder(load_state(found.path), str(found.path))
            network.weights = {"name": found.name, "sha256": found.sha256}
        return network


class SmpNetwork(SegmentationNetwork):
    """A network of the package, whose parts are below ``model``."""

    stride = 32

    def __init__(self, settings: SmpSettings, bands: int, classes: int) -> None:
        super().__init__(bands, classes, settings.statistics)
        self.settings = settings
        self.model = _make(settings, bands, classes)
        _normalise_pooled(self.model.decoder)

    @property
    def encoder(self) -> nn.Module:
        """The encoder, whose learning rate and batch norms a recipe may treat apart."""
        encoder: nn.Module = self.model.encoder
        return encoder

    def load_encoder(self, state: dict[str, Tensor], source: str) -> None:
        """Load timm's state dict of the encoder.

        Args:
            state: timm's state dict, with or without a classifier.
            source: what an error calls it.

        Raises:
            WeightsError: a key or a shape does not belong to this encoder.
        """
        body = self.encoder
        while isinstance(inner := getattr(body, "model", None), nn.Module):
            body = inner  # timm's model, below what gives its features
        own = body.state_dict()
        ours = {_own_name(key, own): value for key, value in state.items()}
        for key, value in ours.items():
            if key in own and value.dim() == 4 and value.shape[1] == 3 != own[key].shape[1]:
                ours[key] = repeat_bands(value, own[key].shape[1])
        load_exactly(body, ours, f"network.encoder '{self.settings.encoder}'", source, _HEADS)

    def logits(self, image: Tensor) -> list[Tensor]:
        """Logits of the map."""
        return [self.model(image)]


def _make(settings: SmpSettings, bands: int, classes: int) -> Any:  # noqa: ANN401 - untyped package
    """Make the package's model with random weights."""
    require_extra("segmentation_models_pytorch", "This network")
    import segmentation_models_pytorch as smp

    options: dict[str, Any] = {}
    if settings.architecture == "dpt":
        options["dynamic_img_size"] = True  # else 224 px alone
    if "swin" in settings.encoder:
        options |= {"img_size": 256, "strict_img_size": False}  # likewise
    try:
        return smp.create_model(
            settings.architecture,
            encoder_name=settings.encoder,
            encoder_weights=None,
            in_channels=bands,
            classes=classes,
            **options,
        )
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError, AssertionError) as error:
        known = [*smp.encoders.get_encoder_names()]
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ConfigError(
            f"network.encoder '{settings.encoder}' can't be built into network.architecture "
            f"'{settings.architecture}' ({reason}): choose another one, such as resnet34."
            f"{near_match(settings.encoder, known)}"
        ) from error


def _normalise_pooled(model: nn.Module) -> None:
    """Replace batch norms behind a pooling to one pixel: with a batch of one they can't train."""
    for module in list(model.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        if not any(isinstance(part, nn.AdaptiveAvgPool2d) and _single(part) for part in module):
            continue
        for owner in list(module.modules()):
            for name, part in list(owner.named_children()):
                if isinstance(part, nn.BatchNorm2d):
                    setattr(owner, name, nn.GroupNorm(_GROUPS, part.num_features))


def _single(pool: nn.AdaptiveAvgPool2d) -> bool:
    return pool.output_size in (1, (1, 1))


def _own_name(key: str, own: dict[str, Tensor]) -> str:
    """The encoder's name of an entry: timm joins the names of stages by "_" for features."""
    if key in own:
        return key
    first, _, rest = key.partition(".")
    joined = f"{first}_{rest}"
    return joined if joined in own else key
