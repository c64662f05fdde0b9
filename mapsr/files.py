"""Files that appear whole or not at all."""

import errno
import json
import os
import re
import secrets
import socket
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mapsr.errors import ConfigError

if TYPE_CHECKING:
    import torch

_PARTIAL = re.compile(r"\..*-([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}\.partial", re.DOTALL)
"""Names of temporary files: machine and process that write them; no pattern of results has them."""
_HOUR_S = 3600.0


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


# Read once, before there are threads: it can be read only by changing it.
_UMASK = _umask()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that becomes ``path`` when the block succeeds.

    A block that raises, or is killed, leaves nothing at ``path``, and an older file there stays.
    The content is on the disk before the name is, so that a power cut leaves no empty file. The
    temporary file is called ``.NAME-*.partial``, whatever the suffix of ``path``: a writer that
    takes the format from the name must be told it. See ``clear_partial``.

    Raises:
        ConfigError: the name of ``path`` is longer than its file system takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _partial(path)
    try:
        # a result is as readable as the umask says
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
        try:
            yield temporary
            # some writers replace the file by one of their own, which others can't read
            temporary.chmod(0o666 & ~_UMASK)
            publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise ConfigError(
            f"Can't write {path}: its name of {len(os.fsencode(path.name))} bytes is longer than "
            f"the {_most_bytes(path.parent)} that the folder takes; choose a shorter one."
        ) from error


def publish(temporary: Path, path: Path) -> None:
    """Give a written file its final name, on the same file system; replaces what is there."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    if os.name == "posix":  # elsewhere a folder can't be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def clear_partial(folder: Path) -> list[Path]:
    """Remove what a kill left of ``whole_file`` in a folder.

    That is: temporary files of processes of this machine that have ended, and those of any process
    and machine that nobody has written to for an hour. Folders within are left alone.

    Args:
        folder: need not exist.

    Returns:
        The files that were removed.

    Raises:
        OSError: the folder can't be read, or a file not removed.
    """
    removed = []
    for path in folder.glob(".*.partial"):
        found = _PARTIAL.fullmatch(path.name)
        if found is None:
            continue
        dead = found[1] == _machine() and not _runs(int(found[2]))
        try:
            if dead or time.time() - path.stat().st_mtime > _HOUR_S:
                path.unlink()
                removed.append(path)
        except FileNotFoundError:  # it became whole meanwhile
            continue
    return removed


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON to ``path``, whole or not at all; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def save_tensors(
    path: Path, tensors: "Mapping[str, torch.Tensor]", metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as a safetensors file, whole or not at all, as readable as the umask says.

    Args:
        path: the file, replaced if it is there.
        tensors: contiguous ones by name, of any shape and type.
        metadata: text by key, read with the tensors.

    Raises:
        ConfigError: see ``whole_file``.
        OSError: the file can't be written.
        SafetensorError: likewise, where safetensors finds it.
    """
    from safetensors.torch import save_file

    with whole_file(path) as temporary:
        save_file(dict(tensors), temporary, dict(metadata) if metadata is not None else None)


def _partial(path: Path) -> Path:
    """A new temporary path beside ``path``, whose name fits wherever that of ``path`` does."""
    mark = f"-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.partial"
    room = _most_bytes(path.parent) - len(mark) - 1
    stem = os.fsencode(path.stem)
    kept = os.fsdecode(stem[:room] if len(stem) > room else stem)
    return path.with_name(f".{kept}{mark}")


def _most_bytes(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # not POSIX, or not told
        return 255


def _machine() -> str:
    """A mark of this machine, eight hexadecimal digits: process numbers mean nothing elsewhere."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _runs(process: int) -> bool:
    """Tell whether a process of this machine runs; True where that can't be told."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
