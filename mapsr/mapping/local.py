"""The engine of this machine: threads that each take chips from reading to scores."""

import ctypes
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from mapsr import budgets
from mapsr.errors import MapsrError, require_range
from mapsr.mapping.blend import UnitBlend
from mapsr.mapping.engines import (
    Build,
    Engine,
    Outcome,
    Parallel,
    Score,
    ScoredBatch,
    UnitTask,
    Work,
    batches_of,
    outcome_of,
    score_batch,
)
from mapsr.mapping.gpu import GpuEngine
from mapsr.mapping.processes import GpuProcesses
from mapsr.processors import one_thread
from mapsr.settings import aside, choice


@choice("engine", "local")
@dataclass(frozen=True)
class LocalSettings:
    """How this machine is used; results do not depend on it."""

    workers: int | None = aside(None)
    """Threads that each take chips from reading to scores; null: one for each core. Fewer take
    less memory: each holds a chip's features. On CUDA devices, threads that read ahead for each
    device; null: four."""

    def __post_init__(self) -> None:
        if self.workers is not None:
            require_range(self.workers, "engine.workers", low=1)

    def open(self, build: Build, device: torch.device, batch: int | None) -> Engine:
        """Make the engine: threads on a CPU, a process for each of several GPUs.

        Raises:
            MapsrError: the method can't be built.
        """
        if device.type == "cpu":
            return LocalEngine(build(device), self.workers, batch or 1)
        devices, threads = _devices(device), self.workers or _PER_CUDA_DEVICE
        if len(devices) == 1:
            return GpuEngine(build(devices[0]), devices[0], batch, threads)
        return GpuProcesses(build, devices, batch, threads)

    def open_work(self, work: Work) -> "LocalWork":
        """Make the engine for units that are not scored."""
        return LocalWork(work, self.workers)

    def parallel(self, device: torch.device) -> Parallel:
        """One chip a worker; of CUDA devices each has a batch, and the host those read ahead."""
        if device.type == "cpu":
            workers = self.workers or cores()
            return Parallel(workers, workers)
        count = len(_devices(device))
        return Parallel(budgets.READ_AHEAD.cpu * count, count)


_PER_CUDA_DEVICE = 4
"""Threads that read for one device: files are unpacked slower than they are scored."""

_M_ARENA_MAX = -8
"""glibc's number of the parameter (malloc.h)."""


@dataclass
class _Step:
    """A batch of a unit on its way, the last one of the unit or not."""

    task: UnitTask
    blend: UnitBlend
    future: Future[ScoredBatch] | None
    last: bool

    @property
    def is_done(self) -> bool:
        return self.future is None or self.future.done()


class LocalEngine:
    """Scores chips in threads of this process.

    Each thread computes on one core, and several chips are under way at once: so the parts that run
    on one core only (superpixels, the graph's solver) leave no core idle. They and torch free
    Python's global lock. Sums are made in one order, whatever thread is first.

    Memory: per worker one chip's features and scores; once the sums of a unit.

    Args:
        score: of the method.
        workers: threads; None: see ``LocalSettings``.
        batch: chips scored at once.
    """

    def __init__(self, score: Score, workers: int | None = None, batch: int = 1) -> None:
        self.workers = workers or cores()
        self._score = score
        self._batch = batch

    def run(self, tasks: Iterable[UnitTask]) -> Iterator[Outcome]:
        """Do tasks; see ``Engine``. Outcomes come in the order of the tasks."""
        _share_heaps()
        pool = ThreadPoolExecutor(self.workers, "mapsr")
        under_way: deque[_Step] = deque()
        taker = _Taker()
        with one_thread():
            try:
                for task in tasks:
                    blend = UnitBlend(task.raster.plan, task.unit)
                    batches = batches_of(task, self._batch)
                    if not batches:
                        under_way.append(_Step(task, blend, None, True))
                        # nothing to wait for: else an empty area would pile up behind its edge
                        while under_way and under_way[0].is_done:
                            yield from taker.take(under_way.popleft())
                    for number, windows in enumerate(batches, start=1):
                        future = pool.submit(score_batch, task.raster, windows, self._score)
                        under_way.append(_Step(task, blend, future, number == len(batches)))
                        # each worker has one in hand and one waiting
                        while len(under_way) > 2 * self.workers:
                            yield from taker.take(under_way.popleft())
                while under_way:
                    yield from taker.take(under_way.popleft())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


class LocalWork:
    """Does whole units in threads of this process, for work other than scoring.

    Memory: two units for each thread, the one that is done and one that waits.

    Args:
        work: does a unit.
        workers: threads; None: one for each core.
    """

    def __init__(self, work: Work, workers: int | None = None) -> None:
        self.workers = workers or cores()
        self._work = work

    def run(self, tasks: Iterable[UnitTask]) -> Iterator[Outcome]:
        """Do tasks; see ``Engine``. Outcomes come in the order of the tasks."""
        _share_heaps()
        pool = ThreadPoolExecutor(self.workers, "mapsr")
        under_way: deque[Future[Outcome]] = deque()
        try:
            for task in tasks:
                under_way.append(pool.submit(outcome_of, self._work, task))
                while len(under_way) > self.workers + 1:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _devices(device: torch.device) -> list[torch.device]:
    """All devices of a kind."""
    if device.type != "cuda":
        return [device]
    return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]


class _Taker:
    """Adds batches to their units, in the order of the tasks."""

    def __init__(self) -> None:
        # the unit itself: another one may get its place in memory, and so its id
        self._failed: UnitBlend | None = None

    def take(self, step: _Step) -> Iterator[Outcome]:
        """Add a batch to its unit, and yield the unit with its last batch or its first failure."""
        try:
            batch = step.future.result() if step.future else None
        except MapsrError as error:
            if step.blend is not self._failed:
                self._failed = step.blend
                yield step.task, error
            return
        if step.blend is self._failed:
            return
        if batch is not None and batch.windows:
            step.blend.add(batch.windows, batch.valid, batch.scores)
        if step.last:
            raster = step.task.raster
            yield step.task, step.blend.result(raster.outputs, raster.channels)


def _share_heaps() -> None:
    """Let threads share two heaps, where the C library would give each a heap of its own.

    A heap keeps what its largest chip needed, so the peak would grow with the work that is done.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):  # not in every C library
            library.mallopt(_M_ARENA_MAX, 2)
