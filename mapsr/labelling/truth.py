"""Truth to score labels with: which part of it decides when to stop, and which only tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError, LegendError
from mapsr.geo import Grid, Window
from mapsr.geo.mosaic_tiles import Tiles, open_tiles, read_tiles, tiles_in
from mapsr.geo.patterns import files_of
from mapsr.labelling.builtin import values_of
from mapsr.labelling.voting import Plane
from mapsr.legends import NODATA, Legend

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Truth:
    """Rasters of true classes."""

    tiles: Tiles
    """The files; where several have a class, the first one counts."""
    legend: Legend
    """Of the files."""
    table: tuple[int, ...]
    """Index of the target class by index of the file's class, 255 where it has none."""

    def read(self, grid: Grid, window: Window) -> Plane:
        """Read a window of a grid: uint8 (H, W), index of the target class, 255 unknown.

        Raises:
            RasterError: a file can't be read.
        """
        codes = read_tiles(self.tiles, grid, window, self.legend.nodata)
        full = np.full(NODATA + 1, NODATA, np.uint8)
        full[: len(self.table)] = self.table
        return full[self.legend.encode(codes)[0]]


def open_truth(text: str, legend: Legend, target: Legend, crosswalk: str) -> Truth:
    """Open truth.

    Args:
        text: path of a raster, or a pattern with ``*``, ``?`` or ``[``.
        legend: of the rasters; the target legend itself: their codes are its codes.
        target: of the map.
        crosswalk: preset of mapsr.legends.

    Raises:
        DataError: no file is there.
        RasterError: a file can't be read.
        LegendError: a class of the truth stands for several of the map.
    """
    return Truth(open_tiles(files_of(text, "truth")), legend, _table(legend, target, crosswalk))


def _table(legend: Legend, target: Legend, crosswalk: str) -> tuple[int, ...]:
    if legend == target:
        return tuple(range(len(target)))
    table = []
    for code, names in values_of(legend, target, crosswalk).items():
        if len(names) > 1:
            raise LegendError(
                f"Code {code} of the truth's legend '{legend.name}' stands for {', '.join(names)} "
                f"of '{target.name}', expected one class at the most: give a legend (.yaml) whose "
                "targets are the classes of the map."
            )
        table.append(target.index(names[0]) if names else NODATA)
    return tuple(table)


@dataclass(frozen=True)
class Blocks:
    """A random choice of square blocks of images, the same in every window and process."""

    share: float
    """Share of the blocks that are chosen, in [0, 1]."""
    side_px: int
    """Side of a block in pixels."""
    seed: int
    """Of the choice; another seed chooses others."""

    def mask(self, window: Window) -> Mask:
        """Return where a window lies in chosen blocks, bool (H, W)."""
        rows = (window.row + np.arange(window.height)) // self.side_px
        columns = (window.col + np.arange(window.width)) // self.side_px
        some = np.unique(rows)[:, None], np.unique(columns)[None]
        chosen = _uniform(self.seed, *some) < self.share
        mask: Mask = chosen[np.ix_(rows - rows[0], columns - columns[0])]
        return mask


def _uniform(seed: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
    """A number in [0, 1) for each block, by mixing seed, row and column (splitmix64)."""
    mixed = np.full(np.broadcast_shapes(rows.shape, columns.shape), seed, np.uint64)
    with np.errstate(over="ignore"):
        for part in (rows, columns):
            mixed = mixed + part.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
                mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
            mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)


@dataclass(frozen=True)
class Judges:
    """What labels are scored with: validation decides when to stop, the rest is the test.

    Either one truth, of which blocks are for validation, or a truth for each.
    """

    truth: Truth | None = None
    """Truth of both; None: there is none, or one for each."""
    blocks: Blocks | None = None
    """Which part of ``truth`` is for validation."""
    validation: Truth | None = None
    """Truth for validation alone."""
    test: Truth | None = None
    """Truth for the test alone."""

    @property
    def any(self) -> bool:
        """Whether there is some truth."""
        return self.truth is not None or self.validation is not None or self.test is not None

    @property
    def validates(self) -> bool:
        """Whether there is some truth for validation."""
        return self.validation is not None or self.truth is not None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        truths = (self.truth, self.validation, self.test)
        return tuple(path for one in truths if one is not None for path in one.tiles.paths)

    def read(self, grid: Grid, window: Window, salt: int = 0) -> tuple[Plane, Mask]:
        """Read the truth of a window.

        Args:
            grid: of an image.
            window: pixels (H, W) of it.
            salt: of the image, so that the blocks of images differ.

        Returns:
            Index of the true class, uint8 (H, W), 255 unknown; and where it is for validation.

        Raises:
            DataError: validation and test have a class at the same pixel.
            RasterError: a file can't be read.
        """
        if self.truth is not None:
            assert self.blocks is not None, "comes with the truth"
            whole = self.truth.read(grid, window)
            return whole, (whole != NODATA) & salted(self.blocks, salt).mask(window)
        empty = np.full((window.height, window.width), NODATA, np.uint8)
        one = empty if self.validation is None else self.validation.read(grid, window)
        other = empty if self.test is None else self.test.read(grid, window)
        first = one != NODATA
        if both := int((first & (other != NODATA)).sum()):
            raise DataError(
                f"validation= and test= both have a class at {both} pixels of {window}, expected "
                "none in common: what decides when to stop can't be the test; leave one out of the "
                "two, or give truth=, which is split in blocks."
            )
        return np.where(first, one, other), first


def salted(blocks: Blocks, salt: int) -> Blocks:
    """The same choice for another image."""
    return Blocks(blocks.share, blocks.side_px, (blocks.seed * 1_000_003 + salt) % (1 << 63))


def require_truth(judges: Judges, grids: Sequence[Grid]) -> None:
    """Refuse truth that meets none of the images.

    Raises:
        DataError: there is one.
    """
    named = {"truth": judges.truth, "validation": judges.validation, "test": judges.test}
    for name, truth in named.items():
        if truth is None or any(tiles_in(truth.tiles, grid, grid.window) for grid in grids):
            continue
        raise DataError(
            f"{name}= ({truth.tiles.paths[0]}) does not overlap any of the {len(grids)} image(s), "
            "expected it to meet at least one: check the files and their reference systems."
        )
