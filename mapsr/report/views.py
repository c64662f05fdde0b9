"""What a page shows of a map: each layer as an overview, and real pixels of a few places."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mapsr.geo import (
    Grid,
    ImageInfo,
    ImageReader,
    MosaicReader,
    Window,
    overlap,
    read_codes,
    read_grid,
    read_values,
)
from mapsr.geo.thinning import draw_images, read_thinned, thinned
from mapsr.legends import MASKED, NODATA, Crosswalk, LandClass, Legend
from mapsr.report.encoding import image_uri, labels_uri, values_uri
from mapsr.report.figures import NODATA_COLOR, middle_of, stretched

OVERVIEW_PX = 1200
"""Longest side of an overview: a screen's width; a larger raster shows places in real pixels."""
PLACE_PX = 512
"""Side of a place that is shown in real pixels."""
PLACES = 4
"""Places of a raster at most. With them a view takes at most about 8 MB."""
_TILE_PX = 8
"""Least side of what is compared of an overview to choose places."""
RIGHT_AND_WRONG = Legend(
    "errors",
    "Errors",
    "drawn for a page",
    (LandClass(0, "right", (166, 206, 227)), LandClass(1, "wrong", (178, 24, 43))),
)


class Layer(Protocol):
    """A layer that can be drawn, thinned out and in real pixels."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def overview(self, small: Grid) -> str:
        """Draw all of it on a coarser grid, as a data URI."""
        ...

    def part(self, window: Window) -> str:
        """Draw the real pixels of a window, as a data URI; after the overview."""
        ...


@dataclass(frozen=True)
class Drawn:
    """A layer as it stands in a page: data URIs of the overview and of each place."""

    name: str
    overview: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """A map with its layers, on the map's grid.

    Attributes:
        title: what is shown.
        height: rows of the map.
        width: columns of the map.
        pixel_m: height of a pixel in metres; None where the grid is in degrees.
        layers: in the order in which they are offered.
        places: windows in real pixels; none where the overview has these already.
    """

    title: str
    height: int
    width: int
    pixel_m: float | None
    layers: tuple[Drawn, ...]
    places: tuple[Window, ...]


def view_of(title: str, grid: Grid, layers: Sequence[Layer], labels: "LabelLayer") -> View:
    """Draw layers that lie on one grid.

    Memory: an overview and a place of one layer.

    Args:
        title: what is shown.
        grid: of the map.
        layers: to be drawn.
        labels: the map, whose classes say which places are worth a look.

    Raises:
        RasterError: a file can't be read.
    """
    small = thinned(grid, OVERVIEW_PX)
    places = () if small == grid else choose_places(labels.thin(small), grid)
    drawn = tuple(
        Drawn(layer.name, layer.overview(small), tuple(map(layer.part, places))) for layer in layers
    )
    factor = None if grid.crs.is_geographic else float(grid.crs.linear_units_factor[1])
    pixel_m = factor and factor * grid.pixel_size[0]
    return View(title, grid.height, grid.width, pixel_m, drawn, places)


def choose_places(labels: NDArray[np.uint8], grid: Grid) -> tuple[Window, ...]:
    """Choose places worth a look: those with many classes, away from each other.

    Args:
        labels: the whole map thinned out, uint8 (h, w), 255 for nodata.
        grid: of the map.

    Returns:
        At most ``PLACES`` windows of the grid, from its top left; none where there are no classes.
    """
    factor = max(grid.height / labels.shape[0], grid.width / labels.shape[1])
    step = max(_TILE_PX, round(PLACE_PX / factor))
    found: list[tuple[float, int, int]] = []
    for row in range(0, labels.shape[0], step):
        for col in range(0, labels.shape[1], step):
            mixed = _mixture(labels[row : row + step, col : col + step])
            if mixed is not None:
                found.append((-mixed, row, col))
    chosen: list[tuple[int, int]] = []
    for _, row, col in sorted(found):
        apart = all(max(abs(row - r), abs(col - c)) >= 2 * step for r, c in chosen)
        if len(chosen) < PLACES and apart:
            chosen.append((row, col))
    scale = grid.height / labels.shape[0], grid.width / labels.shape[1]
    return tuple(
        _around(grid, (row + step / 2) * scale[0], (col + step / 2) * scale[1])
        for row, col in sorted(chosen)
    )


def _mixture(part: NDArray[np.uint8]) -> float | None:
    """Entropy of the classes times the share of the pixels with one; None without any."""
    counts = np.bincount(part.ravel(), minlength=256)[:NODATA]
    if not counts.any():
        return None
    shares = counts[counts > 0] / counts.sum()
    entropy = float(-(shares * np.log(shares)).sum())
    return entropy * float(counts.sum() / part.size)


def _around(grid: Grid, row: float, col: float) -> Window:
    """A place around a pixel, inside the grid."""
    height, width = min(PLACE_PX, grid.height), min(PLACE_PX, grid.width)
    top = min(max(0, round(row - height / 2)), grid.height - height)
    left = min(max(0, round(col - width / 2)), grid.width - width)
    return Window(top, left, height, width)


class ImageLayer:
    """The image, or the images of a mosaic, stretched for the eye.

    Args:
        infos: of the images.
        grid: of the map.
        scale: raw value that becomes 1.
    """

    name = "image"

    def __init__(self, infos: Sequence[ImageInfo], grid: Grid, scale: float) -> None:
        self._infos, self._grid, self._scale = tuple(infos), grid, scale
        self._bands = 3 if min(info.bands for info in infos) >= 3 else 1
        self._ends = 0.0, 1.0

    def overview(self, small: Grid) -> str:
        """Draw all of it."""
        image, valid = draw_images(self._infos, small, self._bands, self._scale)
        if valid.any():
            self._ends = middle_of(image[:, valid])
        return self._drawn(image, valid)

    def part(self, window: Window) -> str:
        """Draw a window, stretched as the overview is."""
        reader: ImageReader | MosaicReader
        if len(self._infos) == 1 and self._infos[0].grid == self._grid:
            reader = ImageReader(self._infos[0], self._bands, self._scale)
            return self._drawn(*reader.read(window))
        # a mosaic's reader has the common grid of its images, which is the map's
        image, valid = draw_images(self._infos, self._grid.crop(window), self._bands, self._scale)
        return self._drawn(image, valid)

    def _drawn(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> str:
        colors = stretched(np.broadcast_to(image, (3, *valid.shape)), self._ends)
        return image_uri(np.where(valid[..., None], colors, np.array(NODATA_COLOR, np.uint8)))


@dataclass(frozen=True)
class LabelLayer:
    """Labels of a map, a product or the truth, in the map's classes.

    Attributes:
        name: what it is called.
        paths: rasters of class indices, or of codes of a product; of several the first counts.
        grid: of the map.
        legend: the map's.
        crosswalk: from codes of a product; None: the raster holds class indices.
    """

    name: str
    paths: tuple[Path, ...]
    grid: Grid
    legend: Legend
    crosswalk: Crosswalk | None = None

    def thin(self, small: Grid) -> NDArray[np.uint8]:
        """Class indices on a coarser grid (h, w)."""
        if len(self.paths) == 1 and read_grid(self.paths[0]) == self.grid:
            values, valid = read_thinned(self.paths[0], (small.height, small.width))
            return self._classes(np.where(valid, values[0], MASKED).astype(np.int32))
        return self._classes(self._codes(small, small.window))

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class indices of a window of the map's grid (H, W)."""
        return self._classes(self._codes(self.grid, window))

    def overview(self, small: Grid) -> str:
        """Draw all of it."""
        return labels_uri(self.thin(small), self.legend)

    def part(self, window: Window) -> str:
        """Draw a window."""
        return labels_uri(self.read(window), self.legend)

    def _codes(self, grid: Grid, window: Window) -> NDArray[np.int32]:
        codes = read_codes(self.paths[0], grid, window)
        for path in self.paths[1:]:
            if overlap(path, grid) and (codes == MASKED).any():
                codes = np.where(codes == MASKED, read_codes(path, grid, window), codes)
        return codes

    def _classes(self, codes: NDArray[np.int32]) -> NDArray[np.uint8]:
        if self.crosswalk is None:
            return np.where(codes < 0, NODATA, codes).astype(np.uint8)
        return self.crosswalk.apply(self.crosswalk.source.encode(codes)[0])


