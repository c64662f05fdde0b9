"""The coarse product at the place of a map, for methods whose maps it has a say in."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.geo import Grid, Window, cell_spans, overlap
from mapsr.geo.examination import count_codes
from mapsr.geo.mosaic_tiles import Tiles, open_tiles, read_tiles
from mapsr.legends import MOST_UNKNOWN, Legend, unknown_codes

logger = logging.getLogger(__name__)

_SEEN_PX = 256
"""Rows and columns of a product that are looked at before it is used."""


@dataclass(frozen=True)
class ProductLayer:
    """Coarse products on the grid of a raster; may be sent to another process.

    Attributes:
        tiles: files of one product; the first that has a code at a place counts.
        legend: of all of them.
        grid: of the raster that is mapped.
        cell: rows and columns of the grid that a pixel of the first file spans.
    """

    tiles: Tiles
    legend: Legend
    grid: Grid
    cell: tuple[float, float]

    @staticmethod
    def of(paths: Sequence[Path], legend: Legend, grid: Grid) -> "ProductLayer | None":
        """Find the product of a place; None where none of the files reaches it.

        Args:
            paths: files; those that lie elsewhere are left out.
            legend: that the method was fitted with.
            grid: of the raster that is mapped.

        Raises:
            RasterError: a file can't be read.
            DataError: many codes there are not in the legend.
        """
        shares = {path: overlap(path, grid) for path in dict.fromkeys(paths)}
        here = tuple(path for path, share in shares.items() if share > 0)
        if not here:
            return None
        counts = sum((count_codes(path, grid, _SEEN_PX) for path in here), Counter[int]())
        unknown, codes = unknown_codes(legend, counts)
        if unknown > MOST_UNKNOWN:
            raise DataError(
                f"The coarse product {', '.join(map(str, here))} holds codes such as "
                f"{', '.join(map(str, codes[:5]))}, which are not in legend '{legend.name}', that "
                "the method was fitted with: give a product of that legend, or map without it "
                "(product_prior=0)."
            )
        if len(here) == 1 and shares[here[0]] < 1:
            logger.warning(
                "%s covers %.0f %% of what is mapped; the rest is mapped with the shares of the "
                "classes where the method was fitted",
                here[0],
                100 * shares[here[0]],
            )
        return ProductLayer(open_tiles(here), legend, grid, cell_spans(here[0], grid))

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class indices (H, W) of a window, 255 where no file has a class.

        Raises:
            RasterError: a file can't be read.
        """
        codes = read_tiles(self.tiles, self.grid, window, self.legend.nodata)
        return self.legend.encode(codes)[0]
