"""The sweep folder: which cells a sweep has, and what became of each."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from mapsr.errors import ConfigError
from mapsr.files import clear_partial, write_json
from mapsr.guard import Guard
from mapsr.locks import FolderLock
from mapsr.redaction import redact_words

VERSION = 1

State = Literal["open", "done", "skipped", "failed"]


@dataclass(frozen=True)
class SweepCell:
    """One configuration of a sweep, and what became of it.

    Attributes:
        overrides: that make it, as key=value.
        state: "open" until it reports: then "done", "skipped" (an earlier run with the same
            scientific settings had finished) or "failed".
        folder: its run folder; None where it came to none.
        miou: mean intersection over union in [0, 1]; None without truth.
        oa: overall accuracy in [0, 1]; None without truth.
        seconds: that it took.
        error: why it failed, in a sentence.
        trace: the Python trace of that error.
    """

    overrides: tuple[str, ...]
    state: State = "open"
    folder: str | None = None
    miou: float | None = None
    oa: float | None = None
    seconds: float | None = None
    error: str | None = None
    trace: str | None = None


class SweepFolder:
    """The folder of a sweep: ``sweep.json``, and a report of each cell in ``cells/``.

    The cells may run in processes and on machines of their own: each writes its report itself,
    and the process that began the sweep gathers them. That one holds the folder as a context;
    when the context ends, also by an error, sweep.json says what is known.

    Attributes:
        path: the folder itself; its name is the sweep's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FolderLock(path)
        self._planned: tuple[SweepCell, ...] = ()
        self._started = ""
        self._failure = Guard()

    def begin(self, cells: Sequence[tuple[str, ...]]) -> Self:
        """Take the folder for a sweep, whose earlier reports are given up.

        Args:
            cells: the overrides of each cell.

        Raises:
            ConfigError: another process runs this sweep, or the folder can't be written.
        """
        try:
            self._reports.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except OSError as error:
            raise ConfigError(
                f"can't make the sweep's folder '{self.path}' ({error.strerror}); choose another "
                "hydra.sweep.dir=."
            ) from error
        self._planned = tuple(SweepCell(overrides) for overrides in cells)
        self._started = _now()
        for folder in (self.path, self._reports):
            clear_partial(folder)
        for path in self._reports.glob("*.json"):
            path.unlink()
        self._write(finished=None)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._write(finished=_now() if error is None else None)
        finally:
            self._lock.release()

    def stopped(self, failure: Guard) -> None:
        """Note an error of the sweep itself, such as a launcher's."""
        self._failure = failure

    def report(self, number: int, cell: SweepCell) -> None:
        """Write what became of a cell, in whatever process it ran.

        Args:
            number: of the cell, from 0.
            cell: what became of it.
        """
        write_json(self._reports / f"{number:04d}.json", asdict(cell))

    def planned(self) -> list[tuple[str, ...]]:
        """The overrides of each cell, in whatever process it is asked for."""
        document = json.loads((self.path / "sweep.json").read_text(encoding="utf-8"))
        return [tuple(cell["overrides"]) for cell in document["cells"]]

    def cells(self) -> tuple[SweepCell, ...]:
        """Every cell that was planned, as it was last reported; "open" where it never was."""
        cells = dict(enumerate(self._planned))
        for path in sorted(self._reports.glob("[0-9]*.json")):
            number = int(path.stem) if path.stem.isdigit() else -1
            if number in cells:
                cells[number] = _reported(path, cells[number])
        return tuple(cells[number] for number in sorted(cells))

    @property
    def _reports(self) -> Path:
        return self.path / "cells"

    def _write(self, finished: str | None) -> None:
        document = {
            "version": VERSION,
            "name": self.path.name,
            "command": shlex.join(redact_words(sys.argv)),
            "started": self._started,
            "finished": finished,
            "error": self._failure.error,
            "trace": self._failure.trace,
            "cells": [asdict(cell) for cell in self.cells()],
        }
        write_json(self.path / "sweep.json", document)


def _reported(path: Path, planned: SweepCell) -> SweepCell:
    """What a cell reported; that it can't be read is a failure of the cell, not of the sweep."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        cell = SweepCell(**values)
        return replace(cell, overrides=tuple(cell.overrides))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        return replace(planned, state="failed", error=f"its report {path} is damaged ({error})")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
