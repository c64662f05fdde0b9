"""The engine of one device that takes chips in batches: a GPU, in this process.

While the device scores a batch, the next one is read. Scores are blended on the device; what leaves
it are labels, and the sums where other units reach in.
"""

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Protocol

import torch

from mapsr import budgets
from mapsr.data import Chip
from mapsr.errors import ConfigError, MapsrError
from mapsr.findings import volume
from mapsr.mapping.blend import UnitBlend
from mapsr.mapping.engines import Outcome, Score, UnitTask
from mapsr.mapping.reading import ReadAhead, Step

logger = logging.getLogger(__name__)


class Memory(Protocol):
    """What is known of a device's memory, in bytes."""

    def free(self) -> int:
        """What a batch could have."""
        ...

    def peak(self, work: Callable[[], object]) -> int:
        """Do work; return what it needed at its worst beyond what was there before."""
        ...

    def empty(self) -> None:
        """Let go of what is kept for later use."""
        ...


class CudaMemory:
    """The memory of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def free(self) -> int:
        """What the driver has, and what torch keeps without using it."""
        kept = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return int(torch.cuda.mem_get_info(self._device)[0]) + kept

    def peak(self, work: Callable[[], object]) -> int:
        """See ``Memory``."""
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        work()
        torch.cuda.synchronize(self._device)
        return torch.cuda.max_memory_allocated(self._device) - before

    def empty(self) -> None:
        """See ``Memory``."""
        gc.collect()
        torch.cuda.empty_cache()


class GpuEngine:
    """Scores chips in batches on one device, and reads the next batch meanwhile.

    A batch for which memory does not suffice is scored again in smaller ones, and so are all after
    it. The bits of a score on a GPU may depend on the size of its batch.

    Memory: two batches of chips on the host; on the device the method's for a batch, once the sums
    of a unit.

    Args:
        score: of the method, on the device.
        device: where it computes; any device does, the CPU too.
        batch: chips scored at once; None: as many as the device's memory takes, found once.
        threads: that read chips.
        memory: of the device; None: CUDA's, and not known elsewhere.
    """

    def __init__(
        self,
        score: Score,
        device: torch.device,
        batch: int | None = None,
        threads: int = 4,
        memory: Memory | None = None,
    ) -> None:
        if memory is None and device.type == "cuda":
            memory = CudaMemory(device)
        self._score, self._device, self._memory = score, device, memory
        self._threads = threads
        self._read = batch or (budgets.MOST_CHIPS.cpu if memory is None else _most_chips())
        self._most = batch if batch or memory is not None else self._read

    @property
    def batch(self) -> int | None:
        """Chips scored at once; None: not found yet."""
        return self._most

    def run(self, tasks: Iterable[UnitTask]) -> Iterator[Outcome]:
        """Do tasks; see ``Engine``. Outcomes come in the order of the tasks."""
        failed: UnitBlend | None = None
        with closing(ReadAhead(self._device, self._threads, self._read)) as reading:
            for step in reading.steps(tasks):
                if step.blend is failed:
                    continue
                try:
                    self._add(step)
                    if step.last:
                        raster = step.task.raster
                        yield step.task, step.blend.result(raster.outputs, raster.channels)
                except MapsrError as error:
                    failed = step.blend
                    yield step.task, error

    def _add(self, step: Step) -> None:
        """Score a batch and blend it into its unit."""
        if step.future is None:
            return
        chips = step.future.result().on_device()
        start = 0
        while start < len(chips):
            some = chips[start : start + self._batch_for(chips[0])]
            if self._scored(step.blend, some):
                start += len(some)
            else:
                self._take_fewer(some)

    def _scored(self, blend: UnitBlend, chips: Sequence[Chip]) -> bool:
        """Score and blend chips; False: memory did not suffice, and nothing was blended."""
        try:
            valid = torch.stack([chip.valid for chip in chips])
            blend.add([chip.window for chip in chips], valid, self._score(chips))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return False  # with the error goes what its trace holds
        return True

    def _take_fewer(self, chips: Sequence[Chip]) -> None:
        """Halve the batch.

        Raises:
            ConfigError: it was a single chip.
        """
        if self._memory is not None:
            self._memory.empty()
        if len(chips) == 1:
            height, width = chips[0].valid.shape
            free = "" if self._memory is None else f" ({volume(self._memory.free())} are free)"
            raise ConfigError(
                f"Scoring one chip of {height} x {width} px takes more memory than {self._device} "
                f"has{free}: set a smaller windows.chip, end what else runs there, or set "
                "compute.device=cpu."
            )
        self._most = len(chips) // 2
        logger.warning(
            "%s has not enough memory for %d chips at once; going on with %d",
            self._device,
            len(chips),
            self._most,
        )

    def _batch_for(self, chip: Chip) -> int:
        if self._most is None:
            assert self._memory is not None, "else the batch is known"
            self._most = measured_batch(
                lambda count: self._score([chip] * count), self._memory, self._read
            )
            logger.info("%s takes %d chips at once", self._device, self._most)
        return self._most


def measured_batch(work: Callable[[int], object], memory: Memory, most: int) -> int:
    """Find how many chips a device's memory takes at once.

    What one chip and two take tells what each further one needs; a share of the free memory is left
    for what comes on top.

    Args:
        work: scores so many chips.
        memory: of the device.
        most: not more than so many.

    Returns:
        1 .. ``most``; 1 also where memory does not suffice for two.
    """
    try:
        work(1)  # what comes first also pays for workspaces
        one = memory.peak(lambda: work(1))
        two = memory.peak(lambda: work(2)) if most > 1 else 2 * one
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return 1
    each = max(1, two - one)
    room = budgets.GPU_SHARE * memory.free() - max(0, one - each)
    return max(1, min(most, int(room // each)))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device's memory did not suffice, whichever library says so."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(
        sign in said for sign in ("ALLOC_FAILED", "out of memory")
    )


def _most_chips() -> int:
    return budgets.MOST_CHIPS.gpu or 1
