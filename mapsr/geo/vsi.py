"""Bytes and headers of files on the network, in GDAL's own way: its credentials, caches, retries.

rasterio opens rasters alone, and has no function for the bytes of a file or for what a server says
of it. GDAL's C interface has (``cpl_vsi.h``); it is called in the library that rasterio has loaded.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from os import SEEK_END, SEEK_SET

import rasterio._base

from mapsr.errors import RasterError
from mapsr.geo.network import network, refused, require_network
from mapsr.remote import RemotePath

_TEXT, _HANDLE, _SIZE = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
_AT_ONCE = 1 << 20
_INTERFACE: dict[str, tuple[object, tuple[object, ...]]] = {
    "VSIFOpenExL": (_HANDLE, (_TEXT, _TEXT, ctypes.c_int)),
    "VSIFReadL": (_SIZE, (_HANDLE, _SIZE, _SIZE, _HANDLE)),
    "VSIFSeekL": (ctypes.c_int, (_HANDLE, ctypes.c_uint64, ctypes.c_int)),
    "VSIFTellL": (ctypes.c_uint64, (_HANDLE,)),
    "VSIFCloseL": (ctypes.c_int, (_HANDLE,)),
    "VSIErrorReset": (None, ()),
    "VSIGetLastErrorMsg": (_TEXT, ()),
    "VSIGetFileMetadata": (ctypes.POINTER(_TEXT), (_TEXT, _TEXT, _HANDLE)),
    "VSICurlPartialClearCache": (None, (_TEXT,)),
    "CSLDestroy": (None, (ctypes.POINTER(_TEXT),)),
    "CPLErrorReset": (None, ()),
    "CPLGetLastErrorMsg": (_TEXT, ()),
    "CPLPushErrorHandler": (None, (_HANDLE,)),
    "CPLPopErrorHandler": (None, ()),
}
"""Function of GDAL -> type of its result, types of its arguments."""


@dataclass(frozen=True)
class Facts:
    """What a server says of a file.

    Attributes:
        size: in bytes.
        version: the entity tag that changes with the content, else when it was changed; "" where
            the server says neither.
    """

    size: int
    version: str


def head(path: RemotePath, most: int) -> bytes:
    """Read the first bytes of a file on the network.

    Args:
        path: the file.
        most: how many bytes; fewer, where the file has no more.

    Raises:
        RasterError: the network is not to be used, or the file can't be read.
    """
    require_network(path)
    with network(path), _quiet() as gdal, _opened(gdal, path) as handle:
        content, buffer = bytearray(), ctypes.create_string_buffer(min(most, _AT_ONCE))
        while len(content) < most:
            wanted = min(len(buffer), most - len(content))
            count = gdal.VSIFReadL(buffer, 1, wanted, handle)
            content += buffer.raw[:count]
            if count < wanted:
                break
        if not content:
            raise refused(path, _said(gdal))
        return bytes(content)


def text_of(path: RemotePath, most: int) -> str:
    """Read a file on the network as text in UTF-8.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        RasterError: see ``head``; or it is larger, or not such text.
    """
    content = head(path, most + 1)
    if len(content) > most:
        raise RasterError(
            f"{path} is larger than the {most >> 20} MiB that are read of such a file; name a "
            "smaller one."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RasterError(f"{path} is not text in UTF-8 ({error.reason}); check it.") from error


def forget(path: RemotePath) -> None:
    """Let GDAL forget what it fetched of a file, which may have changed since."""
    with _quiet() as gdal:
        gdal.VSICurlPartialClearCache(path.gdal_name.encode())


def facts(path: RemotePath) -> Facts:
    """Ask the server what it says of a file now, whatever was read before.

    Raises:
        RasterError: see ``head``.
    """
    require_network(path)
    forget(path)
    with network(path), _quiet() as gdal:
        name = path.gdal_name.encode()
        with _opened(gdal, path) as handle:
            gdal.VSIFSeekL(handle, 0, SEEK_END)
            size = int(gdal.VSIFTellL(handle))
            gdal.VSIFSeekL(handle, 0, SEEK_SET)
        headers = _headers(gdal, name)
    version = headers.get("etag") or headers.get("last-modified") or ""
    return Facts(size, version.strip('"'))


def _headers(gdal: ctypes.CDLL, name: bytes) -> dict[str, str]:
    """Headers of the server's answer by name in small letters; none where there are none."""
    found = gdal.VSIGetFileMetadata(name, b"HEADERS", None)
    headers: dict[str, str] = {}
    if not found:
        return headers
    index = 0
    while (entry := found[index]) is not None:
        key, _, value = entry.decode(errors="replace").partition("=")
        headers[key.lower()] = value.strip()
        index += 1
    gdal.CSLDestroy(found)
    return headers


@contextmanager
def _opened(gdal: ctypes.CDLL, path: RemotePath) -> Iterator[int]:
    gdal.VSIErrorReset()
    gdal.CPLErrorReset()
    handle = gdal.VSIFOpenExL(path.gdal_name.encode(), b"rb", 1)
    if not handle:
        words = _said(gdal)
        # else it would be refused for good, also with credentials that are right by then
        gdal.VSICurlPartialClearCache(path.gdal_name.encode())
        raise refused(path, words)
    try:
        yield handle
    finally:
        gdal.VSIFCloseL(handle)


def _said(gdal: ctypes.CDLL) -> str:
    words: bytes = gdal.VSIGetLastErrorMsg() or gdal.CPLGetLastErrorMsg() or b""
    return words.decode(errors="replace")


@contextmanager
def _quiet() -> Iterator[ctypes.CDLL]:
    """Yield GDAL, which keeps its messages to itself in this thread."""
    gdal = _library()
    gdal.CPLPushErrorHandler(ctypes.cast(gdal.CPLQuietErrorHandler, _HANDLE))
    try:
        yield gdal
    finally:
        gdal.CPLPopErrorHandler()


@cache
def _library() -> ctypes.CDLL:
    """GDAL's library, found as what a module of rasterio is linked with.

    Raises:
        RasterError: it is not found so on this system.
    """
    library = ctypes.CDLL(rasterio._base.__file__)
    try:
        for name, (result, arguments) in _INTERFACE.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as error:  # Windows looks into a module alone, not into what it needs
        raise RasterError(
            f"GDAL's functions for files on the network are not found on this system ({error}): "
            "fetch the files and name the copies."
        ) from error
    return library
