"""Which files are opened, by which drivers of GDAL, and what a failure to read them means."""

import errno
import os
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError  # rasterio lets it through and has no public name for it
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from mapsr.errors import SYSTEM_HELP, RasterError
from mapsr.geo.network import network, refused
from mapsr.geo.projections import require_projections
from mapsr.geo.vsi import head
from mapsr.remote import RemotePath

DRIVERS = (
    *("GTiff", "COG", "VRT", "HFA", "ENVI", "EHdr", "ERS", "RST", "SAGA", "PCIDSK", "NITF"),
    *("JP2OpenJPEG", "JP2KAK", "JP2ECW", "ECW", "MrSID", "JPEG", "JPEGXL", "PNG", "WEBP", "BMP"),
    *("AAIGrid", "GRASSASCIIGrid", "AIG", "GSAG", "GSBG", "GS7BG", "PCRaster", "USGSDEM", "DTED"),
    *("GPKG", "netCDF", "HDF5", "HDF5Image", "GRIB", "DIMAP", "KEA", "GIF", "ISCE", "SRTMHGT"),
)
"""Drivers of GDAL that read raster files of this machine. Others are left out because they read
descriptions of services, which would use the network, or no rasters of pixels at all."""

FILTERS = threading.Lock()
"""Held by whoever sets Python's warning filters for a while: all threads share them."""

