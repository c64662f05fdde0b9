"""What the classes of a map, its product and its truth hold, for the chart of a page."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mapsr.geo import Window, tiles
from mapsr.geo.ground import EQUAL_AREA, pixel_areas
from mapsr.legends import NODATA, Legend
from mapsr.progress import Progress
from mapsr.report.page import Areas, shares_of
from mapsr.report.views import LabelLayer

_SIDE_PX = 1024
_HECTARE_M2 = 10_000.0


def measured_areas(
    layers: Sequence[Mapping[str, LabelLayer]], legend: Legend, progress: Progress
) -> Areas:
    """Measure each class on the ground, in one scene or in several.

    Args:
        layers: of each scene the map, and perhaps product and truth, by name.
        legend: of the map.
        progress: shows the work.

    Raises:
        RasterError: a file can't be read.
    """
    sources = tuple(dict.fromkeys(name for scene in layers for name in scene))
    hectares = {name: np.zeros(NODATA + 1) for name in sources}
    for scene, window in progress.track(*_windows(layers)):
        ground = pixel_areas(scene["map"].grid, window).ravel() / _HECTARE_M2
        for name, layer in scene.items():
            labels = layer.read(window).ravel()
            hectares[name] += np.bincount(labels, ground, NODATA + 1)
    per_cent = {name: _shares(hectares[name][: len(legend)]) for name in sources}
    known = {name: hectares[name][: len(legend)].tolist() for name in sources}
    note = f"Measured on the ellipsoid of WGS 84 ({EQUAL_AREA}), where there is a class"
    note += f", over {len(layers)} scenes." if len(layers) > 1 else "."
    return Areas("Area of each class", sources, shares_of(legend, per_cent, known), note)


def _windows(
    layers: Sequence[Mapping[str, LabelLayer]],
) -> tuple[Iterable[tuple[Mapping[str, LabelLayer], Window]], str, int]:
    """The windows of all scenes, what is done with them, and how many there are."""
    grids = [(scene, scene["map"].grid) for scene in layers]
    windows = [
        (s, window) for s, grid in grids for window in tiles(grid.height, grid.width, _SIDE_PX)
    ]
    return windows, "areas", len(windows)


def _shares(hectares: NDArray[np.float64]) -> list[float | None]:
    whole = float(hectares.sum())
    return [100 * one / whole if whole else None for one in hectares.tolist()]
