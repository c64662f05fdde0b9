"""The layout of a table, the same for every format: heads, cells, legend and footnotes."""

from collections.abc import Sequence
from dataclasses import dataclass

from mapsr.tables.definitions import AVERAGE, Column, Row, TableDefinition
from mapsr.tables.results import Entry, Results

NOTHING = "–"
"""Stands where there is no result."""

MEGA = 1e6


@dataclass(frozen=True)
class Score:
    """A measured percentage.

    Attributes:
        percent: 0 to 100; None: there is no result.
        std: deviation over seeds.
        interval: both ends.
        marks: numbers of footnotes.
    """

    percent: float | None
    std: float | None = None
    interval: tuple[float, float] | None = None
    marks: tuple[int, ...] = ()


Field = str | Score


@dataclass(frozen=True)
class Sheet:
    """A table that is ready to be written.

    Attributes:
        groups: what stands above the heads: a label, and over how many heads it reaches.
        heads: one for each cell of a row.
        words: how many of the first cells of a row are words; the others are numbers.
        rows: cells from left to right.
        legend: how the scores are to be read.
        footnotes: why something is missing; the first is number 1.
    """

    groups: tuple[tuple[str, int], ...]
    heads: tuple[str, ...]
    words: int
    rows: tuple[tuple[Field, ...], ...]
    legend: str
    footnotes: tuple[str, ...]


def columns_of(definition: TableDefinition) -> tuple[Column, ...]:
    """The columns as they are shown: with the average, where there is one."""
    average = (Column(AVERAGE, definition.average, ()),) if definition.average else ()
    return (*definition.columns, *average)


def class_names(results: Results) -> list[str]:
    """The classes that any run has an IoU of, in the order of their legend."""
    return list(dict.fromkeys(name for entry in results.values() for name in entry.iou))


def remarks_of(results: Results) -> list[str]:
    """What is missing and why, each once."""
    return list(dict.fromkeys(remark for entry in results.values() for remark in entry.remarks))


def sheet(definition: TableDefinition, results: Results) -> Sheet:
    """Lay out a table.

    Args:
        definition: its rows, columns and what is shown.
        results: an entry for each row and shown column.
    """
    columns, classes, remarks = columns_of(definition), class_names(results), remarks_of(results)
    categories = any(row.category for row in definition.rows)
    printed = any(row.published_parameters is not None for row in definition.rows)
    stub = ["Category"] * categories + ["Method"]
    counts = ["published"] * printed + ["trained"]
    groups, heads = [("", len(stub)), ("Parameters (M)", len(counts))], [*stub, *counts]
    for column in columns:
        own = _heads(definition, column, classes)
        heads += own
        groups.append((column.label or "Scores (%)", len(own)))
    rows, before = [], ""
    for row in definition.rows:
        cells: list[Field] = [row.category if row.category != before else ""] if categories else []
        before = row.category
        cells += [row.label, *_parameters(row, results, columns, printed)]
        for column in columns:
            entry = results[row.name, column.name]
            marks = tuple(1 + remarks.index(remark) for remark in entry.remarks)
            cells += _scores(definition, row, column, entry, classes, marks)
        rows.append(tuple(cells))
    return Sheet(
        groups=tuple(groups),
        heads=tuple(heads),
        words=len(stub),
        rows=tuple(rows),
        legend=_legend(definition, results),
        footnotes=tuple(remarks),
    )


def _heads(definition: TableDefinition, column: Column, classes: Sequence[str]) -> list[str]:
    heads = ["published", "mIoU"] if _has_published(definition, column) else ["mIoU"]
    if definition.reference and column.name != AVERAGE:
        heads.append("difference")
    extra = {"oa": ["OA"], "iou": list(classes), "coarse": ["coarse product"]}
    for one in definition.show[1:] if column.name != AVERAGE else ():
        heads += extra[one]
    return heads


def _has_published(definition: TableDefinition, column: Column) -> bool:
    return any(column.name in row.published for row in definition.rows)


def _parameters(
    row: Row, results: Results, columns: Sequence[Column], printed: bool
) -> list[Field]:
    counts = [results[row.name, column.name].trained_parameters for column in columns]
    found = list(dict.fromkeys(count for count in counts if count is not None))
    measured = ", ".join(map(_millions, found)) or NOTHING
    if not printed:
        return [measured]
    published = row.published_parameters
    return [NOTHING if published is None else _millions(published), measured]


def _millions(count: int) -> str:
    if count == 0:
        return "0"
    if count < 1000:
        return f"{count / MEGA:.6f}".rstrip("0")
    return f"{count / MEGA:.3f}" if count < MEGA else f"{count / MEGA:.2f}"


def _scores(
    definition: TableDefinition,
    row: Row,
    column: Column,
    entry: Entry,
    classes: Sequence[str],
    marks: tuple[int, ...],
) -> list[Field]:
    """Cells under the heads of one column, in their order."""
    low_high = None if entry.interval is None else _percents(entry.interval)
    std = None if entry.seed_std is None else 100 * entry.seed_std
    cells: list[Field] = [Score(_percent(entry.miou), std, low_high, marks)]
    if _has_published(definition, column):
        cells.insert(0, Score(_percent(entry.published)))
    if column.name == AVERAGE:
        return cells
    if definition.reference:
        cells.append(_difference(definition.reference == row.name, entry))
    for one in definition.show[1:]:
        if one == "oa":
            cells.append(Score(_percent(entry.oa)))
        elif one == "coarse":
            cells.append(Score(_percent(entry.coarse_miou)))
        else:
            cells += [Score(_percent(entry.iou.get(name))) for name in classes]
    return cells


def _difference(own: bool, entry: Entry) -> Field:
    if own:
        return "reference"
    if entry.difference is None:
        return Score(None)
    ends = (entry.difference.low, entry.difference.high)
    return Score(100 * entry.difference.miou, None, _percents(ends))


def _legend(definition: TableDefinition, results: Results) -> str:
    """How to read the scores: which spread is of seeds, and which of scenes."""
    levels = {entry.level for entry in results.values() if entry.level is not None}
    level = f"{100 * levels.pop():g} % " if len(levels) == 1 else ""
    parts = [
        "Scores are percentages, means over the seeds.",
        "± is the sample standard deviation of mIoU over seeds (none with one seed);",
        f"[low, high] is the {level}bootstrap interval of mIoU over the scored scenes, of the run "
        "with the first seed.",
    ]
    if definition.reference:
        label = definition.row(definition.reference).label
        parts.append(
            f"The difference is that of mIoU to {label}, between runs of one seed and averaged "
            "over the seeds that both have, with the bootstrap interval over the same scenes drawn "
            "for all."
        )
    if any(_has_published(definition, column) for column in columns_of(definition)):
        parts.append("Published mIoU and parameters are as printed.")
    return " ".join([*parts, f"{NOTHING} stands where there is no result."])


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _percents(ends: tuple[float, float]) -> tuple[float, float]:
    return 100 * ends[0], 100 * ends[1]
