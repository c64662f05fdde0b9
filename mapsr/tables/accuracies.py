"""Tables of accuracies by class, in the layout of EcoVision's Tables 4, 5 and 7."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mapsr
from mapsr.files import write_text
from mapsr.quoting import csv_text
from mapsr.tables.formats import escaped, pipes
from mapsr.tables.label_definitions import AccuracyDefinition, AccuracyRow
from mapsr.tables.label_runs import MEASURES, LabelRun, Measured, refuse, runs_of
from mapsr.tables.layout import NOTHING

_LABELS = {"pa": "PA (%)", "ua": "UA (%)", "f1": "F1-score (%)"}


@dataclass(frozen=True)
class Line:
    """A line of the table: one measure of one map, published or of a run.

    Attributes:
        row: name of the map.
        label: what the table calls it.
        measure: pa, ua or f1.
        source: "published", or the folder of the run.
        values: fractions by class; None where there is none.
        marks: numbers of footnotes by class; "" for the label.
        oa: overall accuracy, in the line of pa alone.
        ratio: likewise.
    """

    row: str
    label: str
    measure: str
    source: str
    values: Mapping[str, float | None]
    marks: Mapping[str, Sequence[int]]
    oa: float | None
    ratio: float | None


def make_accuracies(
    definition: AccuracyDefinition, overrides: Sequence[str], folder: Path
) -> tuple[Path, ...]:
    """Write NAME.md, NAME.tex and NAME.csv: published accuracies, and those of runs beside.

    Args:
        definition: of the table.
        overrides: ``runs=FOLDER,FOLDER``; without it the published numbers stand alone.
        folder: where the files go.

    Returns:
        The files.

    Raises:
        ConfigError: there is another override.
        DataError: a folder holds no results.
    """
    runs, others = runs_of(overrides)
    refuse(others, ["runs"], definition.name)
    footnotes: list[str] = []
    lines = list(_lines(definition, list(_measured(definition, runs)), footnotes))
    classes = _classes(definition, lines)
    base = folder / definition.name
    texts = {
        ".md": _markdown(definition, lines, classes, footnotes),
        ".tex": _latex(definition, lines, classes, footnotes),
        ".csv": _csv(lines, classes),
    }
    paths = tuple(base.with_name(base.name + ending) for ending in texts)
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def _measured(definition: AccuracyDefinition, runs: Sequence[LabelRun]) -> Iterator[Measured]:
    for run in runs:
        for kind in definition.of:
            found = {"final": run.final, "rounds": run.rounds, "products": run.products}[kind]
            yield from found()


def _lines(
    definition: AccuracyDefinition, measured: Sequence[Measured], footnotes: list[str]
) -> Iterator[Line]:
    """Lines map by map: measure by measure, the published one first."""
    names = dict.fromkeys([*(row.name for row in definition.rows), *(m.name for m in measured)])
    rows = {row.name: row for row in definition.rows}
    for name in names:
        own = [one for one in measured if one.name == name]
        row = rows.get(name)
        label = row.label if row is not None else own[0].label
        for measure in MEASURES:
            if row is not None:
                yield _published(row, definition, measure, footnotes)
            for one in own:
                marks = {
                    place: [_mark(footnotes, f"{text} are one class to this product")]
                    for place, text in one.merged.items()
                }
                first = measure == "pa"
                oa, ratio = (one.oa, one.ratio) if first else (None, None)
                yield Line(name, label, measure, one.run, one.values[measure], marks, oa, ratio)


def _published(
    row: AccuracyRow, definition: AccuracyDefinition, measure: str, footnotes: list[str]
) -> Line:
    marks: dict[str, list[int]] = {}
    for slip in row.misprints:
        if slip.measure == measure:
            what = _LABELS[measure].removesuffix(" (%)")
            right = row.published[measure][slip.place]
            text = f"Corrected: {what} is printed as {slip.printed:.2f}; {slip.reason}"
            assert right is not None  # the definition was checked
            marks.setdefault(slip.place, []).append(_mark(footnotes, text))
    if row.remark:
        marks[""] = [_mark(footnotes, row.remark)]
    first = measure == "pa"
    oa, ratio = (row.oa, row.ratio) if first else (None, None)
    values = row.published[measure]
    return Line(row.name, row.label, measure, "published", values, marks, oa, ratio)


def _mark(footnotes: list[str], text: str) -> int:
    """Number of a footnote, which stands once."""
    text = text.rstrip(".") + "."
    if text not in footnotes:
        footnotes.append(text)
    return footnotes.index(text) + 1


def _classes(definition: AccuracyDefinition, lines: Sequence[Line]) -> dict[str, str]:
    """Class -> head of its column: the definition's, then what runs have besides."""
    heads = dict(definition.columns)
    for line in lines:
        heads |= {name: name for name in line.values if name not in heads}
    return heads


