"""Figures of scenes: image and label maps side by side, with their legend."""

from collections.abc import Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.extras import require_extra
from mapsr.files import whole_file
from mapsr.legends import NODATA, Legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Color = tuple[int, int, int]

NODATA_COLOR: Color = (225, 225, 225)

PANEL_INCHES = 3.2
DPI = 160
# twice what a panel shows: more pixels only cost time
PANEL_PX = 2 * int(PANEL_INCHES * DPI)

Panel = tuple[str, NDArray[np.float32] | NDArray[np.uint8]]
"""Title, and an image float32 (3 or more, H, W) in [0, 1] or labels uint8 (H, W)."""


def scene_figure(
    path: Path, panels: Sequence[Panel], legend: Legend, pixel_m: float | None = None
) -> None:
    """Write a PNG that shows the panels in a row above the classes they hold.

    Images are stretched for the eye; rasters larger than a panel are thinned.

    Args:
        path: the file to write, ending in .png.
        panels: image and labels, in the order shown; all of one extent.
        legend: names and colours of the labels; 255 is grey.
        pixel_m: side of a pixel of the first panel in metres, for a scale bar there.

    Raises:
        DataError: a panel is neither an image nor a label map.
        DataError: labels hold a value that the legend has not.
    """
    grid_figure(path, [panels], legend, pixel_m)


def grid_figure(
    path: Path,
    rows: Sequence[Sequence[Panel]],
    legend: Legend,
    pixel_m: float | None = None,
) -> None:
    """Write a PNG that shows rows of panels above the classes they hold.

    Args:
        path: the file to write, ending in .png.
        rows: of panels, as many in each; only the titles of the first row are shown.
        legend: names and colours of the labels; 255 is grey.
        pixel_m: side of a pixel of each row's first panel in metres, for a scale bar there.

    Raises:
        DataError: the rows differ in length.
        DataError: a panel is neither an image nor a label map.
        DataError: labels hold a value that the legend has not.
    """
    require_extra("matplotlib", "A figure")
    from matplotlib.figure import Figure

    if len({len(panels) for panels in rows}) != 1:
        lengths = ", ".join(str(len(panels)) for panels in rows)
        raise DataError(f"rows have {lengths} panels, expected as many in each of one or more.")
    pictures = [[picture(title, array, legend) for title, array in panels] for panels in rows]
    tallest = [
        max(height / width for height, width in (shown.shape[:2] for shown in row))
        for row in pictures
    ]
    entries = _entries([panel for panels in rows for panel in panels], legend)
    width = PANEL_INCHES * len(rows[0])
    longest = max((len(name) for name, _ in entries), default=0)
    columns = max(1, int(width / (0.085 * longest + 0.6)))  # 0.085 inches a letter
    below = ceil(len(entries) / columns)
    height = PANEL_INCHES * sum(tallest) + 0.45 + 0.25 * below
    figure = Figure((width, height), layout="constrained")
    grid = figure.subplots(
        *(len(rows), len(rows[0])),
        squeeze=False,
        gridspec_kw={"wspace": 0.02, "hspace": 0.02, "height_ratios": tallest},
    )
    for number, (line, panels) in enumerate(zip(grid, rows, strict=True)):
        for axes, (title, _), shown in zip(line, panels, pictures[number], strict=True):
            axes.imshow(shown, interpolation="nearest")
            axes.set_title(title if number == 0 else "", fontsize=11)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_linewidth(0.6)
        if pixel_m is not None:
            _scale_bar(line[0], pixel_m * panels[0][1].shape[-1])
    _class_legend(figure, entries, columns)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png", facecolor="white")


