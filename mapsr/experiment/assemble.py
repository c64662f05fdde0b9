"""From settings to the objects of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from mapsr.data import Chip, Scene, Scenes, SceneSource, find_scenes
from mapsr.data.synthetic import SyntheticSettings, make_scenes
from mapsr.errors import DataError
from mapsr.experiment.settings import LegendSettings, RunSettings
from mapsr.geo import Window
from mapsr.legends import Crosswalk, Legend, load_crosswalk, load_legend
from mapsr.mapping import WindowSettings, cover
from mapsr.prompts import TruthPromptSettings


@dataclass(frozen=True)
class Legends:
    """The target legend and the ways to it."""

    target: Legend
    coarse: Crosswalk
    truth: Crosswalk

    @staticmethod
    def load(settings: LegendSettings) -> "Legends":
        """Load and check them.

        Raises:
            LegendError: an unknown name, a legend or crosswalk that is not whole, or a class of
                the target that no class of the coarse product stands for.
        """
        target = load_legend(settings.target)
        coarse = load_crosswalk(
            settings.crosswalk, load_legend(settings.coarse), target, complete=True
        )
        truth = load_crosswalk(settings.crosswalk, load_legend(settings.truth), target)
        return Legends(target, coarse, truth)


class ChipSequence(Sequence[Chip]):
    """Chips of scenes, read when they are asked for."""

    def __init__(self, source: SceneSource, places: Sequence[tuple[Scene, Window]]) -> None:
        self.source = source
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Chip: ...
    @overload
    def __getitem__(self, index: slice) -> "ChipSequence": ...
    def __getitem__(self, index: int | slice) -> "Chip | ChipSequence":
        if isinstance(index, slice):
            return ChipSequence(self.source, self.places[index])
        return self.source.read(*self.places[index])


def scenes_of(settings: RunSettings, folder: Path) -> Scenes:
    """Find the scenes, or draw them.

    Args:
        settings: of the run.
        folder: for scenes that are drawn and have no place of their own.

    Raises:
        DataError: a scene is both fitted on and scored where the settings forbid it.
    """
    if isinstance(settings.data, SyntheticSettings):
        root = settings.data.root
        scenes = make_scenes(settings.data, Path(root) if root else folder)
    else:
        scenes = find_scenes(settings.data)
    # resolved, so that a link or another spelling of a path does not hide a leak
    fitted, scored = ({one.image.resolve() for one in part} for part in (scenes.fit, scenes.score))
    both = fitted & scored
    if both and isinstance(settings.prompts, TruthPromptSettings):
        raise DataError(
            f"{_first(both)} would give its truth to the prompts and be scored with it: choose "
            "data.fit and data.score without common scenes."
        )
    if both and not settings.transductive:
        raise DataError(
            f"{_first(both)} is both fitted on and scored: set transductive=true to use the coarse "
            "labels of scored scenes, or choose data.fit and data.score without common scenes."
        )
    return scenes


def fit_chips(
    source: SceneSource, scenes: Sequence[Scene], windows: WindowSettings, most: int | None
) -> ChipSequence:
    """Cut scenes into chips without overlap, and keep at most ``most``, drawn evenly."""
    plain = WindowSettings(windows.chip, 0)
    places = []
    for scene in scenes:
        grid = source.grid(scene)
        for row in cover(grid.height, grid.width, plain):
            places += [(scene, window) for window in row]
    if most is not None and len(places) > most:
        places = [places[index * len(places) // most] for index in range(most)]
    return ChipSequence(source, places)


def _first(paths: set[Path]) -> str:
    more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
    return f"{min(paths)}{more}"
