"""What every method promises: to be fitted on scenes once, then to score any chip."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mapsr.data import Chip, Scene, SceneSource
from mapsr.legends import Crosswalk
from mapsr.progress import Progress, Quiet, Watch, unwatched


def _unseen(step: int, values: Mapping[str, float]) -> None:
    """Leave a training's numbers to nobody."""


@dataclass(frozen=True)
class Task:
    """What a method is fitted on, and with.

    Attributes:
        source: reads chips of the scenes.
        scenes: to fit on; none of them is scored unless the run is transductive.
        coarse: from the coarse product to the target classes.
        cut: ``cut(scenes, most)`` gives chips of scenes without overlap, ``most`` at the most,
            drawn evenly, or all with None; a chip is read when it is asked for.
        bands: how many bands the images have.
        folder: for what a training keeps until it is done; the same task finds it again there.
        device: where the work is done.
        precision: Lightning's name of the precision of a training.
        seed: of every random choice.
        progress: shows long work.
        watch: times the stages.
        seen: ``seen(step, values)`` takes the numbers of a training as they come.
        settings: what applying the method elsewhere must know, as plain containers: groups of the
            configuration, and "image", the scale, bands and data type of the images.
    """

    source: SceneSource
    scenes: tuple[Scene, ...]
    coarse: Crosswalk
    cut: Callable[[Sequence[Scene], int | None], Sequence[Chip]]
    bands: int
    folder: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "32-true"
    seed: int = 0
    progress: Progress = field(default_factory=Quiet)
    watch: Watch = unwatched
    seen: Callable[[int, Mapping[str, float]], None] = _unseen
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the C target classes."""
        return self.coarse.target.names


class Method(ABC):
    """A way from images and labels to scores of the target classes."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the scores that ``score`` gives; the first are the map's."""
        return ("map",)

    @property
    @abstractmethod
    def trained_parameters(self) -> int:
        """How many numbers training changed."""

    @property
    def weights(self) -> list[dict[str, str]]:
        """Name and SHA-256 of each file of published weights that the method began with."""
        return []

    @abstractmethod
    def fit(self, task: Task) -> None:
        """Fit the method.

        Raises:
            MapsrError: with one sentence on why it can't be fitted.
        """

    @abstractmethod
    def score(self, chips: Sequence[Chip]) -> dict[str, Tensor]:
        """Score chips of one size, in whatever thread.

        Returns:
            For each layer (B, C, H, W) float32 scores on the CPU or the method's device: the class
            of the largest is the pixel's, and means of them where windows overlap are meaningful.
        """

    def facts(self) -> dict[str, object]:
        """What the run's record says of the fit, ready for JSON."""
        return {}

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Keep in a run folder what was fitted."""
