"""The interface of all networks, and how one is built."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapsr.errors import ConfigError, require_choice, require_range
from mapsr.seeds import seeded
from mapsr.weights import load_state, resolve

STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # red, green, blue of ImageNet, on which the encoders were pretrained
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # red, green, blue, near infrared of NAIP, as Paraformer's code has them for 0 to 255
    "naip": (
        (117.67 / 255, 130.39 / 255, 121.52 / 255, 162.92 / 255),
        (39.25 / 255, 37.82 / 255, 24.24 / 255, 60.03 / 255),
    ),
}
"""Name -> mean and standard deviation of each band of images in [0, 1]."""
MAP = "map"
"""Name of the logits that a network's map is made of; they come first."""


class SegmentationNetwork(nn.Module, ABC):
    """A network from images to class logits, with its input normalisation inside.

    Attributes:
        bands: how many leading bands of the image the network reads.
        classes: C, number of logits per pixel.
        stride: images are padded to a multiple of it, in pixels, and the logits cropped back.
        extra_logits: names of the logits that follow the map's while the network is training, in
            their order; a loss asks for them by name.
        weights: name and SHA-256 of the encoder's pretrained weights, None for a random start.
    """

    stride: int = 1
    extra_logits: tuple[str, ...] = ()
    weights: dict[str, str] | None = None
    mean: Tensor
    std: Tensor

    def __init__(self, bands: int, classes: int, statistics: str) -> None:
        """Check bands and classes.

        Args:
            bands: at least 1.
            classes: at least 1.
            statistics: a key of ``STATISTICS``.

        Raises:
            ConfigError: bands or classes are below 1.
            ConfigError: the statistics are unknown, or have fewer bands than the network.
        """
        super().__init__()
        require_range(bands, "bands", low=1)
        require_range(classes, "classes", low=1)
        require_choice(statistics, STATISTICS, "network.statistics")
        mean, std = STATISTICS[statistics]
        if bands > len(mean):
            fitting = ", ".join(k for k, v in STATISTICS.items() if len(v[0]) >= bands)
            raise ConfigError(
                f"network.statistics '{statistics}' has {len(mean)} bands, but the network reads "
                f"{bands}: choose {fitting or 'fewer bands'}."
            )
        self.bands = bands
        self.classes = classes
        for name, values in (("mean", mean), ("std", std)):
            buffer = torch.tensor(values[:bands]).view(1, -1, 1, 1)
            self.register_buffer(name, buffer, persistent=False)

    @property
    def trainable_parameters(self) -> int:
        """How many parameters training may change."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Classify each pixel.

        Args:
            image: (B, ``bands`` or more, H, W) float32 in [0, 1]; any H and W.

        Returns:
            Logits, (B, C, H, W) each: the map's, and in training those of ``extra_logits``.

        Raises:
            ConfigError: the image has too few bands.
        """
        bands, height, width = image.shape[1:]
        if bands < self.bands:
            raise ConfigError(
                f"The image has {bands} band(s), but this {type(self).__name__} was built for "
                f"{self.bands}: build it for fewer bands or use an image with more."
            )
        image = (image[:, : self.bands] - self.mean) / self.std
        padding = (0, -width % self.stride, 0, -height % self.stride)
        if any(padding):  # replicated: a reflection can't be wider than the image
            image = F.pad(image, padding, mode="replicate")
        return tuple(logits[..., :height, :width] for logits in self.logits(image))

    @abstractmethod
    def logits(self, image: Tensor) -> Sequence[Tensor]:
        """Classify normalised images whose sides are multiples of ``stride``."""


class NetworkSettings(Protocol):
    """What each choice of the group ``network`` offers."""

    def build(
        self, bands: int, classes: int, weights_folder: str | None = None, seed: int = 0
    ) -> SegmentationNetwork:
        """Build the network.

        Args:
            bands: how many leading bands of the images it reads.
            classes: C, number of logits per pixel.
            weights_folder: where to look for the encoder's weights first.
            seed: of all randomly initialised parameters.
        """
        ...


class Start(Protocol):
    """The settings that say how an encoder is initialised."""

    @property
    def pretrained(self) -> bool:
        """Whether it starts from pretrained weights rather than random ones."""
        ...

    @property
    def weights(self) -> str:
        """Name in mapsr's weight registry."""
        ...

    @property
    def checkpoint(self) -> str | None:
        """Path of a weight file to use instead of the registry's."""
        ...


class Loadable(Protocol):
    """A part of a network that can load pretrained weights."""

    def load(self, state: dict[str, Tensor], source: str) -> None:
        """Load a state dict, which an error calls ``source``."""
        ...


class EncoderNetwork(Protocol):
    """A network with an encoder for which pretrained weights exist."""

    weights: dict[str, str] | None

    @property
    def encoder(self) -> Loadable:
        """The encoder."""
        ...


Network = TypeVar("Network", bound=EncoderNetwork)


def assemble(
    make: Callable[[], Network], start: Start, weights_folder: str | None, seed: int
) -> Network:
    """Make a network and initialise its encoder as the settings say.

    Args:
        make: returns the network with random weights.
        start: what the encoder starts from.
        weights_folder: where to look for weights first.
        seed: of the random weights.

    Raises:
        WeightsError: the weights are absent, damaged or of another architecture.
    """
    # first of all: they may be absent, and making the network takes seconds
    found = resolve(start.weights, start.checkpoint, weights_folder) if start.pretrained else None
    with seeded(seed):
        network = make()
    if found is not None:
        network.encoder.load(load_state(found.path), str(found.path))
        network.weights = {"name": found.name, "sha256": found.sha256}
    return network
