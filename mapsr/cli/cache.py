"""``mapsr cache``: how large the cache of tokens is, and how it becomes smaller."""

import argparse
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mapsr.cli.console import note, say
from mapsr.errors import ConfigError, require_range
from mapsr.folders import token_folder

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

# As mapsr.features.cache names them; that module needs torch. A file that was being written when
# its process was killed begins with a dot.
_NAME = re.compile(r"(\.?)[0-9a-f]{64}(-\w+)?\.safetensors")
_DAY_S = 86_400.0
# A file that is being written is done by then.
_UNFINISHED_S = 3_600.0


@dataclass(frozen=True)
class Entry:
    """A file of the cache.

    Attributes:
        path: of the file.
        size: in bytes.
        used: seconds of the epoch when it was read or written last.
        whole: false for what a killed process left.
    """

    path: Path
    size: int
    used: float
    whole: bool


def add_parser(subparsers: "Subparsers") -> None:
    """Add the command to those of ``mapsr``."""
    parser = subparsers.add_parser(
        "cache",
        help="show or clear the tokens that are kept on disk",
        description="Show or clear the tokens that `mapsr run cache=disk` keeps on disk.",
    )
    parser.set_defaults(run=main)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    info = actions.add_parser("info", help="show folder, entries, size and times of last use")
    clear = actions.add_parser("clear", help="remove the entries, or those not used for long")
    for action in (info, clear):
        action.add_argument("--folder", help="look into this folder instead of MAPSR_CACHE")
    clear.add_argument(
        "--older-than",
        type=float,
        metavar="DAYS",
        help="remove only what was used last more than so many days ago",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the action; return 0, or 1 where a file can't be removed.

    Raises:
        ConfigError: --folder does not name a folder, or --older-than is negative.
    """
    folder = existing_folder(arguments.folder)
    if arguments.action == "info":
        return _info(folder)
    days = arguments.older_than
    return _clear(folder, None if days is None else require_range(days, "--older-than"))


def existing_folder(named: str | None) -> Path:
    """Return the folder of tokens, as `mapsr run cache=disk` chooses it.

    Args:
        named: by the command line; it must be there.

    Raises:
        ConfigError: ``named`` is not a folder.
    """
    if named and not Path(named).expanduser().is_dir():
        raise ConfigError(
            f"--folder is '{named}', which is not a folder: name the cache.folder of the runs, or "
            "leave it out."
        )
    return token_folder(named)


def entries_of(folder: Path) -> Iterator[Entry]:
    """Yield the files of the cache; whatever else lies in the folder is passed over."""
    for path in folder.glob("[0-9a-f][0-9a-f]/*.safetensors"):
        name = _NAME.fullmatch(path.name)
        if name is None or bool(name[1]) != bool(name[2]):
            continue
        try:
            status = path.stat()
        except FileNotFoundError:  # a run removed it
            continue
        yield Entry(path, status.st_size, status.st_mtime, not name[1])


def _info(folder: Path) -> int:
    entries = [entry for entry in entries_of(folder) if entry.whole]
    say(f"folder   {folder}")
    say(f"entries  {len(entries)}")
    say(f"size     {_size(entries)}")
    if entries:
        used = sorted(entry.used for entry in entries)
        say(f"oldest   last used {_moment(used[0])}")
        say(f"newest   last used {_moment(used[-1])}")
    return 0


def _clear(folder: Path, days: float | None) -> int:
    now = time.time()
    removed, kept, failed = [], 0, []
    for entry in entries_of(folder):
        age_s = now - entry.used
        old = days is None or age_s > days * _DAY_S
        if not old or not (entry.whole or age_s > _UNFINISHED_S):
            kept += entry.whole
            continue
        try:
            entry.path.unlink(missing_ok=True)
            removed.append(entry)
        except OSError as error:
            failed.append(error)
    say(f"removed {len(removed)} file(s), {_size(removed)}; kept {kept}")
    if failed:
        note(f"error: {len(failed)} file(s) can't be removed; the first: {failed[0]}")
    return 1 if failed else 0


def _size(entries: Sequence[Entry]) -> str:
    size = sum(entry.size for entry in entries)
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.1f} MiB"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")
