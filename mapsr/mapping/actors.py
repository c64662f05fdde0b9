"""Actors of a Ray cluster: copies of a method that take work units, and may die."""

import logging
import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

import mapsr
from mapsr.errors import ConfigError, MapsrError
from mapsr.geo import block_cache
from mapsr.mapping.blend import UnitBlend, UnitResult
from mapsr.mapping.engines import (
    Build,
    Outcome,
    Raster,
    Score,
    UnitTask,
    batches_of,
    cache_mib,
    score_batch,
    without_cause,
)
from mapsr.mapping.gpu import GpuEngine
from mapsr.mapping.head import require_head

if TYPE_CHECKING:
    from mapsr.mapping.cluster import RaySettings

logger = logging.getLogger(__name__)

_IN_HAND = 2
"""Units given to an actor at once: while one is on its way back, the next is being scored."""
_LOOK_S = 1.0
"""Seconds between looks at what the cluster has room for."""
_PATIENCE_S = 30.0
"""Seconds without any actor before the log says what is waited for."""
_STILLBORN = 5
"""Actors in a row that may die while they start, as with a node that goes down."""


class Scorer:
    """What an actor is: one copy of the method."""

    def __init__(self, build: Build, batch: int | None, device: str) -> None:
        if device == "cpu":
            torch.set_num_threads(1)  # as in LocalEngine: the same sums to the last bit
        self._build = build
        self._device = torch.device(device)
        self._batch = batch
        self._score: Score | None = None
        self._gpu: GpuEngine | None = None

    def prepare(self) -> str | MapsrError:
        """Build the method; return the version of mapsr on the actor's node."""
        try:
            self._score = self._build(self._device)
            if self._device.type != "cpu":
                self._gpu = GpuEngine(self._score, self._device, self._batch)
        except MapsrError as error:
            return without_cause(error)
        return mapsr.__version__

    def work(self, raster: Raster, number: int) -> UnitResult | MapsrError:
        """Score a unit."""
        if self._score is None:
            raise RuntimeError("an actor works once it is prepared")
        task = UnitTask(0, raster, raster.plan[number])
        if self._gpu is not None:
            return self._by_gpu(task)
        blend = UnitBlend(raster.plan, task.unit)
        try:
            with block_cache(cache_mib([raster.strip_mib])):
                for windows in batches_of(task, self._batch or 1):
                    batch = score_batch(raster, windows, self._score)
                    if batch.windows:
                        blend.add(batch.windows, batch.valid, batch.scores)
        except MapsrError as error:
            return without_cause(error)
        return blend.result(raster.outputs, raster.channels)

    def _by_gpu(self, task: UnitTask) -> UnitResult | MapsrError:
        assert self._gpu is not None, "asked by work"
        with block_cache(cache_mib([task.raster.strip_mib])):
            [(_, result)] = self._gpu.run([task])
        return type(result)(str(result)) if isinstance(result, MapsrError) else result


