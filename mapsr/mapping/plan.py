"""How a raster is cut into work units, and how the chips' scores are weighted."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mapsr.geo import Window, WindowSettings, spans
from mapsr.geo.tiling import Span, near
from mapsr.mapping.centres import centre_weights


def blend_weight(cut: Sequence[Span], index: int, reach: int) -> Tensor:
    """Weights of a chip's pixels along one side of a raster, float32 (length,) in (0, 1].

    A pixel's weights rise over the overlap from a chip's edge to its inside, are nowhere zero, and
    sum to one over the chips that see it; with a reach of 1 they are all the same. The weight in
    the plane is the product of both sides'.

    Args:
        cut: the chips along the side, see ``spans``.
        index: number of the chip.
        reach: pixels from a chip's edge over which weights rise.
    """
    start, length = cut[index]
    total = np.zeros(length)
    for begin, size in near(cut, index):  # in order: a sum has one last bit
        low, high = max(begin, start), min(begin + size, start + length)
        total[low - start : high - start] += _ramp(size, reach)[low - begin : high - begin]
    return torch.from_numpy(_ramp(length, reach) / total).float()


def _ramp(length: int, reach: int) -> NDArray[np.float64]:
    place = np.arange(length)
    edge = np.minimum(place, length - 1 - place) + 1
    ramp: NDArray[np.float64] = edge.clip(max=reach) / reach
    return ramp


@dataclass(frozen=True)
class Strip:
    """What a work unit is along one side of a raster: consecutive chips.

    Attributes:
        chips: numbers of its chips along the side.
        extent: start and end of the pixels that its chips see.
        inner: start and end of the pixels that no other unit's chips see; may be empty.
        owned: start and end of the pixels that it answers for; all units' cover the side once.
    """

    chips: range
    extent: Span
    inner: Span
    owned: Span


def strips(side: int, settings: WindowSettings) -> list[Strip]:
    """Group the chips along one side of a raster into work units."""
    cut = spans(side, settings)
    groups = [
        range(start, min(start + settings.unit_chips, len(cut)))
        for start in range(0, len(cut), settings.unit_chips)
    ]
    begins = [cut[group[0]][0] for group in groups]
    ends = [sum(cut[group[-1]]) for group in groups]
    found = []
    for number, group in enumerate(groups):
        # chips begin and end in order, so the nearest neighbours reach in farthest
        low = ends[number - 1] if number else 0
        high = begins[number + 1] if number + 1 < len(groups) else side
        found.append(
            Strip(
                group,
                (begins[number], ends[number]),
                (low, max(low, high)),
                (begins[number], high),
            )
        )
    return found


@dataclass(frozen=True)
class Unit:
    """A block of chips that is scored, stored and lost as one.

    Attributes:
        number: in order, row of units by row of units.
        rows: its part of the height.
        columns: its part of the width.
    """

    number: int
    rows: Strip
    columns: Strip

    @property
    def extent(self) -> Window:
        """The pixels that its chips see."""
        return _window(self.rows.extent, self.columns.extent)

    @property
    def owned(self) -> Window:
        """The pixels that it answers for."""
        return _window(self.rows.owned, self.columns.owned)

    @property
    def inner(self) -> Window | None:
        """The pixels that only its own chips see."""
        if (
            self.rows.inner[0] == self.rows.inner[1]
            or self.columns.inner[0] == self.columns.inner[1]
        ):
            return None
        return _window(self.rows.inner, self.columns.inner)

    @property
    def seams(self) -> list[Window]:
        """The rest of its extent, in rectangles: above, below, left and right of ``inner``."""
        if self.inner is None:
            return [self.extent]
        (top, bottom), (left, right) = self.rows.extent, self.columns.extent
        (first, last), (west, east) = self.rows.inner, self.columns.inner
        parts = [
            ((top, first), (left, right)),
            ((last, bottom), (left, right)),
            ((first, last), (left, west)),
            ((first, last), (east, right)),
        ]
        return [_window(*part) for part in parts if all(begin < end for begin, end in part)]


class MapPlan:
    """A raster's chips and work units.

    Attributes:
        size: (H, W) of the raster.
        settings: chips, overlap and units.
    """

    def __init__(self, size: tuple[int, int], settings: WindowSettings) -> None:
        self.size = size
        self.settings = settings
        self._strips = strips(size[0], settings), strips(size[1], settings)
        self._spans = spans(size[0], settings), spans(size[1], settings)

    def __len__(self) -> int:
        return len(self._strips[0]) * len(self._strips[1])

    def __getitem__(self, number: int) -> Unit:
        if not 0 <= number < len(self):
            raise IndexError(number)
        row, column = divmod(number, len(self._strips[1]))
        return Unit(number, self._strips[0][row], self._strips[1][column])

    def __iter__(self) -> Iterator[Unit]:
        return (self[number] for number in range(len(self)))

    @property
    def units(self) -> Sequence[Unit]:
        """All units in order, made when they are asked for."""
        return _Units(self)

    def chips(self, unit: Unit) -> list[Window]:
        """The windows of a unit's chips, row by row."""
        return [
            Window(row, column, high, wide)
            for row, high in (self._spans[0][index] for index in unit.rows.chips)
            for column, wide in (self._spans[1][index] for index in unit.columns.chips)
        ]

    def weight(self, chip: Window) -> Tensor:
        """Weights of a chip's pixels, (height, width) float32, which sum to 1 over the chips."""
        sides = (chip.row, chip.height), (chip.col, chip.width)
        row, column = (bisect_left(cut, side) for cut, side in zip(self._spans, sides, strict=True))
        settings = self.settings
        if settings.weight == "centre":
            return centre_weights(*self._spans, (row, column), settings.overlap)
        reach = 1 if settings.weight == "even" else settings.overlap + 1
        down = blend_weight(self._spans[0], row, reach)
        return down[:, None] * blend_weight(self._spans[1], column, reach)

    def touching(self, unit: Unit) -> list[Unit]:
        """The units whose chips see pixels that ``unit`` owns, itself included, in order."""
        wide = len(self._strips[1])
        near = []
        for row, strip in enumerate(self._strips[0]):
            if not _meet(strip.extent, unit.rows.owned):
                continue
            for column, other in enumerate(self._strips[1]):
                if _meet(other.extent, unit.columns.owned):
                    near.append(self[row * wide + column])
        return near


