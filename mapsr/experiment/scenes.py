"""The scenes of an experiment, and what may be fitted on."""

from pathlib import Path

from mapsr.data import Scenes, SceneSource
from mapsr.experiment.leaks import check_ground, check_products
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
        DataError: ground is both fitted on and scored where the settings forbid it, or the truth is
            given as a product.
        RasterError: a file can't be read.
    """
    scenes = found or settings.data.find(folder)
    assert scenes is not None, "there is a folder for them"
    check_ground(scenes, truth=settings.learns_from_truth, transductive=settings.transductive)
    check_products(scenes)
    return scenes
