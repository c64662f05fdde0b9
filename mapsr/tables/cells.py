"""The cells of a table: which runs it is made of, which of them are done, and doing the others."""

import gc
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mapsr.errors import ConfigError, MapsrError
from mapsr.experiment.settings import RunSettings
from mapsr.guard import Guard
from mapsr.progress import Progress
from mapsr.settings import plain
from mapsr.tables.definitions import TableDefinition
from mapsr.tracking import finished_metrics
from mapsr.tracking.commands import commanded
from mapsr.tracking.damage import DamagedRunError
from mapsr.tracking.fingerprint import Fingerprint

logger = logging.getLogger(__name__)

Compose = Callable[[list[str]], RunSettings]
"""Makes the settings of a run from overrides."""

RunOne = Callable[[RunSettings, Progress], tuple[Path, dict[str, object]]]
"""Runs one experiment."""

# Each cell has its own; the others belong to the table.
_OWN = ("seed", "output", "name")
# Settings that only rows with a network have.
_OF_NETWORKS = re.compile(r"(network|training)[.=]")


@dataclass(frozen=True, eq=False)
class TableCell:
    """One run of a table.

    Attributes:
        table: name of its definition.
        row: name of its row.
        column: name of its column.
        seed: of the run.
        settings: of the run.
        overrides: that make them.
    """

    table: str
    row: str
    column: str
    seed: int
    settings: RunSettings
    overrides: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The run folder."""
        return Path(str(self.settings.output))

    @property
    def name(self) -> str:
        """As errors call it: TABLE/ROW[-COLUMN]-sSEED."""
        return f"{self.table}/{_stem(self.row, self.column, self.seed)}"


@dataclass(frozen=True, eq=False)
class CellState:
    """What is known of a cell.

    Attributes:
        state: "finished"; "missing", which is to be run; "stale", another run is in its folder; or
            "broken", it can't be run as it is.
        metrics: of a finished run.
        fingerprint: of the run; None where broken.
        error: why it is stale or broken.
    """

    state: str
    metrics: Mapping[str, Any] | None = None
    fingerprint: Fingerprint | None = None
    error: MapsrError | None = None


def cells_of(
    definition: TableDefinition, overrides: Sequence[str], compose: Compose, folder: Path
) -> list[TableCell]:
    """Compose every cell of a table: row by row, column by column, seed by seed.

    Overrides of ``network`` and ``training`` that are not a row's own are left out of rows whose
    method has no network.

    Args:
        definition: of the table.
        overrides: of the user, for all cells.
        compose: makes settings.
        folder: where the tables lie.

    Raises:
        ConfigError: an override sets what belongs to the table.
        ConfigError: a cell's configuration is wrong; the cell is named.
    """
    for override in overrides:
        key = override.partition("=")[0]
        if key in _OWN:
            raise ConfigError(
                f"{key}= can't be set for a table, each of whose cells has its own: the definition "
                "says seeds, --folder where tables and their runs lie."
            )
    cells = []
    for row in definition.rows:
        network: bool | None = None
        for column in definition.columns:
            common = [*definition.overrides, *column.overrides]
            for seed in row.seeds:
                stem = _stem(row.name, column.name, seed)
                own = _own(definition.name, stem, seed, folder)
                with _naming(f"{definition.name}/{stem}"):
                    if network is None and any(map(_OF_NETWORKS.match, [*common, *overrides])):
                        bare = [*_bare(common), *row.overrides, *_bare(overrides), *own]
                        network = compose(bare).network is not None
                    keep = list if network else _bare
                    words = [*keep(common), *row.overrides, *keep(overrides), *own]
                    made = compose(words)
                made = made.grouped(definition.name)
                cells.append(
                    TableCell(definition.name, row.name, column.name, seed, made, tuple(words))
                )
    return cells


def look_up(cell: TableCell) -> CellState:
    """Look whether a cell's run is done."""
    try:
        fingerprint = cell.settings.fingerprint()
    except MapsrError as error:
        return CellState("broken", error=error)
    try:
        metrics = finished_metrics(cell.path, fingerprint)
    except DamagedRunError as error:
        return CellState("broken", fingerprint=fingerprint, error=error)
    except ConfigError as error:
        return CellState("stale", fingerprint=fingerprint, error=error)
    return CellState("finished" if metrics else "missing", metrics, fingerprint)


