"""The work folder of a map job: finished units, safe from a kill at any moment."""

import json
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from mapsr.changes import differences
from mapsr.errors import ConfigError, RasterError
from mapsr.files import whole_file, write_json
from mapsr.geo import Window
from mapsr.geo.states import State, state_of
from mapsr.locks import LOCK, FolderLock, refuse_link
from mapsr.mapping.blend import Seam, UnitResult
from mapsr.paths import true_path
from mapsr.remote import RemotePath

_AT_ONCE = 16
"""Files on the network that are asked for at once."""

About = Mapping[str, Any]
"""What a job depends on, as plain containers that JSON takes."""


class WorkFolder:
    """Where a job keeps its finished units until the map is whole; a context that frees it.

    Only one process at a time holds it. A unit's file appears whole and on the disk, or not at
    all, so whatever is there can be relied on.

    Attributes:
        path: the folder, hidden beside the map.
    """

    def __init__(self, out: Path) -> None:
        self.path = out.parent / f".{out.name}.work"
        self._lock = FolderLock(self.path)
        self._out = out

    def open(self, about: About, *, restart: bool = False) -> set[int]:
        """Take the folder for a job.

        Args:
            about: what the job depends on.
            restart: give up what is there, whatever job left it.

        Returns:
            Numbers of the units that are done.

        Raises:
            ConfigError: another process holds the folder; a job that differs left it there; or
                it can't be written.
        """
        refuse_link(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._take(json.loads(json.dumps(about)), restart)  # tuples become lists, as when read
        except OSError as error:
            self.close()
            raise ConfigError(
                f"Can't write in {self._out.parent}: {error.strerror}; choose another out=, or "
                "fix that."
            ) from error
        return {int(path.stem.removeprefix("unit-")) for path in self.path.glob("unit-*.npz")}

    def _take(self, now: About, restart: bool) -> None:
        then = None if restart else self._about()
        if then is not None and then != now:
            self.close()
            raise ConfigError(
                f"{self.path} holds the beginning of another {self._out.name}: "
                f"{'; '.join(differences(then, now))}. Undo that to go on, or set restart=true to "
                "begin again."
            )
        for path in self.path.iterdir():
            half_done = path.name.startswith(".")  # by a kill
            if path.name != LOCK and (half_done or then != now):
                path.unlink()
        if then != now:
            write_json(self.path / "job.json", now)

    def save(self, number: int, result: UnitResult) -> None:
        """Keep a unit's result.

        Raises:
            RasterError: the disk is full, or the folder can't be written any more.
        """
        arrays: dict[str, Any] = {f"inner/{key}": value for key, value in result.inner.items()}
        arrays |= {f"beside/{key}": value for key, value in result.beside.items()}
        for index, seam in enumerate(result.seams):
            window = seam.window
            arrays[f"seam/{index}/window"] = np.array(
                [window.row, window.col, window.height, window.width]
            )
            arrays[f"seam/{index}/valid"] = seam.valid.numpy()
            for layer, sums in seam.sums.items():
                arrays[f"seam/{index}/sums/{layer}"] = sums.numpy()
        try:
            with whole_file(self._unit(number)) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        except OSError as error:
            raise RasterError(
                f"Can't write {self.path}: {error.strerror}; what is done is kept: make room, and "
                "the same command goes on from there."
            ) from error

    def load(self, number: int) -> UnitResult:
        """Read a unit's result back.

        Raises:
            RasterError: the file is damaged; it is removed, so that the unit is scored again.
        """
        path = self._unit(number)
        try:
            # NumPy leaves a damaged file open that it opened itself
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            path.unlink(missing_ok=True)
            raise RasterError(
                f"{path} is damaged ({error}) and was removed: the same command scores that part "
                "of the map again and goes on."
            ) from error
        inner, beside = _below("inner/", arrays), _below("beside/", arrays)
        seams = []
        for index in range(sum(key.endswith("/window") for key in arrays)):
            head = f"seam/{index}/"
            sums = {
                key.removeprefix(f"{head}sums/"): torch.from_numpy(value)
                for key, value in arrays.items()
                if key.startswith(f"{head}sums/")
            }
            window = Window(*arrays[f"{head}window"].tolist())
            seams.append(Seam(window, torch.from_numpy(arrays[f"{head}valid"]), sums))
        return UnitResult(inner, tuple(seams), beside)

    def remove(self) -> None:
        """Remove the folder: the map is whole."""
        for path in self.path.iterdir():
            if path.name != LOCK:
                path.unlink()
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Let others take the folder; what is in it stays, unless that is nothing."""
        if not self._lock.held:
            return  # removed, or never taken
        self._lock.release()
        if self.path.is_dir() and not any(self.path.glob("unit-*.npz")):
            shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _unit(self, number: int) -> Path:
        return self.path / f"unit-{number:08d}.npz"

    def _about(self) -> Any:  # noqa: ANN401
        try:
            return json.loads((self.path / "job.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


def _below(head: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(head): one for key, one in arrays.items() if key.startswith(head)}


def changed_files(
    states: Mapping[str, State], paths: Iterable[Path] = (), *, gone: bool = True
) -> list[str]:
    """Return the files that are not any more what ``file_states`` said of them.

    Args:
        states: what it said.
        paths: of which it said so; those of this machine need not be named again, but a name of
            what lies on the network is not enough to ask for it.
        gone: count those that are not there, or don't answer.
    """
    remote = {name: one for name, one in _named(paths).items() if isinstance(one, RemotePath)}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        now = list(pool.map(_state_or_none, [remote.get(name, Path(name)) for name in states]))
    return [
        name
        for name, one in zip(states, now, strict=True)
        if one != list(states[name]) and (gone or one is not None)
    ]


def _state_or_none(path: Path) -> State | None:
    try:
        return state_of(path)
    except (OSError, RasterError):  # it is gone
        return None


def file_states(paths: Iterable[Path]) -> dict[str, State]:
    """What tells whether files were changed, by path without credentials; see ``state_of``.

    Raises:
        OSError: a file is not there.
        RasterError: what lies on the network can't be read.
    """
    # a VRT may have thousands of sources on the network, each of which takes its time to answer
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = {
            name: pool.submit(copy_context().run, state_of, path)
            for name, path in _named(paths).items()
        }
        return {name: one.result() for name, one in asked.items()}


def _named(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by a name of their own; two addresses may differ in what is not to be written alone."""
    found: dict[str, Path] = {}
    for path in paths:
        name, number = str(true_path(path)), 1
        while found.get(name, path) != path and isinstance(path, RemotePath):
            number += 1
            name = f"{path} #{number}"
        found[name] = path
    return found
