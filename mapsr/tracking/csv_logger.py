"""A file of the numbers of a run, one a line."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from mapsr.files import write_text
from mapsr.quoting import csv_text
from mapsr.settings import choice
from mapsr.tracking.logger import flatten

FILE = "logs.csv"
COLUMNS = ("step", "name", "value")
Row = Sequence[object]


@choice("logger", "csv")
@dataclass(frozen=True)
class CsvSettings:
    """The numbers of a training and of the result in logs.csv of the run folder."""

    def open(
        self, folder: Path, name: str, config: Mapping[str, object]
    ) -> AbstractContextManager["CsvLogger"]:
        """Open the file; see ``open_csv``."""
        return open_csv(folder)


class CsvLogger:
    """Lines of step, name and value in ``logs.csv``, each on the disk at once.

    Metrics of the result have no step. Pictures and confusion lie in the run folder as they are.
    A training that is resumed goes on with the file: lines of earlier steps stay, and those from
    its first step onwards are written again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers of a training."""
        self._write([(step, name, value) for name, value in values.items()], step)

    def metrics(self, metrics: Mapping[str, object]) -> None:
        """Write numbers; nested mappings are joined by "/", what is not a number is left out."""
        self._write([("", name, value) for name, value in flatten(metrics).items()], None)

    def picture(self, name: str, path: Path) -> None:
        """Do nothing: the picture is in the run folder."""

    def confusion(self, counts: NDArray[np.int64], names: Sequence[str]) -> None:
        """Do nothing: confusion.csv is in the run folder."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, rows: Sequence[Row], step: int | None) -> None:
        if self._file is None:
            write_text(self._path, csv_text([COLUMNS, *_earlier(self._path, step)]))
            self._file = self._path.open("a", encoding="utf-8", newline="")
        self._file.write(csv_text(rows))
        self._file.flush()


@contextmanager
def open_csv(folder: Path) -> Iterator[CsvLogger]:
    """Open the file of a run folder, and close it whatever happens."""
    logger = CsvLogger(folder / FILE)
    try:
        yield logger
    finally:
        logger.close()


def _earlier(path: Path, step: int | None) -> list[list[str]]:
    """Lines of an earlier attempt at steps before this one, or at any with None."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)]
    whole = [row for row in rows if row[0].isdigit() and row[2]]
    return [row for row in whole if step is None or int(row[0]) < step]
