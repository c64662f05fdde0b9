"""The scenes of an experiment, and what may be fitted on."""

from pathlib import Path

from mapsr.data import Scenes, SceneSource
from mapsr.errors import DataError
from mapsr.experiment.settings import RunSettings
from mapsr.legends import Legends


def source_of(settings: RunSettings, legends: Legends) -> SceneSource:
    """Make the reader of a run's scenes."""
    data = settings.data
    return SceneSource(data.scale, legends.coarse, legends.truth, data.bands, legends.agree)


def legends_of(settings: RunSettings) -> Legends:
    """Load the legends of a run.

    Raises:
        LegendError: as ``Legends.load``.
    """
    return Legends.load(settings.legend, settings.data.agree)


def scenes_of(settings: RunSettings, folder: Path, found: Scenes | None = None) -> Scenes:
    """Find the scenes, or draw them.

    Args:
        settings: of the run.
        folder: for scenes that are drawn and have no place of their own.
        found: the scenes, where they were found already.

    Raises:
        DataError: a scene is both fitted on and scored where the settings forbid it.
    """
    scenes = found or settings.data.find(folder)
    assert scenes is not None, "there is a folder for them"
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


def _first(paths: set[Path]) -> str:
    more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
    return f"{min(paths)}{more}"
