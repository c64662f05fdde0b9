"""The errors that mapsr raises on purpose: each message is one sentence a user can act on."""

import errno
import os
from collections.abc import Iterable
from difflib import get_close_matches

from mapsr.redaction import redact

SYSTEM_HELP = {
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer threads",
    errno.ENFILE: "close other programs, or raise the machine's limit of open files",
    errno.ENOMEM: "free memory, or read smaller windows",
    errno.EACCES: "give yourself the right to it",
    errno.EPERM: "give yourself the right to it",
    errno.EROFS: "choose a folder that can be written",
    errno.EIO: "check the disk, or the network that it lies on",
    errno.ESTALE: "check the network that it lies on",
    errno.ETIMEDOUT: "check the network that it lies on",
    errno.ENOTCONN: "check the network that it lies on",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk, or have the quota raised",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its links lead back to themselves: remove one of them",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path, of which a part is a file",
    errno.EISDIR: "remove the folder that lies where a file is expected",
}
"""Errors of the operating system, and what helps."""


class MapsrError(Exception):
    """Base of all errors that the command line shows as one sentence, without a trace.

    Credentials in addresses are hidden in what it says.
    """

    def __init__(self, *words: object) -> None:
        super().__init__(*(redact(one) if isinstance(one, str) else one for one in words))


class ConfigError(MapsrError):
    """A setting is unknown, out of range, or contradicts another one."""


class RasterError(MapsrError):
    """A raster is missing, unreadable, has no CRS, or does not fit its neighbours."""


class LegendError(MapsrError):
    """A legend or crosswalk is unknown, incomplete, or names a class that does not exist."""


class DataError(MapsrError):
    """A set of scenes can't be used as it is: nothing found, no overlap, nothing labelled."""


class WeightsError(MapsrError):
    """Weights are absent, damaged, or belong to another architecture."""


class PromptError(MapsrError):
    """Class prompts can't be made."""


class FittedError(MapsrError):
    """A fitted method can't be loaded or applied: absent, damaged, or of other weights or kind."""


def near_match(name: object, choices: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the choice nearest to a mistyped name, else "".

    Args:
        name: what the user wrote; what is no text is near nothing.
        choices: what would have been valid.
    """
    if not isinstance(name, str):
        return ""
    found = get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean '{found[0]}'?" if found else ""


def require_choice(value: str, choices: Iterable[str], what: str) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        ConfigError: it is not; the message lists the choices and the nearest one.
    """
    choices = sorted(choices)
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(choices)
        raise ConfigError(
            f"{what} is '{value}', expected one of {listed}.{near_match(value, choices)}"
        )
    return value


def require_range(
    value: float,
    what: str,
    *,
    low: float = 0.0,
    high: float = float("inf"),
    open_low: bool = False,
) -> float:
    """Return ``value`` if low <= value <= high (low < value with ``open_low``).

    Raises:
        ConfigError: it is outside (NaN included).
    """
    inside = (value > low if open_low else value >= low) and value <= high
    if not inside:
        bracket = "(" if open_low else "["
        raise ConfigError(f"{what} is {value}, expected a number in {bracket}{low:g}, {high:g}].")
    return value


def said_by_system(error: OSError) -> str:
    """Say in a sentence what the operating system refused, where, and what helps."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name]
    where = " and ".join(name if len(name) < 300 else f"{name[:80]}..." for name in names)
    if error.errno is None:
        return f"{where or 'A file'} can't be used: {error}."
    help_ = SYSTEM_HELP.get(error.errno, "check the disk and the rights there")
    reason = f"'{os.strerror(error.errno)}' ({errno.errorcode.get(error.errno, error.errno)})"
    return f"{where or 'A file'} can't be read or written: the system says {reason}; {help_}."
