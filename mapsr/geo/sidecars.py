"""Files beside a map: those that GDAL and QGIS look for, and what an older raster left there."""

import logging
from pathlib import Path

from mapsr.errors import RasterError
from mapsr.geo.sources import side_files
from mapsr.geo.styles import is_ours, write_attribute_table, write_qgis_style
from mapsr.legends import Legend

logger = logging.getLogger(__name__)


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
    style = path.with_suffix(".qml")
    if style.exists() and not (overwrite or is_ours(style)):
        logger.warning("%s is not ours and stays: set overwrite=true to replace it", style)
        return
    write_qgis_style(path, legend)


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
