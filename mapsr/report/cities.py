"""Figures of cities: what each is made of, and how its accuracies are spread."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from mapsr.errors import DataError
from mapsr.extras import require_extra
from mapsr.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR_INCHES = 0.34
_LEAST_INCHES, _MOST_INCHES = 4.0, 40.0
_DPI = 160
_ROUNDING = 0.01
"""Percent by which shares may miss their sum."""


def composition_figure(
    path: Path,
    shares: Mapping[str, Sequence[float] | None],
    groups: Mapping[str, str],
    colors: Mapping[str, Sequence[int]],
) -> None:
    """Write a PNG with a stacked bar for each city, those of one group side by side.

    Source: EcoVision, J. Remote Sens. 2025, 0811, Figure 7.

    Args:
        path: the file to write, ending in .png.
        shares: of each class of ``colors``, fractions in [0, 1], by city; what they lack to 1 is
            of several classes at once. None: there are none, and the city is left out.
        groups: of each city, as its region; "" for nothing.
        colors: red, green and blue, 0 to 255, by name of the class.

    Raises:
        DataError: no city has shares.
    """
    require_extra("matplotlib", "A figure")
    from matplotlib.figure import Figure

    known = {city: some for city, some in shares.items() if some is not None}
    if not known:
        raise DataError("No city has a pixel with a class, expected at least one to draw.")
    cities = sorted(known, key=lambda city: groups[city])  # stable: else as in the file
    width = min(max(_BAR_INCHES * len(cities) + 2.2, _LEAST_INCHES), _MOST_INCHES)
    figure = Figure((width, 4.2), layout="constrained")
    axes = figure.subplots()
    bottom = [0.0] * len(cities)
    for place, (name, color) in enumerate(colors.items()):
        heights = [100 * known[city][place] for city in cities]
        face = tuple(part / 255 for part in color)
        axes.bar(range(len(cities)), heights, 0.82, bottom=bottom, color=face, label=name)
        bottom = [low + high for low, high in zip(bottom, heights, strict=True)]
    rest = [100 - top for top in bottom]
    if max(rest) > _ROUNDING:
        axes.bar(
            *(range(len(cities)), rest, 0.82),
            bottom=bottom,
            color="0.85",
            hatch="//",
            edgecolor="0.6",
            label="several classes",
        )
    axes.set_xticks(range(len(cities)), cities, rotation=60, ha="right", fontsize=8)
    axes.set_xlim(-0.7, len(cities) - 0.3)
    axes.set_ylim(0, 100)
    axes.set_ylabel("share of the area (%)")
    _name_groups(axes, [groups[city] for city in cities])
    figure.legend(loc="outside right upper", frameon=False, fontsize=8, reverse=True)
    _save(figure, path)


def box_figure(
    path: Path,
    values: Mapping[str, Mapping[str, Sequence[float]]],
    colors: Mapping[str, Sequence[int]],
) -> None:
    """Write a PNG with a panel for each measure and a box for each class, over cities.

    Source: EcoVision, J. Remote Sens. 2025, 0811, Figure 6.

    Args:
        path: the file to write, ending in .png.
        values: measure -> class -> a fraction for each city that has one.
        colors: red, green and blue, 0 to 255, by name of the class.

    Raises:
        DataError: no class has a value.
    """
    require_extra("matplotlib", "A figure")
    from matplotlib.figure import Figure

    if not any(some for by_class in values.values() for some in by_class.values()):
        raise DataError("No city has a score, expected at least one to draw: is there a truth?")
    figure = Figure((6.4, 2.4 * len(values)), layout="constrained")
    panels = figure.subplots(len(values), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (measure, by_class) in zip(panels, values.items(), strict=True):
        some = [[100 * value for value in by_class.get(name, ())] for name in colors]
        drawn = axes.boxplot(some, patch_artist=True, medianprops={"color": "black"}, widths=0.6)
        for box, color in zip(drawn["boxes"], colors.values(), strict=True):
            box.set_facecolor(tuple(part / 255 for part in color))
        axes.set_ylabel(f"{measure} (%)")
        axes.set_ylim(-2, 102)
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
    places = range(1, len(colors) + 1)
    panels[-1].set_xticks(places, list(colors), rotation=30, ha="right", fontsize=9)
    _save(figure, path)


def complete_shares(
    found: Mapping[str, Mapping[str, float | None]], names: Sequence[str]
) -> dict[str, list[float] | None]:
    """Return the shares of the classes by city, None for a city that lacks one.

    Args:
        found: share by name of the class, by city.
        names: of the classes.
    """
    shares: dict[str, list[float] | None] = {}
    for city, by_class in found.items():
        known = [share for name in names if (share := by_class[name]) is not None]
        shares[city] = known if len(known) == len(names) else None
    return shares


def _name_groups(axes: "Axes", groups: Sequence[str]) -> None:
    """Write the name of each group above its bars, and a line between groups."""
    begin = 0
    for name, some in groupby(groups):
        end = begin + len(list(some))
        if name:
            axes.text((begin + end - 1) / 2, 101, name, ha="center", va="bottom", fontsize=9)
        if begin:
            axes.axvline(begin - 0.5, color="0.3", linewidth=0.8, linestyle=":")
        begin = end


def _save(figure: "Figure", path: Path) -> None:
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, format="png", facecolor="white")
