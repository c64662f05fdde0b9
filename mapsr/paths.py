"""Paths as users write them."""

import os
from pathlib import Path

from mapsr.errors import ConfigError, MapsrError
from mapsr.redaction import redact_address
from mapsr.remote import RemotePath, is_remote


def local_path(text: str, what: str, error: type[MapsrError] = ConfigError) -> Path:
    """Return the path on this machine that a text stands for, with ~ as the user's own folder.

    Args:
        text: as the user wrote it.
        what: the key that it is the value of, for errors.
        error: what is raised.

    Raises:
        MapsrError: of the kind ``error``: it is empty, lies on the network or in an archive, or
            holds what no path can hold.
    """
    if not text.strip():
        raise error(f"{what} is empty, expected a path.")
    if is_remote(text):
        raise error(
            f"{what} is '{redact_address(text)}', which is not a file of this machine, expected "
            "one: download it; what is to be read may also be named by a VRT (gdal_translate -of "
            "VRT), within an archive too."
        )
    try:
        os.fsencode(text)
        found = Path(text).expanduser()
    except (UnicodeError, RuntimeError) as cause:  # no such user
        raise error(f"{what} is {text!a}, which can't be a path ({cause}); check it.") from cause
    if "\0" in text:
        raise error(f"{what} is {text!a}, which can't be a path: it holds a NUL; check it.")
    return found


def true_path(path: Path) -> Path:
    """Return the path that links lead to, as far as they lead anywhere, without an error.

    ``Path.resolve`` raises for links that lead back to themselves, and for names no file can have.
    What lies on the network has no links.
    """
    if isinstance(path, RemotePath):
        return path
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return path.absolute()


def is_there(path: Path) -> bool:
    """Tell whether anything is at a path; False, too, for one that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
