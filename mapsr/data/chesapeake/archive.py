"""Large archives: fetched so that a broken transfer goes on, and unpacked a whole folder at a time.

A transfer goes to ``NAME.part`` beside ``NAME.part.json``, which says what file of the server it
is a part of.
"""

import json
import logging
import shutil
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from mapsr.errors import DataError
from mapsr.files import write_json
from mapsr.progress import Progress

_LOGGER = logging.getLogger(__name__)

TIMEOUT_S = 60.0
"""Seconds without an answer after which a server counts as gone."""
_BLOCK = 1 << 20
_FAILURES = (OSError, HTTPException, ValueError)


@dataclass(frozen=True)
class Remote:
    """A file on a server: its address, its size in bytes, and the server's tag of its content."""

    url: str
    size: int
    tag: str | None


def ask(url: str) -> Remote:
    """Ask a server for the size of a file, without fetching it.

    Raises:
        DataError: the server can't be reached, does not have the file, or does not say its size.
    """
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            size, tag = answer.headers["Content-Length"], answer.headers["ETag"]
            return Remote(url, int(size), tag)
    except TypeError as error:
        raise DataError(
            f"The server does not say how large {url} is, expected a Content-Length; fetch the "
            "file in another way."
        ) from error
    except _FAILURES as error:
        raise DataError(
            f"{url} can't be reached ({error}); check the network, or fetch the file in another "
            "way."
        ) from error


def part_file(path: Path) -> Path:
    """Return where the transfer of a file is kept until it is whole."""
    return path.with_name(f"{path.name}.part")


def already_there(remote: Remote, path: Path) -> int:
    """Return how many bytes of a file an earlier transfer left, 0 where they are of no use."""
    part = part_file(path)
    if not part.is_file():
        return 0
    try:
        known = json.loads(_record(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    size = part.stat().st_size
    return size if known == asdict(remote) and size <= remote.size else 0


def transfer(remote: Remote, path: Path, progress: Progress) -> Path:
    """Fetch a file to ``NAME.part``, or what is missing of it, and return that path.

    Args:
        remote: as ``ask`` returns it.
        path: what the file is to be called once it is checked.
        progress: shows MiB.

    Raises:
        DataError: another process fetches the file, or the transfer broke off; what came stays.
    """
    part = part_file(path)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{part}.lock", timeout=0):
            begin = already_there(remote, path)
            if begin == 0 and part.is_file() and part.stat().st_size:
                _LOGGER.warning(
                    "The file on the server is not the one that %s is a part of (now %d bytes): "
                    "the transfer starts again.",
                    part,
                    remote.size,
                )
            write_json(_record(part), asdict(remote))
            if begin < remote.size or not part.is_file():
                _receive(remote, part, begin, progress)
    except Timeout as error:
        raise DataError(
            f"Another process writes {part}; wait for it, or end it and try again."
        ) from error
    except _FAILURES as error:
        raise _broken(remote, part, str(error)) from error
    if part.stat().st_size != remote.size:
        raise _broken(remote, part, "the server ended it")
    return part


def discard_part(path: Path) -> None:
    """Remove what a transfer left."""
    part = part_file(path)
    for left in (part, _record(part)):
        left.unlink(missing_ok=True)


def free_space(folder: Path) -> int:
    """Return the free bytes of the disk on which a folder is, or would be."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def require_space(folder: Path, needed: int, what: str) -> None:
    """Check that the disk of a folder takes ``needed`` bytes more.

    Raises:
        DataError: it does not.
    """
    free = free_space(folder)
    if needed > free:
        raise DataError(
            f"{what} needs {size_text(needed)} in {folder}, but {size_text(free)} are free; free "
            "some space, or name a folder on another disk."
        )


def size_text(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.1f} MiB"


def unpack(archive: Path, target: Path, folders: Sequence[str], progress: Progress) -> None:
    """Unpack folders of a ZIP archive; each appears in ``target`` whole or not at all.

    Args:
        archive: in which the folders lie at any depth.
        target: where they go, without the folders above them.
        folders: names of those to unpack; they must not be in ``target`` yet.
        progress: shows files.

    Raises:
        DataError: the archive is damaged, lacks a folder, or the disk is too small.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            members = _members(bundle, folders)
            if absent := [folder for folder in folders if not members[folder]]:
                raise DataError(
                    f"{archive} does not hold the folder {absent[0]}, expected "
                    f"{', '.join(folders)}; remove the archive and fetch it again."
                )
            sizes = (info.file_size for infos in members.values() for info in infos)
            require_space(target, sum(sizes), f"Unpacking {archive}")
            for folder, infos in members.items():
                _unpack_folder(bundle, infos, target / folder, progress)
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is damaged ({error}); remove it and fetch it again.") from error


def _members(bundle: zipfile.ZipFile, folders: Sequence[str]) -> dict[str, list[zipfile.ZipInfo]]:
    """Return the files that lie directly in each folder."""
    members: dict[str, list[zipfile.ZipInfo]] = {folder: [] for folder in folders}
    for info in bundle.infolist():
        folder = PurePosixPath(info.filename).parent.name
        if folder in members and not info.is_dir():
            members[folder].append(info)
    return members


def _unpack_folder(
    bundle: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo], place: Path, progress: Progress
) -> None:
    temporary = place.with_name(f".{place.name}.part")
    if temporary.exists():  # left by a process that was killed
        shutil.rmtree(temporary)
    temporary.mkdir(parents=True)
    for info in progress.track(infos, f"unpacking {place.name}", len(infos)):
        with (
            bundle.open(info) as packed,
            (temporary / PurePosixPath(info.filename).name).open("wb") as out,
        ):
            shutil.copyfileobj(packed, out, _BLOCK)
    temporary.rename(place)


def _receive(remote: Remote, part: Path, begin: int, progress: Progress) -> None:
    """Write what the server sends from byte ``begin`` on."""
    request = urllib.request.Request(remote.url)
    if begin:
        request.add_header("Range", f"bytes={begin}-")
        if remote.tag:
            request.add_header("If-Range", remote.tag)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        if begin and answer.status != 206:
            _LOGGER.warning(
                "The server of %s sends no parts of files: the transfer starts again.", remote.url
            )
            begin = 0
        elif begin and not str(answer.headers["Content-Range"]).startswith(f"bytes {begin}-"):
            raise ValueError(f"the server sent {answer.headers['Content-Range']}")
        total = -(-(remote.size - begin) // _BLOCK)
        with part.open("ab" if begin else "wb") as out:
            for block in progress.track(_blocks(answer), "fetching, MiB", total):
                out.write(block)


def _blocks(answer: HTTPResponse) -> Iterator[bytes]:
    while block := answer.read(_BLOCK):
        yield block


def _record(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _broken(remote: Remote, part: Path, why: str) -> DataError:
    got = part.stat().st_size if part.is_file() else 0
    return DataError(
        f"The transfer of {remote.url} broke off after {size_text(got)} of "
        f"{size_text(remote.size)} ({why}); run the same command again, it goes on from there."
    )
