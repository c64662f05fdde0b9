"""Files that a path or a pattern of a user names."""

import glob
import itertools
from collections.abc import Sequence
from pathlib import Path

from mapsr.errors import DataError, MapsrError
from mapsr.geo.addresses import raster_path
from mapsr.geo.sources import is_side_file_name
from mapsr.geo.stac import is_stac, stac_rasters
from mapsr.paths import is_there
from mapsr.remote import RemotePath, is_remote


def is_pattern(text: str) -> bool:
    """Tell whether a text has ``*``, ``?`` or ``[`` and is the name of nothing that is there.

    An address is no pattern: ``?`` begins its query, and what a server has is not listed.
    """
    return not is_remote(text) and glob.has_magic(text) and not is_there(Path(text).expanduser())


def files_of(
    text: str, what: str, error: type[MapsrError] = DataError, folder: Path | None = None
) -> list[Path]:
    """Return the path that a text is, or the files that it matches as a pattern, by name.

    Of a STAC item, collection or catalogue these are the rasters that it names.
    Files that lie beside rasters, hidden and temporary ones do not match, and ``**`` stands for any
    folders.

    Args:
        text: as the user wrote it.
        what: the key that it is the value of, for errors.
        error: what is raised.
        folder: that relative paths start from; None: where the command is given.

    Raises:
        MapsrError: of the kind ``error``: nothing matches, it can't be a path (see
            ``raster_path``), or STAC can't be read.
    """
    path = raster_path(text, what, error, folder)
    named = text if isinstance(path, RemotePath) else str(path)
    if is_stac(named):
        return [one.path for one in stac_rasters(named, what, error=error).every]
    if isinstance(path, RemotePath) or not is_pattern(str(path)):
        return [path]
    anchor = path.anchor or "."
    try:
        every = sorted(Path(anchor).glob(str(path.relative_to(anchor))))
    except (OSError, ValueError) as cause:
        raise error(f"Can't look for {what}={text}: {cause}; check the pattern.") from cause
    fixed = sum(1 for _ in itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
    found = [match for match in every if _is_meant(match, match.parts[fixed:])]
    if not found:
        raise error(f"No file matches {what}={text}, expected at least one; check it.")
    return found


def _is_meant(path: Path, matched: Sequence[str]) -> bool:
    """Whether a match of a pattern is more than a side file, a temporary or a hidden one."""
    hidden = any(part.startswith(".") for part in matched)
    return not hidden and path.is_file() and not is_side_file_name(path.name)