def picture(
    title: str, array: NDArray[np.float32] | NDArray[np.uint8], legend: Legend
) -> NDArray[np.uint8]:
    """Return the colours of a panel, uint8 (height, width, 3), thinned to what a panel can show.

    Args:
        title: what the panel is called, for errors.
        array: an image float32 (3 or more, H, W) in [0, 1], or labels uint8 (H, W).
        legend: names and colours of the labels.

    Raises:
        DataError: the array is neither an image nor a label map.
        DataError: labels hold a value that the legend has not.
    """
    step = ceil(max(array.shape[-2:]) / PANEL_PX) if array.ndim >= 2 else 1
    if array.ndim == 2 and array.dtype == np.uint8:
        return _paint(title, array[::step, ::step].astype(np.uint8, copy=False), legend)
    if array.ndim == 3 and len(array) >= 3 and array.dtype == np.float32:
        image = array[:3, ::step, ::step].astype(np.float32, copy=False)
        return stretched(image, middle_of(image))
    raise DataError(
        f"panel '{title}' is {array.dtype} {array.shape}, expected an image float32 (3 or more, "
        "H, W) or labels uint8 (H, W)."
    )


def _paint(title: str, labels: NDArray[np.uint8], legend: Legend) -> NDArray[np.uint8]:
    strangers = np.setdiff1d(labels, [*range(len(legend)), NODATA])
    if strangers.size:
        raise DataError(
            f"panel '{title}' holds the label {strangers[0]}, expected one of the {len(legend)} "
            f"classes of legend '{legend.name}' or {NODATA} for nodata."
        )
    palette = np.tile(np.array(NODATA_COLOR, np.uint8), (256, 1))  # (256, 3)
    palette[: len(legend)] = legend.colors
    painted: NDArray[np.uint8] = palette[labels]  # (height, width, 3)
    return painted


def middle_of(image: NDArray[np.float32]) -> tuple[float, float]:
    """Ends of the middle 98 % of the values, of all bands alike so that colours stay true.

    Args:
        image: float32 of any shape with a pixel.
    """
    low, high = np.quantile(image, [0.01, 0.99])
    return float(low), float(high)


def stretched(image: NDArray[np.float32], ends: tuple[float, float]) -> NDArray[np.uint8]:
    """Return an image float32 (3, H, W) as colours uint8 (H, W, 3), black and white at the ends."""
    low, high = ends
    scaled = np.clip((image - low) / max(high - low, 1e-3), 0, 1)
    colors: NDArray[np.uint8] = np.moveaxis(np.rint(scaled * 255).astype(np.uint8), 0, -1)
    return colors


def _entries(panels: Sequence[Panel], legend: Legend) -> list[tuple[str, Color]]:
    """Return name and colour of what the label maps may show, nodata only where it occurs."""
    labels = [array for _, array in panels if array.ndim == 2]
    if not labels:
        return []
    entries = list(zip(legend.names, legend.colors, strict=True))
    if any((array == NODATA).any() for array in labels):
        entries.append(("nodata", NODATA_COLOR))
    return entries


def _class_legend(figure: "Figure", entries: Sequence[tuple[str, Color]], columns: int) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(
            facecolor=(red / 255, green / 255, blue / 255),
            edgecolor="0.3",
            linewidth=0.5,
            label=name,
        )
        for name, (red, green, blue) in entries
    ]
    if patches:
        figure.legend(
            handles=patches, loc="outside lower center", ncols=columns, frameon=False, fontsize=10
        )


def _scale_bar(axes: "Axes", width_m: float) -> None:
    """Draw a bar of a round length, at most a third of the panel, in its lower left corner."""
    from matplotlib.patheffects import withStroke

    length_m = _round_length(width_m / 3)
    share = length_m / width_m
    text = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    line = axes.plot([0.05, 0.05 + share], [0.06, 0.06], transform=axes.transAxes, color="white")
    line[0].set(linewidth=2.5, solid_capstyle="butt")
    line[0].set_path_effects([withStroke(linewidth=4, foreground="black")])
    label = axes.text(0.05 + share / 2, 0.075, text, transform=axes.transAxes, color="white")
    label.set(ha="center", va="bottom", fontsize=9)
    label.set_path_effects([withStroke(linewidth=3, foreground="black")])


def _round_length(most: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above ``most``."""
    power = 10.0 ** floor(log10(most))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= most)
