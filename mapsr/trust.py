"""Hashes of weights that were seen before: what is trusted once may not change unnoticed."""

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mapsr.errors import WeightsError
from mapsr.files import write_text

Evidence = Literal["registry", "hub", "first use", "nothing"]
"""What a file of weights is verified against: the hash in the registry, the one that the Hugging
Face hub declared, the one that the file had when it was first used, or nothing yet."""

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_FROM_HUB = "# declared by the hub"
_FIRST_USE = "# seen at the first use"


@dataclass(frozen=True)
class Record:
    """A hash that was noted down.

    Attributes:
        sha256: the hash.
        origin: where it is from.
        file: the file that holds the note, in the form of ``sha256sum``.
    """

    sha256: str
    origin: Evidence
    file: Path


def recorded(name: str, folder: Path, cache: Path) -> Record | None:
    """Return the hash that was noted down for a file of weights, None where there is none.

    Args:
        name: of the file.
        folder: where the file is.
        cache: the user's own folder, for notes on files in folders that can't be written.

    Raises:
        WeightsError: the note can't be read.
    """
    for place in (folder, cache):
        file = place / f"{name}.sha256"
        if not file.is_file():
            continue
        try:
            first, *rest = file.read_text(encoding="utf-8").splitlines()
            found = _LINE.fullmatch(first)
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"can't read the hash in {file}: {error}; delete the file, or write it again with "
                "sha256sum."
            ) from error
        if found is None:
            raise WeightsError(
                f"{file} begins with '{first[:80]}', expected a SHA-256 and the name of the "
                "weights as sha256sum writes them; delete the file, or write it again."
            )
        return Record(found[1], "hub" if _FROM_HUB in rest else "first use", file)
    return None


def record(name: str, sha256: str, origin: Evidence, folder: Path, cache: Path) -> Path:
    """Note down the hash of a file of weights beside it, else in the user's own folder.

    Args:
        name: of the file.
        sha256: its hash.
        origin: "hub" or "first use".
        folder: where the file is; may be one that can't be written.
        cache: the user's own folder.

    Returns:
        The file with the note.

    Raises:
        OSError: neither can be written.
    """
    text = f"{sha256}  {name}\n{_FROM_HUB if origin == 'hub' else _FIRST_USE}\n"
    beside = folder / f"{name}.sha256"
    try:
        # the rights count even where the system lets an administrator write in spite of them
        if folder.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            write_text(beside, text)
            return beside
    except OSError:
        pass
    write_text(cache / beside.name, text)
    return cache / beside.name
