"""A folder that one process at a time works in."""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mapsr.errors import ConfigError

LOCK = ".lock"
"""Name of the file, present while a process works in the folder, that says which one."""


class BusyError(ConfigError):
    """Another process works in a folder."""


def refuse_link(folder: Path) -> None:
    """Refuse a link in place of a folder that is emptied: what it points to is somebody else's.

    Raises:
        ConfigError: it is one.
    """
    if folder.is_symlink():
        raise ConfigError(
            f"'{folder}' is a link to '{folder.readlink()}', expected a folder of mapsr's own: "
            "remove the link, or choose another out=."
        )


class FolderLock:
    """Keeps a folder for this process until ``release``, or until the process ends.

    Args:
        folder: an existing folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / LOCK
        # a context may be left in another thread than it was entered in
        self._lock = FileLock(self._file, timeout=0, thread_local=False)

    def acquire(self) -> None:
        """Take the folder.

        Raises:
            ConfigError: another process works in it, or another part of this one.
            OSError: the folder can't be written.
        """
        try:
            self._lock.acquire()
        except Timeout:
            raise BusyError(
                f"another process{self._owner()} is working on '{self.folder}'; wait for it, or "
                "choose another folder."
            ) from None
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        # in place: a file renamed to this name would be one that nobody has locked
        self._file.write_text(json.dumps(owner), encoding="utf-8")

    @property
    def held(self) -> bool:
        """Whether this holds the folder."""
        return self._lock.is_locked

    def release(self) -> None:
        """Let others take the folder; does nothing where it is not held."""
        if not self._lock.is_locked:
            return
        # while it is still locked: whoever waits for it sees that it is gone, and makes another.
        # Windows can't remove an open file; one that is left over does no harm.
        with suppress(OSError):
            self._file.unlink()
        self._lock.release()

    def _owner(self) -> str:
        """Say who holds the folder, as far as it can be read."""
        try:
            owner = json.loads(self._file.read_text(encoding="utf-8"))
            return f" (pid {owner['pid']} on {owner['host']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""
