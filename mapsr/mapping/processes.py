"""One process for each GPU of this machine: Python's global lock would let them wait."""

import logging
import multiprocessing
import pickle
import queue
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from mapsr import budgets
from mapsr.errors import MapsrError
from mapsr.geo import block_cache
from mapsr.mapping.engines import Build, Outcome, Raster, UnitTask, cache_mib, without_cause
from mapsr.mapping.gpu import GpuEngine

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
"""Seconds between looks at whether the processes are alive."""


@dataclass
class _Child:
    """A process, its tasks to come, and what it has in hand.

    Attributes:
        process: of the context.
        inbox: takes ``(job, raster or None, unit)``, None for the end.
        hand: the tasks that it has, by job and unit.
        jobs: whose rasters it knows.
    """

    process: Any
    inbox: Any
    hand: dict[tuple[int, int], UnitTask] = field(default_factory=dict)
    jobs: set[int] = field(default_factory=set)

    def give(self, task: UnitTask) -> None:
        raster = None if task.job in self.jobs else task.raster
        self.jobs.add(task.job)
        self.hand[task.job, task.unit.number] = task
        self.inbox.put((task.job, raster, task.unit.number))


class GpuProcesses:
    """Scores units on several devices, each with a process that has the method to itself.

    Args:
        build: of the method; sent to the processes.
        devices: a process each.
        batch: chips scored at once; None: found by each process.
        threads: that read chips, for each device.
        context: where processes and queues come from; None: new Python processes.
    """

    def __init__(
        self,
        build: Build,
        devices: Sequence[torch.device],
        batch: int | None,
        threads: int,
        context: Any = None,  # noqa: ANN401 - a module of multiprocessing, or one like it
    ) -> None:
        self._build, self._devices = build, tuple(devices)
        self._batch, self._threads = batch, threads
        self._context = context or multiprocessing.get_context("spawn")

    def run(self, tasks: Iterable[UnitTask]) -> Iterator[Outcome]:
        """Do tasks; see ``Engine``. Outcomes come as they are done.

        Raises:
            MapsrError: a process can't build the method, or died.
        """
        outbox = self._context.Queue()
        children = [self._start(number, outbox) for number in range(len(self._devices))]
        try:
            yield from self._shared_out(iter(tasks), children, outbox)
        finally:
            for child in children:
                child.inbox.put(None)
                if child.hand:  # nobody waits for it any more
                    child.process.terminate()
                    child.inbox.cancel_join_thread()  # else exit waits until it has read all
            for child in children:
                child.process.join()

    def _start(self, number: int, outbox: Any) -> _Child:  # noqa: ANN401 - a queue
        inbox = self._context.Queue()
        device = str(self._devices[number])
        arguments = (self._build, device, self._batch, self._threads, inbox, outbox, number)
        process = self._context.Process(target=serve, args=arguments)
        process.daemon = True  # it ends with this one
        process.start()
        return _Child(process, inbox)

    def _shared_out(
        self,
        tasks: Iterator[UnitTask],
        children: Sequence[_Child],
        outbox: Any,  # noqa: ANN401
    ) -> Iterator[Outcome]:
        # each reads some ahead, and waits for the next before it gives the first back
        hand = budgets.READ_AHEAD.cpu + 1
        more = True
        while True:
            for child in children:
                while more and len(child.hand) < hand:
                    task = next(tasks, None)
                    if task is None:
                        more = False
                        for one in children:  # so that they work off what they have read
                            one.inbox.put(None)
                    else:
                        child.give(task)
            if not any(child.hand for child in children):
                return
            number, key, result = self._answer(children, outbox)
            if key is None:
                raise result
            yield children[number].hand.pop(key), result

    def _answer(self, children: Sequence[_Child], outbox: Any) -> Any:  # noqa: ANN401
        """Wait for an answer, as long as all processes live."""
        while True:
            dead = [
                (device, child.process.exitcode)
                for device, child in zip(self._devices, children, strict=True)
                if child.hand and not child.process.is_alive()
            ]
            try:
                return pickle.loads(outbox.get(timeout=0.01 if dead else _LOOK_S))
            except queue.Empty:
                if dead:
                    device, code = dead[0]
                    raise MapsrError(
                        f"The process of {device} died (exit status {code}): look at the machine's "
                        "memory; what is done is kept, and the same command goes on from there."
                    ) from None


def serve(
    build: Build,
    device: str,
    batch: int | None,
    threads: int,
    inbox: Any,  # noqa: ANN401 - queues of whatever context
    outbox: Any,  # noqa: ANN401
    number: int,
) -> None:
    """What a process does: build the method, then units until there are no more.

    Answers ``(number, (job, unit), result)`` pickled, or ``(number, None, error)`` where the method
    can't be built.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which gets it too, ends this one
    try:
        engine = GpuEngine(build(torch.device(device)), torch.device(device), batch, threads)
    except MapsrError as error:
        outbox.put(pickle.dumps((number, None, without_cause(error))))
        return
    with ExitStack() as stack:
        for task, result in engine.run(_tasks(inbox, stack)):
            plain = without_cause(result) if isinstance(result, MapsrError) else result
            outbox.put(pickle.dumps((number, (task.job, task.unit.number), plain)))


def _tasks(inbox: Any, stack: ExitStack) -> Iterator[UnitTask]:  # noqa: ANN401
    rasters: dict[int, Raster] = {}
    while (message := inbox.get()) is not None:
        job, raster, unit = message
        if raster is not None:
            rasters[job] = raster
            stack.enter_context(block_cache(cache_mib(one.strip_mib for one in rasters.values())))
        yield UnitTask(job, rasters[job], rasters[job].plan[unit])
