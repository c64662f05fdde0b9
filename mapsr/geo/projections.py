"""The database of reference systems that PROJ reads, and whose fault it is where it can't."""

import functools
import os

from rasterio.crs import CRS
from rasterio.errors import CRSError

from mapsr.errors import RasterError

_VARIABLES = ("PROJ_DATA", "PROJ_LIB")
"""Variables that lead PROJ away from the database that came with rasterio."""


def epsg(code: int) -> CRS:
    """Return the reference system of an EPSG code.

    Raises:
        RasterError: PROJ can't read its database, or does not know the code.
    """
    return _epsg(code, _named())


def require_projections() -> None:
    """Check that PROJ can read its database, before anything is projected wrongly or not at all.

    Raises:
        RasterError: it can't; the variable that leads it to another installation's is named.
    """
    epsg(4326)


@functools.cache
def _epsg(code: int, named: tuple[tuple[str, str], ...]) -> CRS:
    try:
        return CRS.from_epsg(code)
    except CRSError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        if named:
            (variable, folder), *_ = named
            raise RasterError(
                f"PROJ can't read its database of reference systems in {variable}={folder}, which "
                f"is of another installation ({reason}): unset {variable}, so that rasterio's own "
                "is read."
            ) from error
        raise RasterError(
            f"PROJ can't read its database of reference systems ({reason}): install rasterio from "
            "its wheels (pip install --force-reinstall rasterio)."
        ) from error


def _named() -> tuple[tuple[str, str], ...]:
    found = ((name, os.environ.get(name)) for name in _VARIABLES)
    return tuple((name, value) for name, value in found if value)