def _cells(
    definition: AccuracyDefinition, lines: Sequence[Line], classes: Mapping[str, str]
) -> Iterator[list[str]]:
    """Rows of text; what stands above already is left out."""
    before: tuple[str, str] = ("", "")
    ratios = "rounds" in definition.of
    for line in lines:
        now = (line.row, line.measure)
        label = _marked(line.label, line.marks.get("", ())) if now[0] != before[0] else ""
        measure = _LABELS[line.measure] if now != before else ""
        before = now
        scores = [
            _marked(_percent(line.values.get(name)), line.marks.get(name, ())) for name in classes
        ]
        ends = [line.oa, line.ratio] if ratios else [line.oa]
        totals = [_percent(one) if line.measure == "pa" else "" for one in ends]
        yield [label, measure, line.source, *scores, *totals]


def _heads(definition: AccuracyDefinition, classes: Mapping[str, str]) -> list[str]:
    ratio = ["Ratio (%)"] if "rounds" in definition.of else []
    return [definition.head, "Accuracy", "from", *classes.values(), "OA (%)", *ratio]


def _markdown(
    definition: AccuracyDefinition,
    lines: Sequence[Line],
    classes: Mapping[str, str],
    footnotes: Sequence[str],
) -> str:
    heads = _heads(definition, classes)
    text = [f"# {definition.title}", "", definition.caption, "", pipes(heads)]
    text.append(pipes(["---"] * 3 + ["--:"] * (len(heads) - 3)))
    text += [pipes(cells) for cells in _cells(definition, lines, classes)]
    text += ["", f"{NOTHING} stands where there is no result.", ""]
    text += [f"({number}) {note}\n" for number, note in enumerate(footnotes, 1)]
    text += [f"- {note}" for note in definition.notes]
    return "\n".join([*text, "", f"mapsr {mapsr.__version__}.", ""])


def _latex(
    definition: AccuracyDefinition,
    lines: Sequence[Line],
    classes: Mapping[str, str],
    footnotes: Sequence[str],
) -> str:
    heads = _heads(definition, classes)
    caption = f"{definition.title.rstrip('.')}. {definition.caption}"
    text = [f"% mapsr table {definition.name}: mapsr {mapsr.__version__}", r"\begin{table*}[t]"]
    text += [r"\centering", rf"\caption{{{escaped(caption)}}}"]
    text += [rf"\label{{tab:{definition.name}}}", r"\scriptsize"]
    text += [rf"\begin{{tabular}}{{lll{'r' * (len(heads) - 3)}}}", r"\toprule"]
    text += [" & ".join(map(escaped, heads)) + r" \\", r"\midrule"]
    for cells in _cells(definition, lines, classes):
        text.append(" & ".join(map(escaped, cells)) + r" \\")
    text += [r"\bottomrule", r"\end{tabular}"]
    notes = [f"({number}) {note}" for number, note in enumerate(footnotes, 1)]
    for note in [*notes, *definition.notes]:
        text += ["", rf"\smallskip{{\footnotesize {escaped(note)}\par}}"]
    return "\n".join([*text, r"\end{table*}", ""])


def _csv(lines: Sequence[Line], classes: Mapping[str, str]) -> str:
    """In long form, fractions in [0, 1]; published numbers as corrected."""
    rows: list[list[object]] = [["row", "label", "measure", "source", "class", "value"]]
    for line in lines:
        values = {name: line.values.get(name) for name in classes}
        for name, value in values.items():
            rows.append([line.row, line.label, line.measure, line.source, name, _plain(value)])
        if line.measure == "pa":
            for name, value in {"oa": line.oa, "ratio": line.ratio}.items():
                rows.append([line.row, line.label, name, line.source, "", _plain(value)])
    return csv_text(rows)


def _marked(text: str, marks: Sequence[int]) -> str:
    return text + "".join(f" ({mark})" for mark in marks)


def _percent(fraction: float | None) -> str:
    return NOTHING if fraction is None else f"{100 * fraction:.2f}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
