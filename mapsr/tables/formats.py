"""Write a table as Markdown, LaTeX and CSV, from one layout; same results give the same text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import mapsr
from mapsr import quoting
from mapsr.quoting import in_markdown
from mapsr.tables.definitions import TableDefinition
from mapsr.tables.layout import NOTHING, Field, Score, Sheet, class_names, columns_of, sheet
from mapsr.tables.results import Entry, Results

FIELDS = (
    *("row", "label", "category", "column", "seeds", "trained_parameters", "published_parameters"),
    *("miou", "oa", "seed_std", "ci_low", "ci_high", "published", "coarse_miou", "crosswalk"),
    *("scenes", "seconds", "difference", "difference_low", "difference_high", "remarks", "run"),
)
"""Columns of the CSV before those of the classes. All scores are fractions in [0, 1]."""

_PIPE = re.compile(r"(?<!\\)\|")

_LATEX = {
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    # where they begin a line, \\ would take them as its own
    **{"[": "{[}", "*": "{*}"},
    **{"–": "--", "±": r"$\pm$", "†": r"$\dagger$", "×": r"$\times$", "<": "$<$", ">": "$>$"},
}

_NUMBERED = re.compile(r"^(?:Table|Figure) [0-9IVX]+[^.]*\. +")
_PACKAGES = r"% needs \usepackage{booktabs,graphicx}"
_FITTING = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""Shrinks what follows to the width of the column where it is wider, and else leaves it."""


@dataclass(frozen=True)
class Provenance:
    """What every table says of its runs.

    Attributes:
        data: the data that was seen, a phrase each.
        versions: of mapsr, that the runs were done with.
    """

    data: tuple[str, ...]
    versions: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line."""
        versions = " and ".join(self.versions) or mapsr.__version__
        return f"mapsr {versions}; data: {'; '.join(self.data) or 'none seen'}."


def csv_text(definition: TableDefinition, results: Results) -> str:
    """Return the table in long form: a line for each row and column, empty where nothing is known.

    ``miou``, ``oa``, ``seed_std``, ``ci_low``, ``ci_high``, ``published``, the differences and the
    IoU of each class are fractions in [0, 1]; ``seconds`` is the time of fitting and mapping;
    ``run`` is the folder of the run with the first seed, or those of all columns for the average.
    """
    classes = class_names(results)
    head: list[object] = [
        *FIELDS,
        *(f"iou_{re.sub(r'[^A-Za-z0-9]+', '_', name)}" for name in classes),
    ]
    rows = [head]
    for row in definition.rows:
        for column in columns_of(definition):
            entry = results[row.name, column.name]
            known = _known(entry) | {
                "row": row.name,
                "label": row.label,
                "category": row.category,
                "column": column.name,
                "published_parameters": row.published_parameters,
            }
            values = [*(known[key] for key in FIELDS), *(entry.iou.get(name) for name in classes)]
            rows.append([_plain(value) for value in values])
    return quoting.csv_text(rows)


def markdown(definition: TableDefinition, results: Results, provenance: Provenance) -> str:
    """Return the table as a Markdown document, with the runs that its numbers are from."""
    laid = sheet(definition, results)
    over = [label for label, span in laid.groups for _ in range(span)]
    many = len(definition.columns) > 1 or bool(definition.columns[0].label)
    heads = [
        f"{group}: {head}" if group and (many or group.startswith("Parameters")) else head
        for group, head in zip(over, laid.heads, strict=True)
    ]
    rule = ["---"] * laid.words + ["--:"] * (len(heads) - laid.words)
    lines = [f"# {definition.title}", "", definition.caption, ""]
    lines += [pipes(heads), pipes(rule)]
    lines += [pipes([_in_markdown(cell) for cell in row]) for row in laid.rows]
    lines += ["", laid.legend, ""]
    lines += [f"({number}) {in_markdown(note)}\n" for number, note in enumerate(laid.footnotes, 1)]
    lines += [f"- {note}" for note in definition.notes] + [""] * bool(definition.notes)
    lines += ["## Runs", "", pipes(["row", "column", "seed", "mIoU", "run"])]
    lines.append(pipes(["---", "---", "--:", "--:", "---"]))
    for row in definition.rows:
        for column in definition.columns:
            for run in results[row.name, column.name].runs:
                score = _in_markdown(Score(_hundredfold(run.metrics.get("miou"))))
                folder = f"`{run.path.replace('`', '_')}`"
                names = in_markdown(row.name), in_markdown(column.name)
                lines.append(pipes([*names, str(run.seed), score, folder]))
    return "\n".join([*lines, "", provenance.text, ""])


def latex(definition: TableDefinition, results: Results, provenance: Provenance) -> str:
    r"""Return the table as LaTeX: a table environment that is never wider than its column.

    It needs the packages booktabs and graphicx, as a comment says.

    Intervals stand in a line below their scores. The runs are listed in comments.
    """
    laid = sheet(definition, results)
    wide = len(laid.heads) > 9
    environment = "table*" if wide else "table"
    title = _NUMBERED.sub("", definition.title).rstrip(".")  # LaTeX numbers tables itself
    caption = " ".join([f"{title}.", definition.caption, laid.legend])
    lines = [f"% mapsr table {definition.name}: {provenance.text}", _PACKAGES]
    lines.append(rf"\begin{{{environment}}}[t]")
    lines += [r"\centering", rf"\caption{{{escaped(caption)}}}"]
    lines.append(rf"\label{{tab:{definition.name}}}")
    if wide:
        lines += [r"\scriptsize", r"\setlength{\tabcolsep}{2.5pt}"]
    form = "l" * laid.words + "r" * (len(laid.heads) - laid.words)
    lines += [_FITTING, rf"\begin{{tabular}}{{{form}}}", r"\toprule", *_group_lines(laid)]
    lines += [_ampersands([escaped(head) for head in laid.heads]), r"\midrule"]
    for number, row in enumerate(laid.rows):
        # a category is written once, at its first row
        if number and laid.words > 1 and row[0]:
            lines.append(r"\addlinespace")
        lines += _row_lines(row)
    lines += [r"\bottomrule", r"\end{tabular}}"]
    notes = [f"({number}) {note}" for number, note in enumerate(laid.footnotes, 1)]
    for note in [*notes, *definition.notes]:
        lines += ["", rf"\smallskip{{\footnotesize {escaped(note)}\par}}"]
    lines.append(rf"\end{{{environment}}}")
    for (row_name, column), entry in results.items():
        name = f"{row_name}, {column}" if column else row_name
        lines += [f"% {name}, seed {run.seed}: {run.path}" for run in entry.runs]
    return "\n".join([*lines, ""])


def escaped(text: str) -> str:
    """Return text with the signs that LaTeX would take as commands written out."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _known(entry: Entry) -> dict[str, object]:
    low, high = entry.interval or (None, None)
    difference = entry.difference
    return {
        "seeds": " ".join(str(run.seed) for run in entry.runs),
        "trained_parameters": entry.trained_parameters,
        "miou": entry.miou,
        "oa": entry.oa,
        "seed_std": entry.seed_std,
        "ci_low": low,
        "ci_high": high,
        "published": entry.published,
        "coarse_miou": entry.coarse_miou,
        "crosswalk": entry.crosswalk,
        "scenes": entry.scenes,
        "seconds": entry.seconds,
        "difference": difference and difference.miou,
        "difference_low": difference and difference.low,
        "difference_high": difference and difference.high,
        "remarks": "; ".join(entry.remarks),
        "run": "; ".join(entry.sources),
    }