def check_stale(cells: Sequence[tuple[TableCell, CellState]]) -> None:
    """Refuse results of other settings or data than the table now says.

    Raises:
        ConfigError: a stale cell whose settings don't allow to overwrite it; the first is named,
            with what it was and is.
    """
    stale = [(cell, found) for cell, found in cells if found.state == "stale"]
    stale = [(cell, found) for cell, found in stale if not cell.settings.overwrite]
    if stale:
        cell, found = stale[0]
        more = f" ({len(stale)} cells are stale in all)" if len(stale) > 1 else ""
        # what follows the semicolon is advice to somebody who makes a run by hand
        reason = str(found.error).partition(";")[0].rstrip(".")
        raise ConfigError(
            f"cell '{cell.name}' is stale: {reason}{more}; nothing was run. overwrite=true does "
            "cells of other settings again and gives up what they hold, --folder ELSEWHERE keeps "
            "both."
        )


def run_cells(
    cells: Sequence[tuple[TableCell, CellState]], run: RunOne, progress: Progress
) -> dict[str, dict[str, str | None]]:
    """Run cells one after the other; one that fails is recorded, and the next goes on.

    Args:
        cells: to be run.
        run: runs one.
        progress: shows long work.

    Returns:
        Name of each cell that failed -> its "error" and "trace".
    """
    failures: dict[str, dict[str, str | None]] = {}
    for cell, found in progress.track(cells, "cells", len(cells)):
        logger.info("cell %s", cell.name)
        with (guard := Guard()):
            if found.error and found.state == "broken":
                raise found.error
            # what an unfinished run of the same settings has kept is taken up again
            settings = replace(cell.settings, overwrite=found.state == "stale")
            with commanded(["mapsr", "run", *cell.overrides]):
                run(settings, progress)
        if guard.error is not None:
            logger.warning("cell %s failed: %s", cell.name, guard.error)
            failures[cell.name] = {"error": guard.error, "trace": guard.trace}
        _free_memory()
    return failures


def version_of(path: Path) -> str | None:
    """The version of mapsr that did a run; None where its record does not say."""
    try:
        record = json.loads((path / "record.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    versions = record.get("versions") if isinstance(record, dict) else None
    return versions.get("mapsr") if isinstance(versions, dict) else None


def data_of(cell: TableCell) -> str:
    """A phrase on the data that a cell has seen."""
    data = plain(cell.settings.data)
    root, states = data.get("root"), data.get("states")
    words = [str(data["kind"])]
    words += [f"of {', '.join(states)}"] if states else []
    words += [f"in {root}"] if root else []
    return f"{' '.join(words)}, crosswalk {cell.settings.legend.crosswalk}"


def seen_note(
    definition: TableDefinition, cells: Sequence[tuple[TableCell, CellState]]
) -> list[str]:
    """Say which rows were fitted on labels of the scored scenes, as their runs did it."""
    done = [(cell.row, found.metrics) for cell, found in cells if found.metrics]
    seen = {row for row, metrics in done if metrics.get("transductive")}
    labels = [row.label for row in definition.rows if row.name in seen]
    if not done:
        return []
    which = ", ".join(labels) or "none"
    return [f"Rows that were fitted on the coarse labels of the scored scenes, too: {which}."]


def _own(table: str, stem: str, seed: int, folder: Path) -> list[str]:
    """The overrides that make a cell's run its own."""
    output = (folder / table / stem).as_posix().replace("'", "\\'")
    return [f"name={table}-{stem}", f"seed={seed}", f"output='{output}'"]


def _stem(row: str, column: str, seed: int) -> str:
    return "-".join([*filter(None, (row, column)), f"s{seed}"])


def _bare(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if not _OF_NETWORKS.match(override)]


@contextmanager
def _naming(cell: str) -> Iterator[None]:
    """Say in an error of the configuration which cell it is of."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"cell '{cell}': {error}") from error


def _free_memory() -> None:
    """Give back what a run held, before the next one begins."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
