"""Chips read a batch ahead, into memory that a GPU copies from by itself."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import cycle

import torch
from torch import Tensor

from mapsr import budgets
from mapsr.data import Chip
from mapsr.geo import Window
from mapsr.mapping.blend import UnitBlend
from mapsr.mapping.engines import Raster, UnitTask, batches_of, read_chip


@dataclass(frozen=True)
class Staged:
    """Chips of one size that hold data, in memory that their device copies from.

    Attributes:
        chips: with tensors that are overwritten once the batch after the next is read.
        slot: the memory.
    """

    chips: tuple[Chip, ...]
    slot: "_Slot"

    def on_device(self) -> list[Chip]:
        """The chips with their pixels on the device; the copy goes on while the host does."""
        return self.slot.moved(self.chips)


@dataclass
class Step:
    """A batch of a unit on its way; without one, a unit that has no chip."""

    task: UnitTask
    blend: UnitBlend
    windows: tuple[Window, ...]
    last: bool
    future: "Future[Staged] | None" = None


class ReadAhead:
    """Reads batches ahead, in threads: as many as ``budgets.READ_AHEAD`` are in memory.

    Args:
        device: that the chips go to; memory that a CUDA device copies from is pinned.
        threads: that read.
        most: chips in a batch.
    """

    def __init__(self, device: torch.device, threads: int, most: int) -> None:
        self._device, self._most = device, most
        self._readers = ThreadPoolExecutor(threads, "mapsr-read")
        self._stagers = ThreadPoolExecutor(1, "mapsr-stage")
        self._slots = cycle([_Slot(device) for _ in range(budgets.READ_AHEAD.cpu)])

    def steps(self, tasks: Iterable[UnitTask]) -> Iterator[Step]:
        """Yield the batches of tasks in order; while one is worked on, the next one is read.

        A batch's memory is used again when the second one after it is asked for.
        """
        planned = self._planned(tasks)
        ahead: deque[Step] = deque()
        while True:
            while len(ahead) < budgets.READ_AHEAD.cpu:
                step = next(planned, None)
                if step is None:
                    break
                if step.windows:
                    work = partial(self._staged, step.task.raster, step.windows, next(self._slots))
                    step.future = self._stagers.submit(work)
                ahead.append(step)
            if not ahead:
                return
            yield ahead.popleft()

    def _planned(self, tasks: Iterable[UnitTask]) -> Iterator[Step]:
        for task in tasks:
            blend = UnitBlend(task.raster.plan, task.unit)
            batches = batches_of(task, self._most)
            if not batches:
                yield Step(task, blend, (), last=True)
            for number, windows in enumerate(batches, start=1):
                yield Step(task, blend, tuple(windows), last=number == len(batches))

    def _staged(self, raster: Raster, windows: Sequence[Window], slot: "_Slot") -> Staged:
        read: Callable[[Window], Chip] = partial(read_chip, raster)
        chips = [chip for chip in self._readers.map(read, windows) if chip.valid.any()]
        return Staged(slot.held(chips), slot)

    def close(self) -> None:
        """Let the threads go."""
        for pool in (self._stagers, self._readers):
            pool.shutdown(wait=True, cancel_futures=True)


class _Slot:
    """Memory of one batch, used over and over; pinned where a CUDA device copies from it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._memory: dict[str, Tensor] = {}
        self._copied: torch.cuda.Event | None = None

    def held(self, chips: Sequence[Chip]) -> tuple[Chip, ...]:
        """The chips with their pixels in this memory; waits until what was there is copied."""
        if self._copied is not None:
            self._copied.synchronize()
        if not chips:
            return ()
        image = self._stack("image", [chip.image for chip in chips])
        valid = self._stack("valid", [chip.valid for chip in chips])
        coarse = [chip.coarse for chip in chips if chip.coarse is not None]
        products = self._stack("coarse", coarse) if len(coarse) == len(chips) else None
        return tuple(_with(chip, image, valid, products, n) for n, chip in enumerate(chips))

    def moved(self, chips: Sequence[Chip]) -> list[Chip]:
        """The chips that were held last, on the device."""
        if not chips or self._device.type == "cpu":
            return list(chips)
        count = len(chips)
        image, valid = (self._moved(name, count) for name in ("image", "valid"))
        products = None if chips[0].coarse is None else self._moved("coarse", count)
        if self._device.type == "cuda":
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(self._device))
        return [_with(chip, image, valid, products, n) for n, chip in enumerate(chips)]

    def _stack(self, name: str, parts: Sequence[Tensor]) -> Tensor:
        shape = parts[0].shape
        memory = self._memory.get(name)
        if memory is None or memory.shape[1:] != shape or len(memory) < len(parts):
            pinned = self._device.type == "cuda"
            memory = torch.empty((len(parts), *shape), dtype=parts[0].dtype, pin_memory=pinned)
            self._memory[name] = memory
        return torch.stack(list(parts), out=memory[: len(parts)])

    def _moved(self, name: str, count: int) -> Tensor:
        return self._memory[name][:count].to(self._device, non_blocking=True)


def _with(chip: Chip, image: Tensor, valid: Tensor, products: Tensor | None, number: int) -> Chip:
    """A chip with its part of a batch."""
    coarse = chip.coarse if products is None else products[number]
    return Chip(chip.scene, chip.window, image[number], valid[number], coarse, None, chip.cell)
