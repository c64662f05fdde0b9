"""Patches: connected pixels of one class, numbered over a whole raster strip by strip."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label

from mapsr import budgets
from mapsr.geo import Grid, Window
from mapsr.legends import NODATA
from mapsr.progress import Progress

_LEAST_ROWS = 16

Read = Callable[[Window], NDArray[np.uint8]]
"""Reads class indices (H, W) of a window, 255 for none."""
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Patches:
    """The patches of a raster, N of them; pixels that touch at a corner are not connected.

    Attributes:
        grid: of the raster.
        rows: of a strip.
        pixels: int64 (N,), size of each.
        classes: uint8 (N,), class of each.
        first: int64 (N,), its first pixel, counted row by row.
        last: int64 (N,), the last strip that it reaches into.
        numbers: of each strip the patch of each of its parts, int64 (parts + 1,), -1 at 0.
    """

    grid: Grid
    rows: int
    pixels: Numbers
    classes: NDArray[np.uint8]
    first: Numbers
    last: Numbers
    numbers: tuple[Numbers, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    def strips(self) -> Iterator[tuple[int, Window]]:
        """Yield number and window of each strip."""
        return enumerate(_strips(self.grid, self.rows))


def rows_of(grid: Grid) -> int:
    """Rows of a strip of a grid."""
    return max(_LEAST_ROWS, budgets.MEASURED_PX.cpu // grid.width)


def parts_of(values: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Number the connected parts of a strip from 1, int32 (H, W); 0 where there is no class."""
    numbers = label(values, background=NODATA, connectivity=1)  # type: ignore[no-untyped-call]
    found: NDArray[np.int32] = numbers.astype(np.int32)
    return found


def find_patches(read: Read, grid: Grid, progress: Progress, rows: int | None = None) -> Patches:
    """Find the patches of a raster. Memory: a strip, and some 60 bytes for each part of a patch.

    Args:
        read: the raster.
        grid: where it lies.
        progress: shows the work.
        rows: of a strip; None: as many as the budget allows. The patches are the same.
    """
    rows = rows or rows_of(grid)
    found = _Parts(grid.width)
    total = -(-grid.height // rows)
    for index, window in enumerate(progress.track(_strips(grid, rows), "patches", total)):
        found.add(index, window.row, read(window))
    return found.patches(grid, rows)


class _Parts:
    """The parts of patches in the strips seen so far, and which of them are connected."""

    def __init__(self, width: int) -> None:
        self._width, self._count = width, 0
        self._sizes: list[Numbers] = []
        self._classes: list[NDArray[np.uint8]] = []
        self._firsts: list[Numbers] = []
        self._strips: list[Numbers] = []
        self._numbers: list[Numbers] = []
        self._edges: list[Numbers] = []
        self._bottom: tuple[NDArray[np.uint8], Numbers] | None = None

    def add(self, index: int, row: int, values: NDArray[np.uint8]) -> None:
        """Number the parts of a strip (H, W) that begins at a row."""
        parts = parts_of(values)
        found, flat = int(parts.max()), parts.ravel()
        first = np.empty(found + 1, np.int64)
        first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)  # the smallest is written last
        self._sizes.append(np.bincount(flat, minlength=found + 1)[1:])
        self._classes.append(values.ravel()[first[1:]])
        self._firsts.append(first[1:] + row * self._width)
        self._strips.append(np.full(found, index, np.int64))
        numbers = np.concatenate([[-1], np.arange(self._count, self._count + found)])
        self._numbers.append(numbers)
        if self._bottom is not None:
            above, ends = self._bottom
            same = (above == values[0]) & (above != NODATA)
            edges = np.stack([ends[same], numbers[parts[0]][same]])
            self._edges.append(np.unique(edges, axis=1))
        self._bottom = values[-1], numbers[parts[-1]]
        self._count += found

    def patches(self, grid: Grid, rows: int) -> Patches:
        """Put connected parts together."""
        ends = np.concatenate([np.empty((2, 0), np.int64), *self._edges], axis=1)
        joins = np.ones(ends.shape[1], bool), (ends[0], ends[1])
        graph = coo_array(joins, (self._count, self._count))
        count, roots = connected_components(graph, directed=False)
        pixels, first = np.zeros(count, np.int64), np.full(count, np.iinfo(np.int64).max)
        last, classes = np.zeros(count, np.int64), np.zeros(count, np.uint8)
        np.add.at(pixels, roots, np.concatenate(self._sizes))
        np.minimum.at(first, roots, np.concatenate(self._firsts))
        np.maximum.at(last, roots, np.concatenate(self._strips))
        classes[roots] = np.concatenate(self._classes)
        named = np.append(roots.astype(np.int64), -1)  # -1 stays -1
        numbers = tuple(named[one] for one in self._numbers)
        return Patches(grid, rows, pixels, classes, first, last, numbers)


def _strips(grid: Grid, rows: int) -> Iterator[Window]:
    for row in range(0, grid.height, rows):
        yield Window(row, 0, min(rows, grid.height - row), grid.width)
