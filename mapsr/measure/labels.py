"""Label rasters as they are asked: class indices of a legend on any grid."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError, LegendError
from mapsr.geo import Grid, Window, read_codes, read_grid
from mapsr.geo.mosaic_tiles import Tiles, open_tiles, read_tiles
from mapsr.geo.palettes import read_legend
from mapsr.legends import (
    MASKED,
    MOST_UNKNOWN,
    NODATA,
    Crosswalk,
    LandClass,
    Legend,
    load_crosswalk,
    load_legend,
)

BLOCK_PX = 1024
"""Side of the windows that rasters are read by: two tiles of a Cloud Optimized GeoTIFF."""


@dataclass(frozen=True)
class Labels:
    """Rasters of one legend; where several have a class, the first counts.

    Attributes:
        tiles: the files, on grids of any kind.
        source: legend of what they hold.
        crosswalk: to the classes that are asked for; None: those of ``source``.
    """

    tiles: Tiles
    source: Legend
    crosswalk: Crosswalk | None = None

    @property
    def legend(self) -> Legend:
        """The classes that ``read`` gives."""
        return self.source if self.crosswalk is None else self.crosswalk.target

    @property
    def grid(self) -> Grid:
        """Of the first file."""
        return self.tiles.grids[0]

    @property
    def shown(self) -> str:
        """The files in a word."""
        return ", ".join(map(str, self.tiles.paths))

    def read(
        self, grid: Grid, window: Window, unknown: Counter[int] | None = None
    ) -> NDArray[np.uint8]:
        """Read class indices.

        Args:
            grid: whose pixels are asked; nearest pixels of a file on another grid.
            window: pixels (H, W) of the grid.
            unknown: takes how many pixels each code has that is not in the legend.

        Returns:
            uint8 (H, W), 255 where there is no class.

        Raises:
            RasterError: a file can't be read.
        """
        codes = read_tiles(self.tiles, grid, window, self.source.nodata)
        indices, missing = self.source.encode(codes)
        if unknown is not None:
            unknown.update(missing)
        return indices if self.crosswalk is None else self.crosswalk.apply(indices)

    def require_known(self, unknown: Counter[int], pixels: int) -> None:
        """Refuse rasters that are not of their legend.

        Args:
            unknown: pixels by code that is not in the legend.
            pixels: how many were read.

        Raises:
            DataError: too many pixels have such codes.
        """
        if sum(unknown.values()) > MOST_UNKNOWN * pixels:
            codes = ", ".join(str(code) for code, _ in unknown.most_common(5))
            raise DataError(
                f"{self.shown} holds codes such as {codes}, which are not in legend "
                f"'{self.source.name}': name the legend of the file (legend=NAME or a .yaml)."
            )


def open_labels(paths: Sequence[Path], legend: str | None = None) -> Labels:
    """Open label rasters of one legend.

    Args:
        paths: files of any grid.
        legend: name or YAML file of their legend; None: the first file carries it, as maps do.

    Raises:
        RasterError: a file can't be read.
        LegendError: the legend can't be read; or none is given and the file carries none.
    """
    if legend is None:
        found = read_legend(paths[0])
        if found is None:
            raise LegendError(
                f"{paths[0]} does not say what its classes are called, expected a map of mapsr or "
                "the name of its legend: give legend=NAME (such as nlcd) or a .yaml file, or "
                "legend=codes to call each class by its number."
            )
    else:
        found = codes_legend(paths) if legend == "codes" else load_legend(legend)
    return Labels(open_tiles(paths), found)


def onto(labels: Labels, target: Legend, crosswalk: str) -> Labels:
    """Ask rasters for the classes of another legend.

    Args:
        labels: the rasters.
        target: the legend wanted; where it has the same names, they stand for each other.
        crosswalk: preset or YAML file that says which class stands for which, else.

    Raises:
        LegendError: the crosswalk does not lead from the one legend to the other.
    """
    source = labels.source
    if set(source.names) <= set(target.names):
        table = tuple(target.index(name) for name in source.names)
        return Labels(labels.tiles, source, Crosswalk("names", source, target, table))
    return Labels(labels.tiles, source, load_crosswalk(crosswalk, source, target))


def codes_legend(paths: Sequence[Path]) -> Legend:
    """A legend of the codes that rasters hold, each called by its number.

    Raises:
        RasterError: a file can't be read.
        DataError: there is no code, or more than a legend has classes.
    """
    found: set[int] = set()
    for path in paths:
        grid = read_grid(path)
        for window in blocks(grid):
            found |= set(np.unique(read_codes(path, grid, window)).tolist())
            if len(found) > NODATA + 1:
                raise DataError(
                    f"{path} holds more than {NODATA} different codes, expected a raster of labels."
                )
    codes = sorted(found - {MASKED})
    if not codes:
        raise DataError(f"{', '.join(map(str, paths))} holds no pixel with data.")
    grey = (128, 128, 128)
    classes = tuple(LandClass(code, str(code), grey) for code in codes)
    return Legend("codes", "Codes of the raster", str(paths[0]), classes)


def blocks(grid: Grid, side: int = BLOCK_PX) -> Iterator[Window]:
    """Windows that cover a grid once, row by row of squares; those at its ends are smaller."""
    for row in range(0, grid.height, side):
        for col in range(0, grid.width, side):
            high, wide = min(side, grid.height - row), min(side, grid.width - col)
            yield Window(row, col, high, wide)


def block_count(grid: Grid, side: int = BLOCK_PX) -> int:
    """How many windows ``blocks`` gives."""
    return -(-grid.height // side) * -(-grid.width // side)
