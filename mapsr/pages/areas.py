"""What the classes of a map, its product and its truth hold, for the chart of a page."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mapsr.geo import Window, tiles
from mapsr.legends import NODATA, Legend
from mapsr.progress import Progress
from mapsr.report.page import Areas, shares_of
from mapsr.report.views import LabelLayer

_SIDE_PX = 1024


def counted_areas(
    layers: Sequence[Mapping[str, LabelLayer]], legend: Legend, progress: Progress
) -> Areas:
    """Count the pixels of each class, of one scene or of several.

    Args:
        layers: of each scene the map, and perhaps product and truth, by name.
        legend: of the map.
        progress: shows the work.

    Raises:
        RasterError: a file can't be read.
    """
    sources = tuple(dict.fromkeys(name for scene in layers for name in scene))
    counts = {name: np.zeros(NODATA + 1, np.int64) for name in sources}
    for scene, window in progress.track(*_windows(layers)):
        for name, layer in scene.items():
            counts[name] += np.bincount(layer.read(window).ravel(), minlength=NODATA + 1)
    per_cent = {name: _shares(counts[name][: len(legend)]) for name in sources}
    note = "Shares of the pixels with a class"
    note += f", over {len(layers)} scenes." if len(layers) > 1 else "."
    return Areas("Share of each class", sources, shares_of(legend, per_cent, {}), note)


def _windows(
    layers: Sequence[Mapping[str, LabelLayer]],
) -> tuple[Iterable[tuple[Mapping[str, LabelLayer], Window]], str, int]:
    """The windows of all scenes, what is done with them, and how many there are."""
    grids = [(scene, scene["map"].grid) for scene in layers]
    windows = [
        (s, window) for s, grid in grids for window in tiles(grid.height, grid.width, _SIDE_PX)
    ]
    return windows, "areas", len(windows)


def _shares(counts: NDArray[np.int64]) -> list[float | None]:
    whole = int(counts.sum())
    return [100 * count / whole if whole else None for count in counts.tolist()]
