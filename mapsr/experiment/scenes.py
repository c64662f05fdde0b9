"""The scenes of an experiment, and what may be fitted on."""

import logging
from pathlib import Path

from mapsr.data import Scenes, SceneSource
from mapsr.errors import DataError, RasterError
from mapsr.experiment.leaks import check_ground, check_products
from mapsr.experiment.settings import RunSettings
from mapsr.geo import ImageInfo, band_count, image_info
from mapsr.geo.examination import look
from mapsr.legends import Legends

logger = logging.getLogger(__name__)

_CLIPPED = 0.5
"""Share of an image's values above the scale from which on the scale can't be meant."""


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


def check_scenes(source: SceneSource, scenes: Scenes) -> None:
    """Refuse scenes that can't be read, or don't fit each other, before long work begins.

    Raises:
        RasterError: a file can't be read, or an image has fewer bands than those to fit on.
        DataError: labels do not overlap their image.
    """
    first = image_info(scenes.fit[0].image)
    bands = source.bands or first.bands
    _check_scale(first, bands, source.image_scale)
    for scene in dict.fromkeys((*scenes.fit, *scenes.score)):
        source.check(scene)
        if (count := band_count(scene.image)) < bands:
            raise RasterError(
                f"{scene.image} has {count} band(s), the images to fit on {bands}: expected at "
                f"least as many; set data.bands={count} to read as many of all."
            )
    logger.info("%d scene(s) to fit on, %d to map", len(scenes.fit), len(scenes.score))


def _check_scale(image: ImageInfo, bands: int, scale: float) -> None:
    """Refuse a scale that would make most of an image white.

    Raises:
        DataError: more than half of the values looked at are beyond it.
    """
    if image.dtype == "uint8" or image.bands < bands:
        return
    values = look(image.path, bands).values
    if values.size and float((values > scale).mean()) > _CLIPPED:
        raise DataError(
            f"Most {image.dtype} values of {image.path} are above data.scale={scale:g}, which "
            "becomes 1: set data.scale=10000 for reflectance in ten-thousandths, or what the "
            "product's documentation says."
        )