class _Units(Sequence[Unit]):
    """The units of a plan: a raster of any size may have millions."""

    def __init__(self, plan: MapPlan) -> None:
        self._plan = plan

    def __len__(self) -> int:
        return len(self._plan)

    @overload
    def __getitem__(self, number: int) -> Unit: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Unit]: ...

    def __getitem__(self, number: int | slice) -> Unit | Sequence[Unit]:
        if isinstance(number, slice):
            return tuple(self._plan[one] for one in range(*number.indices(len(self))))
        return self._plan[number]


class PatchPlan(MapPlan):
    """A raster's patches as work units: no pixel is seen by two of them.

    Args:
        size: (H, W) of the raster.
        side: of a patch in pixels; those at the right and lower edge are as large as is left.
    """

    def __init__(self, size: tuple[int, int], side: int) -> None:
        self.size = size
        self.settings = WindowSettings(chip=side, overlap=0, unit=side)
        self._strips = _patch_strips(size[0], side), _patch_strips(size[1], side)


def _patch_strips(length: int, side: int) -> list[Strip]:
    ends = [(start, min(start + side, length)) for start in range(0, length, side)]
    return [Strip(range(n, n + 1), span, span, span) for n, span in enumerate(ends)]


def _meet(one: Span, other: Span) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])


def _window(rows: Span, columns: Span) -> Window:
    return Window(rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0])
