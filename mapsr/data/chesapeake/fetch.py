"""Fetching the Chesapeake benchmark: the archive that torchgeo knows, checked by its hash."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mapsr.data.chesapeake.archive import (
    Remote,
    already_there,
    ask,
    discard_part,
    require_space,
    transfer,
    unpack,
)
from mapsr.data.chesapeake.splits import FOLDER, PARTS, STATES, folder_name
from mapsr.errors import DataError
from mapsr.extras import require_extra
from mapsr.files import publish
from mapsr.progress import Progress
from mapsr.weights import is_offline


@dataclass(frozen=True)
class Published:
    """The archive that holds images and labels: its address, file name and MD5."""

    url: str
    file: str
    md5: str


@dataclass(frozen=True)
class FetchPlan:
    """What fetching would do.

    Attributes:
        published: the archive.
        archive: where it is, or goes to.
        target: folder that the folders of the states go to.
        folders: those that are not there yet.
        remote: the archive on its server; None where nothing has to be fetched.
        present: bytes of it that an earlier transfer left.
    """

    published: Published
    archive: Path
    target: Path
    folders: tuple[str, ...]
    remote: Remote | None
    present: int

    @property
    def to_fetch(self) -> int:
        """Bytes that go over the network."""
        return 0 if self.remote is None else self.remote.size - self.present

    @property
    def to_unpack(self) -> int:
        """Bytes that the unpacked folders take at about, before the archive is there."""
        every = len(STATES) * len(PARTS)
        return 0 if self.remote is None else self.remote.size * len(self.folders) // every


def published() -> Published:
    """Return the archive as the installed torchgeo publishes it.

    Raises:
        ConfigError: torchgeo is not installed.
    """
    require_extra("torchgeo", "Fetching the Chesapeake benchmark")
    from torchgeo.datasets import ChesapeakeCVPR

    return Published(
        ChesapeakeCVPR.urls["base"], ChesapeakeCVPR.filenames["base"], ChesapeakeCVPR.md5s["base"]
    )


def plan_fetch(root: Path, states: Sequence[str] = STATES) -> FetchPlan:
    """Find out what is missing and how large it is; writes nothing.

    Args:
        root: folder to which the archive, and cvpr_chesapeake_landcover/ with the folders of the
            states go; or that folder itself.
        states: those whose folders are wanted. The archive is one file for all states.

    Raises:
        ConfigError: torchgeo is not installed.
        DataError: the archive is needed, but its server can't be reached or does not say its size,
            or MAPSR_OFFLINE forbids the network.
    """
    names = [folder_name(state, part) for state in states for part in PARTS]
    own = root.name == FOLDER or any((root / name).is_dir() for name in names)
    target = root if own else root / FOLDER
    folders = tuple(name for name in names if not (target / name).is_dir())
    source = published()
    archive = root / source.file
    if not folders or archive.is_file():
        return FetchPlan(source, archive, target, folders, None, 0)
    if is_offline():
        raise DataError(
            f"{archive} is not here and MAPSR_OFFLINE forbids the network: unset it, or get "
            f"{source.url} in another way and put it there."
        )
    remote = ask(source.url)
    return FetchPlan(source, archive, target, folders, remote, already_there(remote, archive))


def fetch(plan: FetchPlan, progress: Progress) -> None:
    """Do what a plan says: fetch or complete the archive, check it, unpack what is missing.

    A call that was interrupted is made good by another one.

    Raises:
        DataError: the disk is too small, the transfer broke off, or the archive is damaged.
    """
    if not plan.folders:
        return
    source, archive = plan.published, plan.archive
    if plan.remote is None:
        if not _is_whole(archive, source.md5):
            raise DataError(
                f"{archive} is damaged: its MD5 is not the published {source.md5}; remove it and "
                "fetch it again."
            )
    else:
        require_space(archive.parent, plan.to_fetch + plan.to_unpack, f"Fetching {source.url}")
        part = transfer(plan.remote, archive, progress)
        if not _is_whole(part, source.md5):
            discard_part(archive)
            raise DataError(
                f"What came from {source.url} is damaged: its MD5 is not the published "
                f"{source.md5}; it was removed, fetch it again."
            )
        publish(part, archive)
        discard_part(archive)
    unpack(archive, plan.target, plan.folders, progress)


def _is_whole(path: Path, md5: str) -> bool:
    from torchgeo.datasets.utils import check_integrity

    return bool(check_integrity(str(path), md5))
