"""How a raster is cut into chips and how their scores are blended."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mapsr.errors import ConfigError, require_range
from mapsr.geo import Window
from mapsr.settings import choice


@choice("windows", "grid")
@dataclass(frozen=True)
class WindowSettings:
    """Chips of a raster."""

    chip: int = 448
    """Side of a chip in pixels; a smaller raster is one smaller chip."""
    overlap: int = 64
    """Pixels that neighbouring chips share; 0 is legal."""

    def __post_init__(self) -> None:
        require_range(self.chip, "windows.chip", low=1)
        require_range(self.overlap, "windows.overlap")
        if self.overlap >= self.chip:
            raise ConfigError(
                f"windows.overlap={self.overlap} must be smaller than windows.chip={self.chip}."
            )


def cover(height: int, width: int, settings: WindowSettings) -> list[list[Window]]:
    """Cover a raster with chips, row of chips by row of chips.

    Every pixel lies in at least one chip, every chip inside the raster; the last chip of a row or
    column stands flush with the far edge, so that all have the full size where the raster has.
    """
    rows, columns = _origins(height, settings), _origins(width, settings)
    high, wide = min(settings.chip, height), min(settings.chip, width)
    return [[Window(row, column, high, wide) for column in columns] for row in rows]


def blend_weights(height: int, width: int, overlap: int) -> Tensor:
    """Weights of a chip's pixels, (height, width) float32 in (0, 1]: 1 inside, less to the edges.

    They rise over the overlap and are nowhere zero, so that a pixel that only one chip sees keeps
    that chip's scores.
    """
    sides = []
    for side in (height, width):
        place = torch.arange(side)
        edge = torch.minimum(place, side - 1 - place) + 1
        sides.append(edge.clamp(max=overlap + 1) / (overlap + 1))
    return sides[0][:, None] * sides[1]


def _origins(side: int, settings: WindowSettings) -> list[int]:
    last = max(side - settings.chip, 0)
    return [*range(0, last, settings.chip - settings.overlap), last]
