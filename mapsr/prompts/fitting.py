"""What a way of making class prompts gets, and what it gives."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from mapsr.legends import SoftCrosswalk
from mapsr.progress import Progress, Watch
from mapsr.prompts.probe import LinearProbe
from mapsr.prompts.prompts import ClassPrompts
from mapsr.settings import Plain
from mapsr.upsample import PixelFeatures

Batch = tuple[PixelFeatures, Tensor]
"""Features of B images, and int64 labels (B, H, W) on their plane, 255 for none."""


class Sample(NamedTuple):
    """Pixels drawn from chips.

    Attributes:
        features: (n, D) on the device.
        labels: (n,) int64.
        chips: (n,) int64 on the CPU, the number of the chip that each was drawn from.
    """

    features: Tensor
    labels: Tensor
    chips: Tensor


@dataclass(frozen=True)
class Unseen:
    """Pixels as seen by prompts that were fitted on other chips.

    Attributes:
        cosine: (n, C) to each prompt, -inf for a class that had none.
        products: (n,) int64, the product class of each.
    """

    cosine: Tensor
    products: Tensor


class Material(Protocol):
    """Features and labels of the chips that prompts are made from.

    Attributes:
        names: of the C target classes.
        table: target class of each class of the product, 255 for none.
        dim: length D of a feature.
        device: where features are.
        precision: Lightning's name of the precision of a training.
        seed: of every random choice.
        watch: times the stages.
        progress: shows long work.
    """

    names: tuple[str, ...]
    table: tuple[int, ...]
    dim: int
    device: torch.device
    precision: str
    seed: int
    watch: Watch
    progress: Progress

    def __len__(self) -> int:
        """How many chips there are."""
        ...

    @property
    def scenes(self) -> tuple[str, ...]:
        """Names of the scenes that the chips are of."""
        ...

    def of_scenes(self, count: int) -> "Material":
        """All chips of so many of the scenes to fit on, drawn by the seed."""
        ...

    @property
    def soft(self) -> SoftCrosswalk:
        """How much of each target class the product's classes hold.

        Raises:
            LegendError: there is no such table, or it is not whole.
        """
        ...

    def batches(self, labels: str, what: str) -> Iterator[Batch]:
        """Yield all chips in order, neighbouring ones of one size together.

        Args:
            labels: "target" for the classes that the coarse product stands for, "product" for its
                own, "shares" for those of its own that the soft crosswalk gives shares, "truth" for
                the target classes of the truth.
            what: the work that is shown.
        """
        ...

    def sample(self, pixels: int, labels: str) -> Sample:
        """Draw labelled pixels evenly from the chips; a draw depends on seed and chip alone.

        Args:
            pixels: how many in all, at the most.
            labels: as of ``batches``.

        Raises:
            PromptError: there is no labelled pixel.
        """
        ...


@dataclass(frozen=True)
class PromptFit:
    """What a way of making prompts came to.

    Attributes:
        prompts: one for each class that has any.
        probe: that was trained for them; None where none was.
        unseen: the pixels that prompts were fitted on, seen by others; None where that was not
            tried, or did not work.
        facts: what the record says of it, ready for JSON.
    """

    prompts: ClassPrompts
    probe: LinearProbe | None = None
    unseen: Unseen | None = None
    facts: Plain = field(default_factory=dict)


class PromptSettings(Protocol):
    """What each choice of the group ``prompts`` offers.

    Attributes:
        learns_from: the labels that it takes, "coarse" or "truth".
    """

    learns_from: ClassVar[str]

    @property
    def chips(self) -> int | None:
        """Most chips to fit on, drawn evenly from all; None: all."""
        ...

    @property
    def scenes(self) -> int | None:
        """How many of the scenes to fit on are taken, drawn by the seed; None: all."""
        ...

    @property
    def sampled(self) -> int:
        """Pixels whose features are held at once."""
        ...

    def fit(self, material: Material) -> PromptFit:
        """Make prompts.

        Raises:
            PromptError: no labelled pixel, or fewer than two classes have prompts.
        """
        ...
