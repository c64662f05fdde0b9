"""What an engine does: score the work units of rasters, in whatever order and place."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from mapsr import budgets
from mapsr.data import Chip
from mapsr.errors import MapsrError
from mapsr.geo import Grid, ImageReader, MosaicReader, Window
from mapsr.geo.places import Part
from mapsr.mapping.blend import UnitResult
from mapsr.mapping.outputs import Channels, Output, Scores
from mapsr.mapping.plan import MapPlan, Unit
from mapsr.mapping.products import ProductLayer

Score = Callable[[Sequence[Chip]], Scores]
"""Gives scores (B, C, h, w) by layer for chips of one size; may be called by several threads."""


Work = Callable[["UnitTask"], UnitResult]
"""Does a unit in some other way than by scores; raises MapsrError. It, and what it holds, can be
called by several threads and sent to another process."""


Build = Callable[[torch.device], Score]
"""Builds a scorer on a device; what it holds can be sent to another process."""


class EngineSettings(Protocol):
    """What each choice of the group ``engine`` offers."""

    def open(self, build: Build, device: torch.device, batch: int | None) -> "Engine":
        """Make the engine.

        Args:
            build: makes a scorer on a device.
            device: of this machine; an engine elsewhere finds its own.
            batch: chips scored at once; None: one on a CPU, on a GPU what its memory takes.

        Raises:
            ConfigError: what the engine needs is not here.
            MapsrError: the method can't be built.
        """
        ...

    def open_work(self, work: Work) -> "Engine":
        """Make an engine for units that are not scored.

        Raises:
            ConfigError: what the engine needs is not here.
        """
        ...

    def parallel(self, device: torch.device) -> "Parallel":
        """Say how many chips would be under way at once, without making the engine."""
        ...


@dataclass(frozen=True)
class Parallel:
    """How many chips are under way at once.

    Attributes:
        workers: chips in memory at once.
        speed: how much faster than one after the other they are, at the most.
    """

    workers: int
    speed: int


@dataclass(frozen=True)
class Raster:
    """A raster to be scored; may be sent to another process.

    Attributes:
        name: for messages.
        reader: gives its pixels.
        plan: its chips and work units.
        outputs: what is wanted of it.
        product: the coarse product at its place; None: it has no say.
        channels: what those of the map's scores stand for; None: a class each.
        part: what of it is mapped; None: all.
    """

    name: str
    reader: ImageReader | MosaicReader
    plan: MapPlan
    outputs: tuple[Output, ...]
    product: ProductLayer | None = None
    channels: Channels | None = None
    part: Part | None = None

    @property
    def grid(self) -> Grid:
        """Of what is written of it."""
        whole = self.reader.grid
        return whole if self.part is None else whole.crop(self.part.window)

    @cached_property
    def written(self) -> Sequence[Unit]:
        """The units that own pixels of what is written."""
        if self.part is None:
            return self.plan.units
        window = self.part.window
        return tuple(unit for unit in self.plan if unit.owned.intersect(window))

    @cached_property
    def units(self) -> Sequence[Unit]:
        """The units that are scored, in order: those of a part are scored as in the whole."""
        if self.part is None:
            return self.plan.units
        near = {one.number for unit in self.written for one in self.plan.touching(unit)}
        return tuple(self.plan[number] for number in sorted(near))

    @property
    def strip_mib(self) -> int:
        """Memory for blocks that a row of its chips needs; 0 where files are tiled."""
        return self.reader.strip_mib(self.plan.settings.chip)


@dataclass(frozen=True)
class UnitTask:
    """A work unit of one of several rasters.

    Attributes:
        job: number of the raster's job.
        raster: the raster.
        unit: the unit.
    """

    job: int
    raster: Raster
    unit: Unit


def cache_mib(strips: Iterable[int]) -> int:
    """Memory for blocks of files, given what a row of chips needs of each (``strip_mib``).

    32 MiB, where files are tiled; a file of whole rows needs a row of chips, else each chip would
    read the rows again. At most 1 GiB.
    """
    return min(max([budgets.BLOCKS_MIB.cpu, *strips]), budgets.MOST_BLOCKS_MIB.cpu)


Outcome = tuple[UnitTask, UnitResult | MapsrError]
"""A task and what came of it: a raster that can't be read spoils its own units only."""


class Engine(Protocol):
    """Does tasks."""

    def run(self, tasks: Iterable[UnitTask]) -> Iterator[Outcome]:
        """Do tasks, of which a few are taken ahead; yield the outcomes in any order.

        The outcome of a task depends on the task alone, to the last bit.
        """
        ...


@dataclass(frozen=True)
class ScoredBatch:
    """Chips of one size that hold data, with their scores.

    Attributes:
        windows: where the chips are; none where none holds data.
        valid: bool (B, h, w).
        scores: float32 (B, C, h, w) by layer, on the CPU.
    """

    windows: tuple[Window, ...]
    valid: Tensor
    scores: Scores


def batches_of(task: UnitTask, most: int) -> list[list[Window]]:
    """Chips of a unit that the image reaches into, in batches of one size."""
    by_size: dict[tuple[int, int], list[Window]] = {}
    for window in task.raster.plan.chips(task.unit):
        if task.raster.reader.touches(window):
            by_size.setdefault((window.height, window.width), []).append(window)
    return [
        windows[start : start + most]
        for windows in by_size.values()
        for start in range(0, len(windows), most)
    ]


def score_batch(raster: Raster, windows: Sequence[Window], score: Score) -> ScoredBatch:
    """Read chips of one size and score those that hold data.

    Raises:
        RasterError: the image can't be read.
    """
    chips = [chip for chip in (read_chip(raster, one) for one in windows) if chip.valid.any()]
    if not chips:
        return ScoredBatch((), torch.zeros(0), {})
    scores = {layer: values.cpu() for layer, values in score(chips).items()}
    every = torch.stack([chip.valid for chip in chips])
    return ScoredBatch(tuple(chip.window for chip in chips), every, scores)


def without_cause(error: MapsrError) -> MapsrError:
    """An error as it can be sent to another process, which its cause may not survive."""
    return type(error)(str(error))


def outcome_of(work: Work, task: UnitTask) -> Outcome:
    """Do a unit that is not scored."""
    try:
        return task, work(task)
    except MapsrError as error:
        return task, without_cause(error)


def read_chip(raster: Raster, window: Window) -> Chip:
    """Read a chip, with the product where it has a say and the chip holds data.

    Raises:
        RasterError: the image can't be read.
    """
    image, valid = raster.reader.read(window)
    pixels, mask = torch.from_numpy(image), torch.from_numpy(valid)
    if raster.product is None or not valid.any():
        return Chip(raster.name, window, pixels, mask, None, None)
    classes = torch.from_numpy(raster.product.read(window))
    return Chip(raster.name, window, pixels, mask, classes, None, raster.product.cell)
