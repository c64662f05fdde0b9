"""Figure of cost against accuracy: measured points are solid, published ones hollow."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsr.extras import require_extra
from mapsr.files import whole_file
from mapsr.quoting import csv_text
from mapsr.tables.definitions import AVERAGE, CostDefinition, TableDefinition
from mapsr.tables.formats import Provenance
from mapsr.tables.layout import NOTHING
from mapsr.tables.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = {
    "annotation": "annotated pixels learned from",
    "fit_seconds": "seconds of fitting",
    "seconds": "seconds of fitting and mapping",
    "trained_parameters": "trained parameters",
}
_MARKERS = "osD^vPX*"
# Below this the axis is linear, so that 0 has a place on it.
_LINEAR = {"annotation": 1e4, "fit_seconds": 1.0, "seconds": 1.0, "trained_parameters": 1000.0}


@dataclass(frozen=True)
class CostPoint:
    """A row of a table, in the figure.

    Attributes:
        row: name of the row.
        label: of the row.
        category: of the row.
        costs: as measured, one for each panel; None: not known.
        miou: as measured, a fraction.
        interval: of miou.
        published_costs: as published.
        published_miou: as published, a fraction.
        runs: folders that the measured numbers are from.
    """

    row: str
    label: str
    category: str
    costs: tuple[float | None, ...]
    miou: float | None
    interval: tuple[float, float] | None
    published_costs: tuple[float | None, ...]
    published_miou: float | None
    runs: tuple[str, ...]


def cost_points(
    definition: TableDefinition, results: Results, column: str, costs: Sequence[str]
) -> list[CostPoint]:
    """Gather the points of a column, one for each row.

    Args:
        definition: of the table.
        results: its entries.
        column: name of the column, or "average".
        costs: keys of ``AXES``.
    """
    points = []
    for row in definition.rows:
        entry = results[row.name, column]
        published = {
            "trained_parameters": row.published_parameters,
            "fit_seconds": row.published_fit_seconds,
        }
        points.append(
            CostPoint(
                row=row.name,
                label=row.label,
                category=row.category,
                costs=tuple(getattr(entry, cost) for cost in costs),
                miou=entry.miou,
                interval=entry.interval,
                published_costs=tuple(published.get(cost) for cost in costs),
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


def cost_csv(points: Sequence[CostPoint], costs: Sequence[str]) -> str:
    """Return a line for each point; mean IoU as fractions in [0, 1], empty where not known."""
    head = [
        *("row", "label", "category", *costs, "miou", "ci_low", "ci_high"),
        *(*(f"published_{cost}" for cost in costs), "published", "run"),
    ]
    rows = [head]
    for point in points:
        low, high = point.interval or (None, None)
        values = (*point.costs, point.miou, low, high, *point.published_costs, point.published_miou)
        shown = ["" if value is None else _short(value) for value in values]
        runs = "; ".join(point.runs)
        rows.append([point.row, point.label, point.category, *shown, runs])
    return csv_text(rows)


def cost_markdown(
    definition: CostDefinition, points: Sequence[CostPoint], provenance: Provenance
) -> str:
    """Return the figure as a Markdown document, with its points and their runs."""
    axes = [AXES[cost] for cost in definition.costs]
    heads = [*axes, "mIoU (%)", *(f"published {axis}" for axis in axes), "published mIoU (%)"]
    lines = [f"# {definition.title}", "", definition.caption, ""]
    lines += [f"![{definition.title}]({definition.name}.png)", ""]
    lines += [f"| Method | {' | '.join(heads)} | run |"]
    lines += [f"| --- |{' --: |' * len(heads)} --- |"]
    for point in points:
        scores = [*map(_cost, point.costs), _percent(point.miou)]
        scores += [*map(_cost, point.published_costs), _percent(point.published_miou)]
        runs = ", ".join(f"`{run}`" for run in point.runs) or NOTHING
        lines.append(f"| {point.label} | {' | '.join(scores)} | {runs} |")
    lines += ["", "Solid points are measured, with the bootstrap interval over scenes where there "]
    lines[-1] += f"is one; hollow points are published. {NOTHING} stands where there is no result."
    lines += [""] + [f"- {note}" for note in definition.notes] + [""] * bool(definition.notes)
    return "\n".join([*lines, provenance.text, ""])


def cost_figure(path: Path, points: Sequence[CostPoint], costs: Sequence[str]) -> None:
    """Write a PNG of the points, a panel for each cost; one without cost or accuracy is not drawn.

    Args:
        path: the file to write, ending in .png.
        points: one for each row.
        costs: what the costs are, keys of ``AXES``.
    """
    require_extra("matplotlib", "A figure")
    from matplotlib.figure import Figure

    figure = Figure((2.4 + 4.0 * len(costs), 4.2), layout="constrained")
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for panel, (cost, axes) in enumerate(zip(costs, panels, strict=True)):
        for number, point in enumerate(points):
            _draw(axes, point, panel, f"C{number % 10}", _MARKERS[number % len(_MARKERS)])
        shown = [one for p in points for one in (p.costs[panel], p.published_costs[panel]) if one]
        _scale(axes, shown, _LINEAR[cost])
        axes.set_xlabel(AXES[cost])
        axes.grid(color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mIoU (%)")
    named: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    if named:
        handles, labels = list(named.values()), list(named)
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=160, format="png", facecolor="white")


def _scale(axes: "Axes", costs: Sequence[float], linear: float) -> None:
    """A logarithmic axis with a place for 0, from there to the power of ten above the largest."""
    top = ceil(log10(max([*costs, 10 * linear])))
    axes.set_xscale("symlog", linthresh=linear, linscale=0.6)
    powers = [10.0**power for power in range(round(log10(linear)), top + 1)]
    axes.set_xticks([0.0, *powers])
    axes.set_xlim(-0.3 * linear, 10.0**top)


def _draw(axes: "Axes", point: CostPoint, panel: int, color: str, marker: str) -> None:
    label: str | None = point.label
    style: dict[str, Any] = {
        "color": color,
        "marker": marker,
        "linestyle": "none",
    }
    cost, published = point.costs[panel], point.published_costs[panel]
    if cost is not None and point.miou is not None:
        axes.plot([cost], [100 * point.miou], label=label, zorder=3, **style)
        label = None
        if point.interval is not None:
            ends = [100 * end for end in point.interval]
            axes.plot([cost] * 2, ends, color=color, linewidth=1, zorder=2)
    if published is not None and point.published_miou is not None:
        hollow: dict[str, Any] = {"markerfacecolor": "none", "label": label}
        axes.plot([published], [100 * point.published_miou], zorder=3, **style, **hollow)


def _short(value: float) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _cost(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.1f}" if value % 1 else f"{value:,.0f}"


def _percent(fraction: float | None) -> str:
    return NOTHING if fraction is None else f"{100 * fraction:.2f}"
