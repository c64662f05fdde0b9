"""What every method promises: to be fitted on scenes once, to be kept, and to score any chip."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from mapsr.data import Chip, ChipSequence, Scene, SceneSource, cut_scenes
from mapsr.errors import ConfigError
from mapsr.legends import Crosswalk
from mapsr.methods.extractor import FeatureExtractor
from mapsr.progress import Progress, Quiet
from mapsr.settings import Plain

# so that scenes are drawn from other random numbers than what a method draws
_SCENES = 5


@dataclass(frozen=True)
class ImageFacts:
    """What images a fitted method wants.

    Attributes:
        scale: raw value that becomes 1.
        bands: how many leading bands are read; None: not known, as many as there are.
        dtype: NumPy's name of the values' type; None: not known.
    """

    scale: float
    bands: int | None
    dtype: str | None


def _unseen(step: int, values: Mapping[str, float]) -> None:
    """Leave the numbers of a training to nobody."""


@dataclass(frozen=True)
class Task:
    """What a method is fitted on.

    Attributes:
        source: reads chips of the scenes.
        scenes: to fit on; none of them is scored unless the run is transductive.
        coarse: from the coarse product to the target classes.
        image: facts of the images.
        chip: side in pixels of the chips that scenes are cut into.
        folder: for what a training keeps until it is done; the same task finds it again there.
        seed: of every random choice.
        progress: shows long work.
        on_step: ``on_step(step, values)`` takes the numbers of a training as they come.
        soft: name or file of the soft crosswalk beside ``coarse``.
        whole: scenes are cut into chips of full size alone; see ``cut_scenes``.
        start: what an earlier fit of the same method came to, for methods that train a network to
            go on from; None: from the beginning.
    """

    source: SceneSource
    scenes: tuple[Scene, ...]
    coarse: Crosswalk
    image: ImageFacts
    chip: int
    folder: Path
    seed: int = 0
    progress: Progress = field(default_factory=Quiet)
    on_step: Callable[[int, Mapping[str, float]], None] = _unseen
    soft: str = "definition"
    whole: bool = False
    start: "State | None" = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the C target classes."""
        return self.coarse.target.names

    def chips(self, most: int | None, scenes: Sequence[Scene] | None = None) -> ChipSequence:
        """Chips of scenes without overlap, each read when it is asked for.

        Args:
            most: how many there are at the most, drawn evenly; None: all.
            scenes: that are cut; None: all of the task's.
        """
        wanted = self.scenes if scenes is None else scenes
        return cut_scenes(self.source, wanted, self.chip, most, whole=self.whole)

    def drawn(self, count: int | None) -> tuple[Scene, ...]:
        """So many of the scenes, drawn by the seed, in their order; None: all."""
        if count is None or count >= len(self.scenes):
            return self.scenes
        order = np.random.default_rng((_SCENES, self.seed)).permutation(len(self.scenes))
        return tuple(self.scenes[number] for number in sorted(order[:count]))


@dataclass(frozen=True)
class State:
    """What a fit came to, as a file can hold it.

    Attributes:
        tensors: by name, on the CPU.
        facts: what else it takes to score, ready for JSON.
    """

    tensors: Mapping[str, Tensor]
    facts: Plain = field(default_factory=dict)


class Method(ABC):
    """A way from images and labels to scores of the target classes."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the scores that ``score`` can give; the first are the map's."""
        return ("map",)

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Target class of each channel of the map's scores, 255 for none; None: a class each.

        Where several channels stand for one class, scores are averaged over windows channel by
        channel, and the class is that of the largest mean.
        """
        return None

    @property
    @abstractmethod
    def trained_parameters(self) -> int:
        """How many parameters training changed."""

    @property
    def weights(self) -> dict[str, dict[str, str] | None]:
        """Name and SHA-256 of the published weights that each part began with; None: has none."""
        return {}

    @property
    def features_from(self) -> FeatureExtractor | None:
        """What gives it pixel features; None where it needs none."""
        return None

    @abstractmethod
    def fit(self, task: Task) -> None:
        """Fit the method.

        Raises:
            MapsrError: with one sentence on why it can't be fitted.
        """

    @abstractmethod
    def score(self, chips: Sequence[Chip], layers: Sequence[str] = ("map",)) -> dict[str, Tensor]:
        """Score chips of one size, in whatever thread.

        Args:
            chips: to be scored.
            layers: which scores are wanted.

        Returns:
            For each layer (B, C, H, W) float32 scores on the CPU or the method's device: the class
            of the largest is the pixel's, and means of them where windows overlap are meaningful.
            The map's have ``channels`` in place of classes where there are any.
        """

    @abstractmethod
    def state(self) -> State:
        """What was fitted, to be kept.

        Raises:
            MapsrError: nothing is fitted yet.
        """

    @abstractmethod
    def load(self, state: State) -> None:
        """Take what was fitted before, in place of a fit.

        Raises:
            MapsrError: it is not whole, or does not fit the method.
        """

    def settle(self) -> None:
        """Give up what only a fit needs, once what was fitted is kept."""
        return None

    def facts(self) -> Plain:
        """What the run's record says of the fit, ready for JSON."""
        return {}

    def stand_in(self, coarse: Crosswalk, image: ImageFacts) -> None:
        """Take arbitrary values in place of a fit, so that scoring costs what it will cost.

        Raises:
            ConfigError: the method has no such values.
        """
        raise ConfigError(
            f"{type(self).__name__} can't be measured before it is fitted: give fitted=RUN."
        )

    def work(self, chips: int) -> "FitWork":
        """How much work a fit on so many chips is."""
        return FitWork()


@dataclass(frozen=True)
class FitWork:
    """How much work a fit is.

    Attributes:
        chips: how many chips it sees.
        passes: how often it needs the features of each; None: not known.
        memory_mib: what it keeps meanwhile, besides features and what a chip takes.
        words: what is fitted, a word or more for people.
    """

    chips: int = 0
    passes: int | None = None
    memory_mib: float = 0.0
    words: str = "the method"