@dataclass(frozen=True)
class ErrorLayer:
    """Where a map is right and wrong, as its truth says."""

    found: LabelLayer
    truth: LabelLayer
    name: str = "errors"

    def overview(self, small: Grid) -> str:
        """Draw all of it."""
        return self._drawn(lambda layer: layer.thin(small))

    def part(self, window: Window) -> str:
        """Draw a window."""
        return self._drawn(lambda layer: layer.read(window))

    def _drawn(self, read: Callable[[LabelLayer], NDArray[np.uint8]]) -> str:
        found, truth = read(self.found), read(self.truth)
        wrong = np.where(truth == NODATA, NODATA, (found != truth).astype(np.uint8))
        return labels_uri(wrong.astype(np.uint8), RIGHT_AND_WRONG)


class SureLayer:
    """How sure a map is, from dark to light.

    Args:
        path: probabilities, or scores less the second best, on the map's grid.
        probable: whether they are probabilities: then the ramp goes from 0 to 1, else over the
            middle 98 % of the values.
    """

    name = "confidence"

    def __init__(self, path: Path, *, probable: bool) -> None:
        self._path, self._probable = path, probable
        self.ends = 0.0, 1.0

    def overview(self, small: Grid) -> str:
        """Draw all of it."""
        values, _ = read_thinned(self._path, (small.height, small.width))
        found = values[0].astype(np.float32)
        known = found[np.isfinite(found)]
        if not self._probable and known.size:
            self.ends = middle_of(known)
        return values_uri(found, *self.ends)

    def part(self, window: Window) -> str:
        """Draw a window, with the overview's colours."""
        return values_uri(read_values(self._path, window)[0].astype(np.float32), *self.ends)
