"""Load definitions of tables and figures of label runs, strictly."""

from collections.abc import Mapping
from pathlib import Path

from mapsr.errors import require_choice
from mapsr.tables.label_definitions import (
    AccuracyDefinition,
    AccuracyRow,
    LabelFigureDefinition,
    Misprint,
)
from mapsr.tables.label_runs import MEASURES
from mapsr.tables.sections import Section, is_number

ACCURACIES = ("kind", "title", "caption", "of", "head", "columns", "rows", "notes")
LABEL_FIGURE = ("kind", "title", "caption", "shows", "published", "notes")
_OF = ("final", "rounds", "products")
_SHOWS = ("rounds", "composition")
_COLUMN = ("label", "class")
_ROW = ("name", "label", "pa", "ua", "f1", "oa", "ratio", "misprints", "remark")
_MISPRINT = ("measure", "class", "printed", "reason")


def load_accuracies(path: Path, file: Section) -> AccuracyDefinition:
    """Load a table of accuracies.

    Raises:
        ConfigError: a value is missing or does not fit; file and key are named.
    """
    of = file.texts("of")
    for one in of:
        require_choice(one, _OF, f"{path}: an entry of of")
    if not of:
        raise file.error("of", "at least one of final, rounds, products")
    sections = file.sections("columns", _COLUMN)
    columns = {one.text("class"): one.text("label") for one in sections}
    return AccuracyDefinition(
        name=path.stem,
        title=file.text("title"),
        caption=file.text("caption"),
        of=of,
        head=file.text("head"),
        columns=columns,
        rows=tuple(_row(one, columns) for one in file.sections("rows", _ROW)),
        notes=file.texts("notes"),
    )


def load_label_figure(path: Path, file: Section) -> LabelFigureDefinition:
    """Load a figure of a label run.

    Raises:
        ConfigError: a value is missing or does not fit; file and key are named.
    """
    published = file.values.get("published", {})
    if not isinstance(published, dict) or not all(map(_is_percent, published.values())):
        raise file.error("published", "name: percentage in [0, 100]")
    return LabelFigureDefinition(
        name=path.stem,
        title=file.text("title"),
        caption=file.text("caption"),
        shows=require_choice(file.text("shows"), _SHOWS, f"{path}: shows"),
        published={str(name): float(value) for name, value in published.items()},
        notes=file.texts("notes"),
    )


def _row(section: Section, columns: Mapping[str, str]) -> AccuracyRow:
    published = {measure: _by_class(section, measure, columns) for measure in MEASURES}
    misprints = tuple(_misprint(one, published) for one in section.sections("misprints", _MISPRINT))
    totals = [section.number(key, 0, 100) for key in ("oa", "ratio")]
    oa, ratio = (None if value is None else value / 100 for value in totals)
    return AccuracyRow(
        name=section.text("name"),
        label=section.text("label"),
        published=published,
        oa=oa,
        ratio=ratio,
        misprints=misprints,
        remark=section.text("remark", ""),
    )


def _by_class(
    section: Section, measure: str, columns: Mapping[str, str]
) -> dict[str, float | None]:
    """Percentages in the order of the columns, null for none, as fractions by class."""
    values = section.values.get(measure)
    fits = isinstance(values, list) and len(values) == len(columns)
    if not fits or not all(value is None or _is_percent(value) for value in values or ()):
        raise section.error(
            measure, f"{len(columns)} percentages in [0, 100], one for each column, or null"
        )
    named = zip(columns, section.values[measure], strict=True)
    return {name: None if value is None else value / 100 for name, value in named}


def _misprint(section: Section, published: Mapping[str, Mapping[str, float | None]]) -> Misprint:
    measure = require_choice(section.text("measure"), MEASURES, f"{section.where}: measure")
    place = require_choice(section.text("class"), published[measure], f"{section.where}: class")
    printed = section.number("printed", 0, 100)
    if printed is None or published[measure][place] is None:
        raise section.error("printed", "a percentage, of a class that has a corrected one")
    return Misprint(measure, place, printed, section.text("reason"))


def _is_percent(value: object) -> bool:
    return is_number(value) and 0 <= float(value) <= 100  # type: ignore[arg-type]
