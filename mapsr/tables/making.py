"""Make a table: run the cells that are missing, gather all of them, and write every format."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mapsr.errors import ConfigError, DataError, near_match
from mapsr.evaluation.differences import Difference, bootstrap_difference
from mapsr.experiment.run import run_experiment
from mapsr.files import write_json, write_text
from mapsr.progress import Progress, Quiet
from mapsr.tables.cells import (
    CellState,
    Compose,
    RunOne,
    TableCell,
    cells_of,
    check_stale,
    data_of,
    look_up,
    run_cells,
    seen_note,
    version_of,
)
from mapsr.tables.definitions import AVERAGE, TableDefinition
from mapsr.tables.formats import Provenance, csv_text, latex, markdown
from mapsr.tables.results import Entry, Run, average_of, entry_of
from mapsr.tracking.finished import read_confusion

logger = logging.getLogger(__name__)

FOLDER = Path("outputs/tables")


@dataclass(frozen=True)
class Request:
    """What is asked for, and with what.

    Attributes:
        compose: makes the settings of a cell.
        overrides: key=value, for all cells.
        only: names of rows and columns whose missing cells are run; empty: all.
        folder: where tables and their runs lie.
        run: runs one cell.
        progress: shows long work.
    """

    compose: Compose
    overrides: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    folder: Path = FOLDER
    run: RunOne = run_experiment
    progress: Progress = field(default_factory=Quiet)


@dataclass(frozen=True)
class Made:
    """What came of a request.

    Attributes:
        paths: the files that were written.
        failures: name of each cell that failed -> why.
    """

    paths: tuple[Path, ...]
    failures: Mapping[str, str]


@dataclass(frozen=True)
class Gathered:
    """The results of a table.

    Attributes:
        definition: of the table, for the data that was seen.
        cells: every cell, with what is known of it.
        results: an entry for each row and shown column.
        provenance: data and versions.
        failures: name of each cell that failed -> why.
    """

    definition: TableDefinition
    cells: tuple[tuple[TableCell, CellState], ...]
    results: dict[tuple[str, str], Entry]
    provenance: Provenance
    failures: Mapping[str, str]


def plan(definition: TableDefinition, request: Request) -> list[tuple[TableCell, CellState]]:
    """Look at every cell of a table; nothing is run.

    Raises:
        ConfigError: a cell's configuration is wrong, or ``only`` names no row or column.
    """
    definition = for_data(definition, request.overrides)
    _check_only(definition, request.only)
    cells = cells_of(definition, request.overrides, request.compose, request.folder)
    return [(cell, look_up(cell)) for cell in cells]


def make_table(definition: TableDefinition, request: Request) -> Made:
    """Run the missing cells of a table and write NAME.md, NAME.tex and NAME.csv.

    Raises:
        ConfigError: a cell's configuration is wrong, or a cell is stale; nothing was run.
        MapsrError: no cell at all can be run, for a reason such as data that is not there.
    """
    gathered = gather(definition, request)
    definition, results = gathered.definition, gathered.results
    base = request.folder / definition.name
    texts = {
        ".md": markdown(definition, results, gathered.provenance),
        ".tex": latex(definition, results, gathered.provenance),
        ".csv": csv_text(definition, results),
    }
    paths = []
    for ending, text in texts.items():
        paths.append(base.with_name(base.name + ending))
        write_text(paths[-1], text)
    return Made(tuple(paths), gathered.failures)


def gather(definition: TableDefinition, request: Request) -> Gathered:
    """Run what is missing and gather the results.

    Raises:
        ConfigError: a cell's configuration is wrong, or a cell is stale; nothing was run.
        MapsrError: no cell at all can be run.
    """
    known = plan(definition, request)
    definition = for_data(definition, request.overrides)
    check_stale(known)
    _check_possible(known)
    chosen = [
        (cell, found)
        for cell, found in known
        if found.state != "finished" and _chosen(cell, definition, request.only)
    ]
    failed = run_cells(chosen, request.run, request.progress) if chosen else {}
    _record_failures(request.folder / definition.name, [cell for cell, _ in known], failed)
    done = {cell for cell, _ in chosen}
    after = tuple((cell, look_up(cell) if cell in done else found) for cell, found in known)
    failures = {name: str(failure["error"]) for name, failure in failed.items()}
    definition = replace(definition, notes=(*definition.notes, *seen_note(definition, after)))
    return Gathered(
        definition, after, _entries(definition, after, failures), _provenance(after), failures
    )


def for_data(definition: TableDefinition, overrides: Sequence[str]) -> TableDefinition:
    """The table on the data that overrides choose, if they do."""
    choices = [one.partition("=")[2] for one in overrides if one.startswith("data=")]
    return definition.on_other_data(choices[-1]) if choices else definition


def _check_only(definition: TableDefinition, only: Sequence[str]) -> None:
    names = [row.name for row in definition.rows]
    names += [column.name for column in definition.columns if column.name]
    for name in only:
        if name not in names:
            raise ConfigError(
                f"--only names '{name}', expected a row or column of table '{definition.name}': "
                f"{', '.join(names)}.{near_match(name, names)}"
            )


def _chosen(cell: TableCell, definition: TableDefinition, only: Sequence[str]) -> bool:
    """Whether a cell lies in a named row and in a named column, where any are named."""
    rows = {row.name for row in definition.rows} & set(only)
    columns = {column.name for column in definition.columns} & set(only)
    return (not rows or cell.row in rows) and (not columns or cell.column in columns)


def _check_possible(known: Sequence[tuple[TableCell, CellState]]) -> None:
    """Raise the reason where no cell at all can be seen, rather than write an empty table."""
    if known and all(found.state == "broken" for _, found in known):
        error = known[0][1].error
        assert error is not None  # of a broken cell
        raise error


def _record_failures(
    folder: Path, cells: Sequence[TableCell], failed: Mapping[str, Mapping[str, str | None]]
) -> None:
    """Keep the traces of the cells that failed, also of those that came to no run folder."""
    path = folder / "failed.json"
    known: dict[str, object] = {}
    if path.exists():
        with suppress(ValueError, TypeError, OSError, RecursionError):
            known = dict(json.loads(path.read_text(encoding="utf-8")))
    for cell in cells:
        known.pop(cell.name, None)
    if known | dict(failed):
        write_json(path, known | dict(failed))
    else:
        path.unlink(missing_ok=True)


def _entries(
    definition: TableDefinition,
    cells: Sequence[tuple[TableCell, CellState]],
    failures: Mapping[str, str],
) -> dict[tuple[str, str], Entry]:
    """Entries in the order of the table."""
    entries: dict[tuple[str, str], Entry] = {}
    for row in definition.rows:
        for column in definition.columns:
            own = [(c, f) for c, f in cells if (c.row, c.column) == (row.name, column.name)]
            runs = [Run(c.seed, str(c.path), f.metrics) for c, f in own if f.metrics]
            entries[row.name, column.name] = entry_of(
                runs,
                row.published.get(column.name),
                row.published_parameters,
                _remarks(own, failures),
            )
        if definition.average:
            parts = [entries[row.name, column.name] for column in definition.columns]
            entries[row.name, AVERAGE] = average_of(parts, row.published.get(AVERAGE))
    if definition.reference:
        for key, entry in entries.items():
            if key[1] != AVERAGE and key[0] != definition.reference:
                base = entries[definition.reference, key[1]]
                entries[key] = replace(entry, difference=_difference(entry, base))
    return entries


def _remarks(
    cells: Sequence[tuple[TableCell, CellState]], failures: Mapping[str, str]
) -> list[str]:
    """Why runs of a cell are missing, each reason once with its seeds."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for cell, found in cells:
        if found.metrics:
            continue
        if cell.name in failures:
            reason = ("failed", f": {failures[cell.name]}")
        elif found.state == "broken":
            reason = ("can't be seen", f": {found.error}")
        else:
            reason = ("stale" if found.state == "stale" else "not run", "")
        seeds.setdefault(reason, []).append(str(cell.seed))
    return [
        " ".join(f"{what} (seed {', '.join(numbers)}){why}".split())
        for (what, why), numbers in seeds.items()
    ]


def _difference(entry: Entry, base: Entry) -> Difference | None:
    """Compare runs of one seed with each other: what chance does to both is not a difference."""
    others = {run.seed: run for run in base.runs}
    paired = [(run, others[run.seed]) for run in entry.runs if run.seed in others]
    if entry.miou is None or base.miou is None or not paired:
        return None
    try:
        pairs = [
            (read_confusion(Path(one.path)), read_confusion(Path(other.path)))
            for one, other in paired
        ]
        return bootstrap_difference(pairs, np.random.default_rng(0))
    except DataError as error:
        logger.warning("no difference of %s: %s", entry.runs[0].path, error)
        return None


def _provenance(cells: Sequence[tuple[TableCell, CellState]]) -> Provenance:
    done = [cell for cell, found in cells if found.metrics]
    data = dict.fromkeys(data_of(cell) for cell in done)
    versions = dict.fromkeys(version for cell in done if (version := version_of(cell.path)))
    return Provenance(tuple(data), tuple(versions))
