"""How a raster is covered with chips."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mapsr.errors import ConfigError, require_choice, require_range
from mapsr.geo.windows import Window
from mapsr.settings import choice

Span = tuple[int, int]
"""Start and length of a chip along one side."""


@choice("windows", "grid")
@dataclass(frozen=True)
class WindowSettings:
    """Chips of a raster."""

    chip: int = 448
    """Side of a chip in pixels; a smaller raster is one smaller chip."""
    overlap: int = 64
    """Pixels that neighbouring chips share; 0 is legal."""
    unit: int = 1024
    """Side of a work unit in pixels, rounded to whole chips: what is lost when a job is killed."""
    last: str = "short"
    """The last chip of a side: "short" ends with the raster and shares no more than the overlap,
    so far as it keeps half a chip; "whole" begins earlier, as in the authors' codes."""
    weight: str = "ramp"
    """How chips count where they overlap: "ramp", the more the farther from their edge; "even"; or
    "centre", five times as much in the middle, an overlap away from the edges of its neighbours, as
    in Paraformer's code."""

    def __post_init__(self) -> None:
        require_choice(self.last, ("short", "whole"), "windows.last")
        require_choice(self.weight, ("ramp", "even", "centre"), "windows.weight")
        require_range(self.chip, "windows.chip", low=1)
        require_range(self.overlap, "windows.overlap")
        require_range(self.unit, "windows.unit", low=1)
        if self.overlap >= self.chip:
            raise ConfigError(
                f"windows.overlap={self.overlap} must be smaller than windows.chip={self.chip}."
            )

    @property
    def unit_chips(self) -> int:
        """Chips along the side of a work unit, at least 1."""
        return max(1, round((self.unit - self.overlap) / (self.chip - self.overlap)))


def spans(side: int, settings: WindowSettings) -> list[Span]:
    """Cut one side of a raster: where chips begin and how long they are.

    Every pixel lies in at least one chip, every chip inside the side. Chips begin a stride apart.
    The last one ends with the side and so is shorter, though not than half a chip: for that it
    begins earlier, so that it sees some surroundings. With ``last="whole"`` it is no shorter.
    """
    if side <= settings.chip:
        return [(0, side)]
    stride = settings.chip - settings.overlap
    whole = range(0, side - settings.chip, stride)  # chips that end before the side does
    least = settings.chip if settings.last == "whole" else max(1, settings.chip // 2)
    last = min(len(whole) * stride, side - least)
    return [*((start, settings.chip) for start in whole), (last, side - last)]


def cover(height: int, width: int, settings: WindowSettings) -> list[list[Window]]:
    """Cover a raster with chips, row of chips by row of chips (see ``spans``)."""
    rows, columns = spans(height, settings), spans(width, settings)
    return [[Window(row, column, high, wide) for column, wide in columns] for row, high in rows]


def tiles(height: int, width: int, chip: int) -> list[Window]:
    """Cut a raster into chips that share no pixel and leave none out, row by row.

    A side that is longer than a chip is cut into as few parts as possible, as even as possible, so
    that no chip is a sliver that shows the encoder no surroundings.

    Args:
        height: of the raster in pixels.
        width: of the raster in pixels.
        chip: most pixels along a side of a chip.
    """
    rows, columns = _parts(height, chip), _parts(width, chip)
    return [Window(row, column, high, wide) for row, high in rows for column, wide in columns]


def _parts(side: int, most: int) -> list[Span]:
    count = -(-side // most)
    ends = [number * side // count for number in range(count + 1)]
    return [(start, end - start) for start, end in pairwise(ends)]


def near(cut: Sequence[Span], number: int) -> Sequence[Span]:
    """The windows along a side that reach into one of them, itself included, in order.

    Args:
        cut: see ``spans``; starts and ends rise.
        number: of the window.
    """
    start, length = cut[number]
    first = last = number
    while first and sum(cut[first - 1]) > start:
        first -= 1
    while last + 1 < len(cut) and cut[last + 1][0] < start + length:
        last += 1
    return cut[first : last + 1]
