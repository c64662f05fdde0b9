"""What a table or figure is: its cells, its layout and the numbers that were published.

A definition is a YAML file of ``experiments/``, or any other. A table's cell is a row in a column,
once for each seed: the overrides of the table, the row and the column make its configuration.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mapsr.errors import require_choice
from mapsr.tables.label_definitions import AccuracyDefinition, LabelFigureDefinition

AVERAGE = "average"
"""Name of the column with the mean over all others."""

COSTS = ("annotation", "fit_seconds", "seconds", "trained_parameters")
"""What a figure of cost may show."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True)
class Row:
    """A method, or a variant of one.

    Attributes:
        name: letters, digits and _.
        label: what the table calls it.
        category: what rows of one kind have in common; "" for nothing.
        overrides: key=value, for all cells of the row.
        seeds: one run each.
        published: column name -> mean IoU as a fraction.
        published_parameters: trained parameters, rounded as they were printed; None: not printed.
        published_fit_seconds: time of training as it was printed; None: not printed.
    """

    name: str
    label: str
    category: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    published: Mapping[str, float]
    published_parameters: int | None
    published_fit_seconds: float | None = None


@dataclass(frozen=True)
class Column:
    """A data set or another condition that every row is seen under.

    Attributes:
        name: letters, digits and _; "" in a table whose definition lists no columns.
        label: what the table calls it.
        overrides: key=value, for all cells of the column.
    """

    name: str
    label: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class TableDefinition:
    """A table.

    Attributes:
        name: of the definition's file, without its ending.
        title: one line.
        caption: what is seen, one paragraph.
        overrides: key=value, for all cells.
        rows: from top to bottom.
        columns: from left to right.
        average: label of a last column with the mean over all others; None: there is none.
        show: which scores are shown: "miou" always, "oa", "iou" of each class, and "coarse", the
            mean IoU of the coarse product itself.
        reference: name of the row that the others are compared with, scene by scene; None: none.
        notes: what a reader must know of it, a sentence or more each.
    """

    name: str
    title: str
    caption: str
    overrides: tuple[str, ...]
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    average: str | None
    show: tuple[str, ...]
    reference: str | None
    notes: tuple[str, ...]

    def row(self, name: str) -> Row:
        """Return a row by its name.

        Raises:
            ConfigError: there is none; the nearest one is named.
        """
        names = [row.name for row in self.rows]
        require_choice(name, names, f"a row of table '{self.name}'")
        return self.rows[names.index(name)]

    def column(self, name: str) -> Column:
        """Return a column by its name.

        Raises:
            ConfigError: there is none; the nearest one is named.
        """
        names = [column.name for column in self.columns]
        require_choice(name, names, f"a column of table '{self.name}'")
        return self.columns[names.index(name)]

    def on_other_data(self, data: str) -> "TableDefinition":
        """Return the table for a choice of the group ``data`` in place of its own data.

        Overrides of ``data`` fall away, and with them the columns that say nothing else: those
        become one, named as the choice.
        """
        columns = tuple(replace(one, overrides=_no_data(one.overrides)) for one in self.columns)
        rows = tuple(replace(row, overrides=_no_data(row.overrides)) for row in self.rows)
        average = self.average
        notes = (*self.notes, f"Seen on data={data}: the published numbers are of other data.")
        if not any(column.overrides for column in columns) and columns[0].name:
            columns = (Column(_NOT_IN_NAMES.sub("_", data), data, ()),)
            name = columns[0].name
            rows = tuple(replace(row, published=_whole(row, name)) for row in rows)
            average = None
        overrides = _no_data(self.overrides)
        return replace(
            self, overrides=overrides, columns=columns, rows=rows, average=average, notes=notes
        )


def _no_data(overrides: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in overrides if not re.match(r"data[.=]", one))


def _whole(row: Row, column: str) -> dict[str, float]:
    """What was published of all columns together."""
    values = row.published
    if AVERAGE in values:
        return {column: values[AVERAGE]}
    return {column: next(iter(values.values()))} if len(values) == 1 else {}


@dataclass(frozen=True)
class CostDefinition:
    """A figure of cost against accuracy, a point for each row of a table.

    Attributes:
        name: of the definition's file, without its ending.
        title: one line.
        caption: what is seen, one paragraph.
        table: the table whose rows they are: a name or a path, as a user would give it.
        column: name of the column that gives the accuracy; "average" where the table has one.
        costs: a panel each: "annotation" (pixels of truth that are learned from), "fit_seconds",
            "seconds" of fitting and mapping, "trained_parameters".
        notes: what a reader must know of it.
    """

    name: str
    title: str
    caption: str
    table: str
    column: str
    costs: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class MapPanel:
    """A cell of a table whose map is shown.

    Attributes:
        table: a name or a path, as a user would give it.
        row: name of the row.
        column: name of the column, "" in a table without names of columns.
        title: what stands above the map; "" for the label of the row.
    """

    table: str
    row: str
    column: str
    title: str


@dataclass(frozen=True)
class MapScene:
    """A part of a scene that is shown.

    Attributes:
        name: of a scored scene.
        window: first row, first column, height and width in pixels; None: from the top left.
    """

    name: str
    window: tuple[int, int, int, int] | None


@dataclass(frozen=True)
class MapsDefinition:
    """A figure of maps side by side: image, truth, and a panel for each cell.

    Attributes:
        name: of the definition's file, without its ending.
        title: one line.
        caption: what is seen, one paragraph.
        panels: from left to right.
        scenes: from top to bottom, or how many of the scored ones, in the order of their names.
        notes: what a reader must know of it.
    """

    name: str
    title: str
    caption: str
    panels: tuple[MapPanel, ...]
    scenes: tuple[MapScene, ...] | int
    notes: tuple[str, ...]


Definition = (
    TableDefinition | CostDefinition | MapsDefinition | AccuracyDefinition | LabelFigureDefinition
)