_SERVICES = (b"<GDAL_WMS", b"<GDAL_WMTS", b"<WMS_Tile_Service", b"<TiledWMS", b"<WCS_GDAL")
"""What descriptions of services begin with; no driver of ``DRIVERS`` would open them."""
_HEAD = 1024
_ABSENT = (None, errno.ENOENT, errno.ENOTDIR)
_OF_THE_PATH = (*_ABSENT, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Errors of the system that are those of what GDAL was told to open."""


def shown(path: Path) -> str:
    """A path as text that any terminal takes: escaped where it is not plain text."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return ascii(text)
    return text if text.isprintable() else ascii(text)


def require_file(path: Path) -> None:
    """Check that there is a file that may be read; what lies on the network shows when opened.

    Raises:
        RasterError: there is none, it is not a regular file, it may not be read, or its path can't
            be that of a file.
    """
    if isinstance(path, RemotePath):
        if path.archive is not None:
            require_file(path.archive)
        return
    mode = require_present(path)
    if stat.S_ISDIR(mode):
        raise RasterError(
            f"Can't read {shown(path)}: it is a folder, expected a raster file; several are named "
            f"by a pattern, such as '{shown(path / '*.tif')}'."
        )
    if not stat.S_ISREG(mode):
        raise RasterError(
            f"Can't read {shown(path)}: it is a device or pipe, expected a raster file."
        )
    try:
        path.open("rb").close()
    except OSError as error:
        raise RasterError(_system_message(path, error.errno or 0)) from error


def require_present(path: Path) -> int:
    """Check that there is something at a path; return its mode.

    Raises:
        RasterError: there is nothing, the system can't tell, or no file can be called so.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RasterError(
            f"Can't read {shown(path)}: there is no such file; check the path."
        ) from error
    except OSError as error:
        raise RasterError(_system_message(path, error.errno or 0)) from error
    except ValueError as error:  # NUL, or text that no file system takes
        raise RasterError(
            f"Can't read {shown(path)}: its path holds a character that no path can hold ({error});"
            " check the path."
        ) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn every failure of GDAL or of the system in the block into a RasterError.

    GDAL finds a truncated file only when its pixels are read, so reading belongs in the block.

    Raises:
        RasterError: the file is not a raster, or breaks off.
        RasterError: the system failed (too many open files, memory, disk); the message names its
            error, and the file may be whole.
    """
    try:
        yield
    except UnicodeError as error:
        raise RasterError(
            f"Can't read {shown(path)}: its name or what it says of itself is not text in UTF-8 "
            f"({error.reason if isinstance(error, UnicodeDecodeError) else 'a name in bytes'}); "
            "rename the file, or write it again with gdal_translate."
        ) from error
    except (RasterioError, CPLE_BaseError, OSError, MemoryError) as error:
        if isinstance(path, RemotePath) and path.archive is None:
            raise refused(path, str(error.__cause__ or error)) from error
        code = system_error(error, path)
        if code is not None:
            raise RasterError(_system_message(path, code)) from error
        # rasterio hides GDAL's own words ("Read error at scanline") in the cause
        reason = str(error.__cause__ or error).rstrip(".")
        raise RasterError(
            f"Can't read {shown(path)}: {reason}; expected a whole raster that GDAL can open and "
            "project, in a format such as GeoTIFF, VRT or JPEG 2000 on this machine, so fetch or "
            "make the file again."
        ) from error


def system_error(error: BaseException, path: Path) -> int | None:
    """The number of the system's error behind a failure to read, None where it is the file's.

    GDAL often says no more than "not recognized" where a file could not be opened, so that the
    file is opened here too.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.errno not in _ABSENT:
            return link.errno
        if isinstance(link, MemoryError) or type(link).__name__ == "CPLE_OutOfMemoryError":
            return errno.ENOMEM
        for code in SYSTEM_HELP:
            if code not in _OF_THE_PATH and os.strerror(code) in str(link):
                return code
        link = link.__cause__ or link.__context__
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as failure:
        return None if failure.errno in _ABSENT else failure.errno
    return None


def open_allowed(path: Path, pool_files: int | None = None) -> rasterio.DatasetReader:
    """Open a raster by one of ``DRIVERS``; the caller closes it.

    Args:
        path: the file.
        pool_files: how many sources GDAL may keep open for all VRTs together; None: its default.

    Raises:
        RasterError: see ``reading``; it describes a service; or it holds no layer of its own, only
            subdatasets.
    """
    begin = first_bytes(path)
    if any(mark in begin for mark in _SERVICES):
        raise RasterError(
            f"{shown(path)} describes a service on the network, expected a file that holds pixels: "
            "save the area that you need with gdal_translate -projwin, and name that."
        )
    if isinstance(path, RemotePath):
        if b"<VRTDataset" in begin:
            raise RasterError(
                f"{shown(path)} is a VRT that is not a file of this machine, whose sources nobody "
                "would check there: fetch it and name the copy, with the full addresses of its "
                "sources."
            )
        return open_within(path, path.gdal_name)
    options = {} if pool_files is None else {"GDAL_MAX_DATASET_POOL_SIZE": str(pool_files)}
    with rasterio.Env(**options):
        return _open(path, path, DRIVERS)


def first_bytes(path: Path) -> bytes:
    """Read as much of a raster as tells what kind of description it is, if it is one.

    Raises:
        RasterError: it can't be read.
    """
    if isinstance(path, RemotePath):
        return head(path, _HEAD)
    with reading(path), path.open("rb") as file:
        return file.read(_HEAD)


def open_within(path: Path, name: str) -> rasterio.DatasetReader:
    """Open a raster in an archive or container by GDAL's name of it; the caller closes it.

    Args:
        path: the archive or container, or what lies on the network, for messages.
        name: such as ``/vsizip/a.zip/b.tif`` or ``NETCDF:a.nc:b``.

    Raises:
        RasterError: see ``open_allowed``; or it is a VRT, whose sources nobody would check there.
    """
    return _open(path, name, [driver for driver in DRIVERS if driver != "VRT"])


def _open(path: Path, name: Path | str, drivers: Sequence[str]) -> rasterio.DatasetReader:
    require_projections()  # else its place would be unknown, or wrong
    with reading(path), FILTERS, warnings.catch_warnings(), rasterio.Env(), network(path):
        # a raster without a place is refused by its grid, in our words
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.DatasetReader(name, driver=list(drivers))
    if dataset.count == 0:
        inner = dataset.subdatasets
        dataset.close()
        raise RasterError(_without_layers(path, inner))
    return dataset


def _without_layers(path: Path, inner: list[str]) -> str:
    if not inner:
        return f"{shown(path)} has no bands, expected a raster with at least one."
    listed = ", ".join(inner[:3]) + (f" and {len(inner) - 3} more" if len(inner) > 3 else "")
    return (
        f"{shown(path)} holds its layers as subdatasets ({listed}), expected a raster of one "
        f"layer: write the one you mean to a file, with gdal_translate '{inner[0]}' layer.tif."
    )


def _system_message(path: Path, code: int) -> str:
    if code == errno.ENAMETOOLONG:
        return f"Can't read {shown(path)[:80]}...: its name is too long; check the path."
    name = errno.errorcode.get(code, str(code))
    help_ = SYSTEM_HELP.get(code, "check the disk and the rights there")
    return (
        f"Can't read {shown(path)}: the system says '{os.strerror(code)}' ({name}), which says "
        f"nothing against the file; {help_}."
    )
