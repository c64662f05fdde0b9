"""Files beside a map: those that GDAL and QGIS look for, and what an older raster left there."""

import logging
from pathlib import Path

import numpy as np

from mapsr.errors import RasterError
from mapsr.geo.grids import read_grid
from mapsr.geo.sources import side_files
from mapsr.geo.styles import (
    Ramp,
    is_ours,
    write_attribute_table,
    write_qgis_ramp,
    write_qgis_style,
)
from mapsr.geo.thinning import read_thinned
from mapsr.legends import Legend

logger = logging.getLogger(__name__)

_LOOKED_PX = 512


def write_sidecars(path: Path, legend: Legend, *, overwrite: bool = False) -> None:
    """Write what GDAL and QGIS look for beside a label map: ``PATH.aux.xml`` and a ``.qml``.

    Side files of an older raster go (see ``clear_sidecars``). A style that somebody else made stays
    unless ``overwrite`` is set: the map is as right with it.

    Args:
        path: the label map.
        legend: its classes; a pixel holds the index of a class.
        overwrite: whether side files of others may be replaced.

    Raises:
        RasterError: see ``clear_sidecars``.
    """
    clear_sidecars(path, overwrite=overwrite)
    write_attribute_table(path, legend)
    if _may_style(path, overwrite):
        write_qgis_style(path, legend)


def write_ramp(
    path: Path, ramp: Ramp, ends: tuple[float, float] | None, *, overwrite: bool = False
) -> None:
    """Write a ``.qml`` beside a raster of numbers that is there.

    A style that somebody else made stays unless ``overwrite`` is set.

    Args:
        path: the raster.
        ramp: its colours.
        ends: values of the first and the last colour; None: those between which the middle 98 % of
            the pixels lie, as some hundred rows and columns show them.
        overwrite: whether a style of others may be replaced.

    Raises:
        RasterError: the raster can't be read.
    """
    if _may_style(path, overwrite):
        write_qgis_ramp(path, ramp, *(ends or _middle(path)))


def _may_style(path: Path, overwrite: bool) -> bool:
    style = path.with_suffix(".qml")
    if style.exists() and not (overwrite or is_ours(style)):
        logger.warning("%s is not ours and stays: set overwrite=true to replace it", style)
        return False
    return True


def _middle(path: Path) -> tuple[float, float]:
    """Values between which the middle 98 % of a raster's pixels lie; (0, 1) where there are none.

    Memory: a picture of at most ``_LOOKED_PX`` pixels a side.
    """
    grid = read_grid(path)
    size = min(grid.height, _LOOKED_PX), min(grid.width, _LOOKED_PX)
    values = read_thinned(path, size)[0][0].astype(np.float64)
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = map(float, np.percentile(known, (1, 99)))
    return low, high if high > low else low + 1


def clear_sidecars(path: Path, *, overwrite: bool) -> None:
    """Remove side files that would change what a new raster at ``path`` means.

    Those are masks, overviews, world files and metadata that GDAL reads with a raster of that name;
    a style is not one of them. Ours are removed in any case. To be called before a raster takes its
    name, and, so that no work is in vain, before the work begins.

    Args:
        path: the raster that will be written.
        overwrite: whether those of others are removed, too.

    Raises:
        RasterError: there are some that are not ours, and ``overwrite`` is not set.
    """
    found = side_files(path)
    foreign = [file for file in found if not is_ours(file)]
    if foreign and not overwrite:
        raise RasterError(
            f"{', '.join(map(str, foreign))} would be read with {path} and change what it means: "
            "remove it, choose another name, or set overwrite=true."
        )
    for file in found:
        file.unlink(missing_ok=True)
