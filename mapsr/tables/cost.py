"""Figure of cost against accuracy: measured points are solid, published ones hollow."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsr.files import whole_file
from mapsr.tables.definitions import AVERAGE, CostDefinition, TableDefinition
from mapsr.tables.formats import Provenance
from mapsr.tables.layout import NOTHING
from mapsr.tables.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = {
    "trained_parameters": "trained parameters",
    "seconds": "seconds of fitting and mapping",
}
_MARKERS = "osD^vPX*"
# Below this the axis is linear, so that 0 has a place on it.
_LINEAR = {"trained_parameters": 1000.0, "seconds": 1.0}


@dataclass(frozen=True)
class CostPoint:
    """A row of a table, in the figure.

    Attributes:
        row: name of the row.
        label: of the row.
        category: of the row.
        cost: as measured; None: not known.
        miou: as measured, a fraction.
        interval: of miou.
        published_cost: as published.
        published_miou: as published, a fraction.
        runs: folders that the measured numbers are from.
    """

    row: str
    label: str
    category: str
    cost: float | None
    miou: float | None
    interval: tuple[float, float] | None
    published_cost: float | None
    published_miou: float | None
    runs: tuple[str, ...]


def cost_points(
    definition: TableDefinition, results: Results, column: str, cost: str
) -> list[CostPoint]:
    """Gather the points of a column, one for each row.

    Args:
        definition: of the table.
        results: its entries.
        column: name of the column, or "average".
        cost: "trained_parameters" or "seconds".
    """
    points = []
    for row in definition.rows:
        entry = results[row.name, column]
        of_parameters = cost == "trained_parameters"
        points.append(
            CostPoint(
                row=row.name,
                label=row.label,
                category=row.category,
                cost=entry.trained_parameters if of_parameters else entry.seconds,
                miou=entry.miou,
                interval=entry.interval,
                published_cost=row.published_parameters if of_parameters else None,
                published_miou=row.published.get(column),
                runs=entry.sources,
            )
        )
    return points


def cost_column(definition: TableDefinition, wanted: str) -> str:
    """The column that the accuracy is of: the wanted one, else the average, else the first."""
    names = [column.name for column in definition.columns]
    names += [AVERAGE] if definition.average else []
    if wanted in names:
        return wanted
    return AVERAGE if AVERAGE in names else names[0]


def cost_csv(points: Sequence[CostPoint]) -> str:
    """Return a line for each point; mean IoU as fractions in [0, 1], empty where not known."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        [
            *("row", "label", "category", "cost", "miou", "ci_low", "ci_high"),
            *("published_cost", "published", "run"),
        ]
    )
    for point in points:
        low, high = point.interval or (None, None)
        values = (point.cost, point.miou, low, high, point.published_cost, point.published_miou)
        shown = ["" if value is None else _short(value) for value in values]
        runs = "; ".join(point.runs)
        table.writerow([point.row, point.label, point.category, *shown, runs])
    return text.getvalue()


def cost_markdown(
    definition: CostDefinition, points: Sequence[CostPoint], provenance: Provenance
) -> str:
    """Return the figure as a Markdown document, with its points and their runs."""
    axis = AXES[definition.cost]
    lines = [f"# {definition.title}", "", definition.caption, ""]
    lines += [f"![{definition.title}]({definition.name}.png)", ""]
    lines += [f"| Method | {axis} | mIoU (%) | published {axis} | published mIoU (%) | run |"]
    lines += ["| --- | --: | --: | --: | --: | --- |"]
    for point in points:
        scores = [_cost(point.cost), _percent(point.miou)]
        scores += [_cost(point.published_cost), _percent(point.published_miou)]
        runs = ", ".join(f"`{run}`" for run in point.runs) or NOTHING
        lines.append(f"| {point.label} | {' | '.join(scores)} | {runs} |")
    lines += ["", "Solid points are measured, with the bootstrap interval over scenes where there "]
    lines[-1] += f"is one; hollow points are published. {NOTHING} stands where there is no result."
    lines += [""] + [f"- {note}" for note in definition.notes] + [""] * bool(definition.notes)
    return "\n".join([*lines, provenance.text, ""])


def cost_figure(path: Path, points: Sequence[CostPoint], cost: str) -> None:
    """Write a PNG of the points; one that lacks cost or accuracy is not drawn.

    Args:
        path: the file to write, ending in .png.
        points: one for each row.
        cost: what the cost is, "trained_parameters" or "seconds".
    """
    from matplotlib.figure import Figure

    figure = Figure((6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, point in enumerate(points):
        _draw(axes, point, f"C{number % 10}", _MARKERS[number % len(_MARKERS)])
    _scale(axes, points, _LINEAR[cost])
    axes.set_xlabel(AXES[cost])
    axes.set_ylabel("mIoU (%)")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=160, format="png", facecolor="white")


def _scale(axes: "Axes", points: Sequence[CostPoint], linear: float) -> None:
    """A logarithmic axis with a place for 0, from there to the power of ten above the largest."""
    costs = [value for point in points for value in (point.cost, point.published_cost) if value]
    top = ceil(log10(max([*costs, 10 * linear])))
    axes.set_xscale("symlog", linthresh=linear, linscale=0.6)
    powers = [10.0**power for power in range(round(log10(linear)), top + 1)]
    axes.set_xticks([0.0, *powers])
    axes.set_xlim(-0.3 * linear, 10.0**top)


def _draw(axes: "Axes", point: CostPoint, color: str, marker: str) -> None:
    label: str | None = point.label
    style: dict[str, Any] = {
        "color": color,
        "marker": marker,
        "linestyle": "none",
    }
    if point.cost is not None and point.miou is not None:
        axes.plot([point.cost], [100 * point.miou], label=label, zorder=3, **style)
        label = None
        if point.interval is not None:
            ends = [100 * end for end in point.interval]
            axes.plot([point.cost] * 2, ends, color=color, linewidth=1, zorder=2)
    if point.published_cost is not None and point.published_miou is not None:
        hollow: dict[str, Any] = {"markerfacecolor": "none", "label": label}
        place = [point.published_cost], [100 * point.published_miou]
        axes.plot(*place, zorder=3, **style, **hollow)


def _short(value: float) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _cost(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.1f}" if isinstance(value, float) else f"{value:,}"


def _percent(fraction: float | None) -> str:
    return NOTHING if fraction is None else f"{100 * fraction:.2f}"
