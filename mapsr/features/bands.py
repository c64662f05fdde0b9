"""Which bands of an image an encoder reads, in which order and scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mapsr.errors import ConfigError, near_match

RGB = ("red", "green", "blue")
"""The bands of an ordinary image, and of what most encoders were trained on."""
WAVELENGTHS_UM = {
    "coastal": 0.443,
    "blue": 0.49,
    "green": 0.56,
    "red": 0.665,
    "rededge1": 0.705,
    "rededge2": 0.74,
    "rededge3": 0.783,
    "nir": 0.842,
    "nir08": 0.865,
    "nir09": 0.945,
    "swir16": 1.61,
    "swir22": 2.19,
}
"""Central wavelength of each band by its name, in micrometres: those of Sentinel-2, with which the
encoders that ask for wavelengths were trained. Source: ESA, Sentinel-2 MSI spectral responses."""


@dataclass(frozen=True)
class BandSettings:
    """The bands of the image by name, and those that the encoder reads.

    Raises:
        ConfigError: a band is named twice, or read although the image has none of that name.
        ConfigError: the means or standard deviations are not one a band, or not above 0.
    """

    bands: tuple[str, ...] = RGB
    """Names of the image's leading bands, in the order of the file: [nir, red, green] for
    colour-infrared images. Bands after them are not read."""
    reads: tuple[str, ...] = RGB
    """Which of them the model takes, in the model's order. Their number is that of its channels."""
    mean: tuple[float, ...] | None = None
    """Mean of each band that is read, for an image in [0, 1], in the order of backbone.reads; null:
    those that the model was trained with, channel by channel."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each band that is read, as backbone.mean."""

    def __post_init__(self) -> None:
        for name in ("bands", "reads"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            _check_names(getattr(self, name), f"backbone.{name}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, tuple(map(float, values)))
                self._check_numbers(name)
        for band in self.reads:
            if band not in self.bands:
                raise ConfigError(
                    f"backbone.reads has '{band}', but backbone.bands names "
                    f"{', '.join(self.bands)}: name the bands of the image in its order, or choose "
                    f"an encoder that reads fewer.{near_match(band, self.bands)}"
                )

    def _check_numbers(self, name: str) -> None:
        values = getattr(self, name)
        wrong = [one for one in values if not math.isfinite(one) or (name == "std" and one <= 0)]
        if wrong or len(values) != len(self.reads):
            kind = "number above 0" if name == "std" else "number"
            raise ConfigError(
                f"backbone.{name} is {list(values)}, expected one {kind} for each of the "
                f"{len(self.reads)} bands of backbone.reads ({', '.join(self.reads)})."
            )


class BandInput(nn.Module):
    """Picks the bands that an encoder reads, in its order, and brings them to its scale.

    Attributes:
        needed: how many leading bands of the image that takes.
    """

    places: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self, settings: BandSettings, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> None:
        """Set up the order and the scale.

        Args:
            settings: of the bands.
            mean: of each channel as the model was trained, where the settings give none; None: not
                known.
            std: standard deviation, likewise.

        Raises:
            ConfigError: neither gives one number for each band.
        """
        super().__init__()
        places = [settings.bands.index(band) for band in settings.reads]
        self.needed = max(places) + 1
        self.register_buffer("places", torch.tensor(places), persistent=False)
        for name, given, own in (("mean", settings.mean, mean), ("std", settings.std, std)):
            values = own if given is None else given
            if values is None or len(values) != len(places):
                known = "none" if values is None else f"{len(values)}"
                raise ConfigError(
                    f"backbone.{name} is unset, and the model knows {known} for the {len(places)} "
                    f"bands of backbone.reads: give backbone.{name}=[...], one number for each of "
                    f"{', '.join(settings.reads)}."
                )
            shaped = torch.tensor([float(one) for one in values]).view(1, -1, 1, 1)
            self.register_buffer(name, shaped, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Turn (B, bands or more, H, W) in [0, 1] into (B, channels of the model, H, W)."""
        return (image[:, self.places] - self.mean) / self.std


def _check_names(names: Sequence[str], key: str) -> None:
    if not names or len(set(names)) != len(names):
        raise ConfigError(
            f"{key} is [{', '.join(names)}], expected names of bands, each once, such as "
            "[red, green, blue]."
        )
