"""From settings to the objects of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from mapsr.data import Chip, Scene, Scenes, SceneSource, find_scenes
from mapsr.data.chesapeake import ChesapeakeSettings, find_chesapeake
from mapsr.data.geotiff import GeoTiffSettings
from mapsr.data.synthetic import SyntheticSettings, make_scenes
from mapsr.errors import DataError
from mapsr.experiment.settings import LegendSettings, RunSettings
from mapsr.geo import Window
from mapsr.legends import Crosswalk, Legend, load_crosswalk, load_legend
from mapsr.mapping import WindowSettings, cover


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

    def ways_from(self, names: Sequence[str], preset: str) -> tuple[Crosswalk, ...]:
        """The ways from further products, by their legends.

        Raises:
            LegendError: an unknown legend, or one that the crosswalk's preset does not know.
        """
        return tuple(load_crosswalk(preset, load_legend(name), self.target) for name in names)


def source_of(settings: RunSettings, legends: Legends) -> SceneSource:
    """Make the reader of a run's scenes.

    Raises:
        LegendError: a further product's legend is unknown to the crosswalk.
    """
    data = settings.data
    agree = data.agree if isinstance(data, GeoTiffSettings) else ()
    return SceneSource(
        data.scale,
        legends.coarse,
        legends.truth,
        None if isinstance(data, SyntheticSettings) else data.bands,
        legends.ways_from(agree, settings.legend.crosswalk),
    )


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


def find(settings: RunSettings) -> Scenes | None:
    """Find the scenes of a data set that lies on this machine; None: they are to be drawn.

    Raises:
        DataError: it is not there, or not whole.
    """
    if isinstance(settings.data, SyntheticSettings):
        return None
    return _found(settings.data)


def _found(data: GeoTiffSettings | ChesapeakeSettings) -> Scenes:
    return find_chesapeake(data) if isinstance(data, ChesapeakeSettings) else find_scenes(data)


def scenes_of(settings: RunSettings, folder: Path, found: Scenes | None = None) -> Scenes:
    """Find the scenes, or draw them.

    Args:
        settings: of the run.
        folder: for scenes that are drawn and have no place of their own.
        found: what ``find`` gave, where it was asked already.

    Raises:
        DataError: a scene is both fitted on and scored where the settings forbid it.
    """
    if isinstance(settings.data, SyntheticSettings):
        root = settings.data.root
        scenes = make_scenes(settings.data, Path(root) if root else folder)
    else:
        scenes = found or _found(settings.data)
    # resolved, so that a link or another spelling of a path does not hide a leak
    fitted, scored = ({one.image.resolve() for one in part} for part in (scenes.fit, scenes.score))
    both = fitted & scored
    if both and settings.learns_from_truth:
        raise DataError(
            f"{_first(both)} would give its truth to the method and be scored with it: choose "
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