class ActorPool:
    """The actors of one run, and who has what in hand."""

    def __init__(
        self,
        ray: Any,  # noqa: ANN401 - a module that may be absent
        settings: "RaySettings",
        build: Any,  # noqa: ANN401 - Ray's reference to it
        batch: int | None,
    ) -> None:
        self._ray = ray
        self._settings = settings
        self._build = build
        self._batch = batch
        self._starting: dict[Any, Any] = {}
        """Answer to come -> actor."""
        self._hands: dict[Any, list[Any]] = {}
        """Actor that is ready -> results to come of it, in the order in which it works."""
        self._fatal: set[Any] = set()
        """Results to come of the units that actors died over."""
        self._busy: dict[Any, tuple[Any, UnitTask]] = {}
        """Result to come -> actor, task."""
        self._stillborn = 0
        self._again: deque[UnitTask] = deque()
        self._tries: Counter[tuple[int, int]] = Counter()
        self._rasters: dict[int, Any] = {}
        self._looked = self._had_actor = time.monotonic()

    def run(self, tasks: Iterator[UnitTask]) -> Iterator[Outcome]:
        """Do tasks, and yield their outcomes as they come."""
        self._hire()
        more = True
        while more or self._busy or self._again:
            if time.monotonic() - self._looked >= _LOOK_S:
                self._hire()
            more = self._hand_out(tasks, more)
            awaited = [*self._busy, *self._starting]
            if not awaited:
                self._wait_for_room()
                continue
            ready, _ = self._ray.wait(awaited, num_returns=1, timeout=_LOOK_S)
            for answer in ready:
                if answer in self._starting:
                    self._welcome(answer)
                else:
                    yield from self._taken(answer)

    def dismiss(self) -> None:
        """Stop all actors; without a head they stop by themselves."""
        try:
            require_head(self._ray)
        except MapsrError:
            return
        for actor in [*self._hands, *self._starting.values()]:
            self._ray.kill(actor)

    def _hire(self) -> None:
        """Make as many actors as there is room for."""
        self._looked = time.monotonic()
        require_head(self._ray)
        settings = self._settings
        free = self._ray.available_resources()
        room = int(free.get("CPU", 0) / settings.cpus)
        if settings.gpus:
            room = min(room, int(free.get("GPU", 0) / settings.gpus))
        # those that start have not taken their room yet
        room -= len(self._starting)
        if settings.workers is not None:
            room = min(room, settings.workers - len(self._hands) - len(self._starting))
        kind = self._ray.remote(
            num_cpus=settings.cpus, num_gpus=settings.gpus, max_restarts=0, max_concurrency=1
        )(Scorer)
        for _ in range(room):
            actor = kind.remote(self._build, self._batch, "cuda" if settings.gpus else "cpu")
            self._starting[actor.prepare.remote()] = actor

    def _welcome(self, answer: Any) -> None:  # noqa: ANN401
        """Take an actor that is ready, or let go of one that died while it started."""
        actor = self._starting.pop(answer)
        try:
            version = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            logger.warning("An actor died while it started: %s", reason)
            self._stillborn += 1
            if self._stillborn > _STILLBORN:
                raise MapsrError(f"Actors die while they start on the cluster: {reason}") from error
            return
        if isinstance(version, MapsrError):
            raise version
        if version != mapsr.__version__:
            raise ConfigError(
                f"A node of the cluster has mapsr {version}, this machine {mapsr.__version__}: "
                "install the same version everywhere."
            )
        self._stillborn = 0
        self._hands[actor] = []

    def _hand_out(self, tasks: Iterator[UnitTask], more: bool) -> bool:
        """Give tasks to actors with free hands; return whether there may be more tasks."""
        # first everybody's first, then everybody's second
        for hands in range(1, _IN_HAND + 1):
            for actor in [one for one, held in self._hands.items() if len(held) < hands]:
                task = self._again.popleft() if self._again else None
                if task is None and more:
                    task = next(tasks, None)
                    more = task is not None
                if task is None:
                    return more
                if task.job not in self._rasters:
                    self._rasters[task.job] = self._ray.put(task.raster)
                result = actor.work.remote(self._rasters[task.job], task.unit.number)
                self._busy[result] = actor, task
                self._hands[actor].append(result)
        return more

    def _taken(self, answer: Any) -> Iterator[Outcome]:  # noqa: ANN401
        """Yield a finished task; give one whose actor died to others."""
        actor, task = self._busy.pop(answer)
        try:
            result = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError:
            raise  # a fault of ours: all that users can fix is returned, not raised
        except self._ray.exceptions.RayError as error:
            if held := self._hands.pop(actor, None):
                self._fatal.add(held[0])
            yield from self._lost(answer, task, str(error).splitlines()[0])
            return
        if actor in self._hands:
            self._hands[actor].remove(answer)
        yield task, result

    def _lost(self, answer: Any, task: UnitTask, reason: str) -> Iterator[Outcome]:  # noqa: ANN401
        """Give a task to others, unless too many actors have died over it."""
        name = f"Unit {task.unit.number} of {task.raster.name}"
        logger.warning("%s is lost with its actor (%s) and given to another one.", name, reason)
        key = task.job, task.unit.number
        # a unit that only waited behind the one that was worked on is not to blame
        self._tries[key] += answer in self._fatal
        if self._tries[key] <= self._settings.retries:
            self._again.append(task)
            return
        yield (
            task,
            MapsrError(
                f"{name} was lost {self._tries[key]} times with the actor that worked on it "
                f"({reason}): look at the nodes' memory, or set engine.retries."
            ),
        )

    def _wait_for_room(self) -> None:
        """Nobody works and nobody starts: look again, and say so now and then."""
        if time.monotonic() - self._had_actor > _PATIENCE_S:
            self._had_actor = time.monotonic()
            logger.warning(
                "Waiting for the cluster to have room for an actor (%g CPU, %g GPU).",
                self._settings.cpus,
                self._settings.gpus,
            )
        time.sleep(_LOOK_S)
