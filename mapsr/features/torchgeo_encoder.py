"""Encoders that were trained on satellite and aerial images, through torchgeo."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mapsr.checkpoints import check_start
from mapsr.errors import ConfigError, near_match, require_range
from mapsr.extras import require_extra
from mapsr.features.bands import WAVELENGTHS_UM, BandInput, BandSettings
from mapsr.features.loading import LoadedEncoder, load_whole, started
from mapsr.features.timm_encoder import enlarged, whole_stride
from mapsr.features.timm_models import probed
from mapsr.features.torchgeo_models import create_torchgeo
from mapsr.settings import aside, choice


@choice("backbone", "torchgeo")
@dataclass(frozen=True)
class TorchgeoSettings(BandSettings):
    """A model of torchgeo: DOFA, Panopticon, or Swin v2 of SatlasPretrain.

    Raises:
        ConfigError: enlarge is not above 0.
        ConfigError: a checkpoint is named although pretrained is false.
        ConfigError: bands, reads, mean, std or wavelengths don't fit each other.
    """

    wavelengths: tuple[float, ...] | None = None
    """Central wavelength of each band that is read, in micrometres, in the order of backbone.reads;
    null: of Sentinel-2's band of that name (blue, green, red, nir, swir16 ...)."""
    model: str = "dofa_base_patch16_224"
    """torchgeo's name: dofa_{small,base,large}_patch16_224 and panopticon_vitb14 read any bands
    by wavelength, swin_v2_t and swin_v2_b (SatlasPretrain) those that they were trained on."""
    weights: str = "dofa_base"
    """Name in `mapsr weights list`."""
    checkpoint: str | None = None
    """Path of a weight file of one's own to use instead (safetensors, or torch.save of tensors)."""
    pretrained: bool = True
    """False: random weights, which serve as a baseline and for trials without any download."""
    seed: int = 0
    """Of the random weights; without a say otherwise."""
    layer: int = -1
    """Index of the block (DOFA, Panopticon) or stage (Swin: cells of 4, 8, 16, 32 px) whose output
    gives the tokens; -1 is the last."""
    enlarge: float = 1.0
    """Factor above 0 by which the image is enlarged (bicubic) before the encoder; the side of a
    cell divided by it must be a whole number. 2 takes at least four times the time and memory."""
    accept_licence: str | None = aside(None)
    """Word by which a licence is accepted that asks for it; none of the known weights does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self.enlarge, "backbone.enlarge", open_low=True)
        if self.wavelengths is not None:
            object.__setattr__(self, "wavelengths", tuple(map(float, self.wavelengths)))
        check_start(self, "backbone")
        self.known_wavelengths()

    def known_wavelengths(self) -> tuple[float, ...]:
        """Wavelength of each band that is read, in micrometres.

        Raises:
            ConfigError: it is not known, or not between 0.1 and 100 micrometres.
        """
        if self.wavelengths is None:
            for band in self.reads:
                if band not in WAVELENGTHS_UM:
                    raise ConfigError(
                        f"backbone.reads has '{band}', whose wavelength is not known, expected one "
                        f"of {', '.join(WAVELENGTHS_UM)}, or backbone.wavelengths=[...] in "
                        f"micrometres.{near_match(band, WAVELENGTHS_UM)}"
                    )
            return tuple(WAVELENGTHS_UM[band] for band in self.reads)
        fit = all(math.isfinite(one) and 0.1 <= one <= 100 for one in self.wavelengths)
        if not fit or len(self.wavelengths) != len(self.reads):
            raise ConfigError(
                f"backbone.wavelengths is {list(self.wavelengths)}, expected micrometres between "
                f"0.1 and 100, one for each of the {len(self.reads)} bands of backbone.reads."
            )
        return self.wavelengths

    def build(self, weights_folder: str | None = None) -> "TorchgeoEncoder":
        """Build the encoder with its weights.

        Raises:
            ConfigError: torchgeo is not installed, or a setting does not fit the model.
            WeightsError: the weights are absent, damaged or of another architecture.
        """
        # before the weights, which may be a download of a gigabyte
        require_extra("torchgeo", f"backbone.model '{self.model}'")
        return started(self, lambda: TorchgeoEncoder(self), weights_folder)


class TorchgeoEncoder(LoadedEncoder):
    """A frozen model of torchgeo with choice of bands and normalisation inside.

    Without ``load`` its weights are random.
    """

    libraries = ("torch", "timm", "torchvision", "torchgeo")

    def __init__(self, settings: TorchgeoSettings) -> None:
        super().__init__()
        self.settings = settings
        waves = torch.tensor(settings.known_wavelengths())
        self.model = create_torchgeo(settings.model, waves, settings.seed)
        sides = self.model.sides
        if not -len(sides) <= settings.layer < len(sides):
            raise ConfigError(
                f"backbone.layer is {settings.layer}, but {settings.model} has 0 to "
                f"{len(sides) - 1}."
            )
        self.layer = settings.layer % len(sides)
        self.stride = whole_stride(sides[self.layer], settings.enlarge)
        mean, std = self.model.statistics or (None, None)
        self.input = BandInput(settings, mean, std)
        self.bands = self.input.needed
        self.dim = probed(
            lambda image: self.model(image, self.layer),
            settings.model,
            len(waves),
            sides[self.layer],
            max(sides),
        )
        self.requires_grad_(False)

    def load(self, state: dict[str, Tensor], source: str) -> None:
        """Load a state dict of the authors or of torchgeo; see ``load_whole``."""
        load_whole(self.model.net, state, self.settings.model, source)

    def encode(self, image: Tensor) -> Tensor:
        """Encode (B, bands or more, H, W) to tokens (B, D, H / stride, W / stride)."""
        side = self.model.sides[self.layer]
        image = enlarged(image[:, : self.bands], self.stride, side)
        tokens: Tensor = self.model(self.input(image), self.layer)
        return tokens
