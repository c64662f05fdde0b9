"""Rasters as users name them: a path of this machine, or an address on the network."""

from pathlib import Path

from mapsr.errors import ConfigError, MapsrError, RasterError
from mapsr.geo.network import require_network
from mapsr.paths import local_path
from mapsr.redaction import redact_address
from mapsr.remote import KNOWN, RemotePath, is_remote


def raster_path(
    text: str, what: str, error: type[MapsrError] = ConfigError, folder: Path | None = None
) -> Path:
    """Return the path that a text stands for: of this machine, or a ``RemotePath``.

    Args:
        text: as the user wrote it; may be https://, s3://, gs://, az:// or /vsi...
        what: the key that it is the value of, for errors.
        error: what is raised.
        folder: that relative paths start from; None: where the command is given.

    Raises:
        MapsrError: of the kind ``error``: it can't be a path, or is an address of another kind; or
            it lies on the network, which is not to be used.
    """
    if not is_remote(text):
        path = local_path(text, what, error)
        return path if folder is None else folder / path
    try:
        found = RemotePath(text)
        require_network(found)
    except ValueError as cause:
        raise error(
            f"{what} is '{redact_address(text)}', expected a path of this machine, or {KNOWN}."
        ) from cause
    except RasterError as cause:
        raise error(str(cause)) from cause
    return found
