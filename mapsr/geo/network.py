"""How GDAL reads rasters that lie on the network: its settings, and what its failures mean."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio

from mapsr.errors import RasterError
from mapsr.redaction import redact
from mapsr.remote import RemotePath
from mapsr.weights import is_offline

OPTIONS = {
    # a server that is busy, or a line that breaks, is asked again: after half a second, then longer
    "GDAL_HTTP_MAX_RETRY": "5",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    # one that says nothing is given up
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_TIMEOUT": "120",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    # no look for side files, each of which is a request, and no listing of a bucket
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    # headers of most Cloud Optimized GeoTIFFs come with the first request
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    # what was fetched is kept: for each open file, and 64 MiB for all of them
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": str(4 << 20),
    "CPL_VSIL_CURL_CACHE_SIZE": str(64 << 20),
}
"""GDAL's settings for what lies on the network; a variable of the environment takes precedence."""

_STATUS = re.compile(r"\b(?:response |error )?code:? (\d{3})\b", re.IGNORECASE)
_NO_RANGES = ("range downloading not supported", "doesn't support ranges")
_DENIED = ("access denied", "accessdenied", "invalidcredentials", "signature", "forbidden")
_ABSENT = ("nosuchkey", "does not exist", "nosuchbucket", "not found")


def _hide(record: logging.LogRecord) -> bool:
    """Hide credentials in a message of rasterio: GDAL tells of each request that it repeats."""
    record.msg, record.args = redact(record.getMessage()), ()
    return True


for _name in ("_env", "_err", "_base", "_io", "env", "session"):
    logging.getLogger(f"rasterio.{_name}").addFilter(_hide)


@contextmanager
def network(path: Path) -> Iterator[None]:
    """Within it GDAL reads with ``OPTIONS``, if a path is none of this machine."""
    if not isinstance(path, RemotePath):
        yield
        return
    with rasterio.Env(**{key: one for key, one in OPTIONS.items() if key not in os.environ}):
        yield


def require_network(path: RemotePath) -> None:
    """Check that a raster that lies on the network may be asked for.

    Raises:
        RasterError: MAPSR_OFFLINE or HF_HUB_OFFLINE forbids it.
    """
    if path.archive is None and is_offline():
        raise RasterError(
            f"Can't read {path}: it lies on the network, which is not to be used (MAPSR_OFFLINE or "
            "HF_HUB_OFFLINE is set); unset that, or fetch the file and name the copy."
        )


def refused(path: Path, reason: str) -> RasterError:
    """Return the error for a raster on the network that could not be read.

    Args:
        path: the raster.
        reason: what GDAL or the server says.
    """
    words = redact(" ".join(reason.split())).rstrip(".") or "no reason is given"
    status, low = _STATUS.search(words), words.lower()
    code = int(status[1]) if status else 0
    if any(mark in low for mark in _NO_RANGES):
        help_ = (
            "its server gives whole files alone, and no parts of them, so that a window can't be "
            "read: fetch the file and name the copy"
        )
    elif code in (404, 410) or any(mark in low for mark in _ABSENT):
        help_ = "there is no such file on the server; check the address"
    elif code in (401, 403) or any(mark in low for mark in _DENIED):
        help_ = (
            "the server does not give it to you: check the address and your credentials, or get a "
            "new signature where it has run out"
        )
    elif code == 429 or code >= 500:
        help_ = "the server fails or is busy, also when asked again; try later"
    elif code:
        help_ = "expected a file; check the address"
    else:
        help_ = "the server can't be reached, or what it gives is no raster; check the address"
    return RasterError(f"Can't read {path}: {help_} (it says: {words}).")