def _plain(value: object) -> object:
    return f"{value:.6f}" if isinstance(value, float) else value


def _hundredfold(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _in_markdown(cell: Field) -> str:
    if isinstance(cell, str):
        return in_markdown(cell)
    return " ".join(part for part in (_main(cell), _interval(cell)) if part)


def _main(score: Score) -> str:
    text = NOTHING if score.percent is None else f"{score.percent:.2f}"
    text += "" if score.std is None else f" ± {score.std:.2f}"
    return text + "".join(f" ({mark})" for mark in score.marks)


def _interval(score: Score) -> str:
    if score.interval is None:
        return ""
    return f"[{score.interval[0]:.2f}, {score.interval[1]:.2f}]"


def pipes(cells: Sequence[str]) -> str:
    """Return cells as a line of a table in Markdown."""
    return "| " + " | ".join(_PIPE.sub(r"\|", " ".join(cell.split())) for cell in cells) + " |"


def _ampersands(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _group_lines(laid: Sheet) -> list[str]:
    cells, rules = [], []
    ends = [0]
    for _, span in laid.groups:
        ends.append(ends[-1] + span)
    for (label, span), (begin, end) in zip(laid.groups, pairwise(ends), strict=True):
        cells.append(rf"\multicolumn{{{span}}}{{c}}{{{escaped(label)}}}")
        if label:
            rules.append(rf"\cmidrule(lr){{{begin + 1}-{end}}}")
    return [_ampersands(cells), "".join(rules)]


def _row_lines(row: Sequence[Field]) -> list[str]:
    scores = [escaped(cell if isinstance(cell, str) else _main(cell)) for cell in row]
    below = ["" if isinstance(cell, str) else _interval(cell) for cell in row]
    return [_ampersands(scores)] + ([_ampersands(below)] if any(below) else [])
