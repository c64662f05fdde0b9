"""The engine of a Ray cluster."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from mapsr.errors import ConfigError, MapsrError, require_range
from mapsr.extras import require_extra
from mapsr.mapping.actors import ActorPool
from mapsr.mapping.engines import Build, Outcome, Parallel, UnitTask, Work, outcome_of
from mapsr.mapping.head import HINT, require_head, require_listening
from mapsr.settings import aside, choice

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
"""Seconds between looks at whether the cluster is there."""


@choice("engine", "ray")
@dataclass(frozen=True)
class RaySettings:
    """How a Ray cluster is used; results do not depend on it, but for the kind of device."""

    address: str = aside("auto")
    """Of the cluster; "auto" finds the one that this machine belongs to."""
    workers: int | None = aside(None)
    """Most actors at once; null: as many as the cluster has room for."""
    cpus: float = aside(1.0)
    """Cores that an actor takes; it computes on one, so that more than 1 only buys memory."""
    gpus: float = aside(0.0)
    """CUDA devices that an actor takes; 0.25 lets four share one and keep it busy."""
    retries: int = aside(3)
    """How often a unit is given to another actor after the one that had it died."""

    def __post_init__(self) -> None:
        require_range(self.cpus, "engine.cpus", open_low=True)
        require_range(self.gpus, "engine.gpus")
        require_range(self.retries, "engine.retries")
        if self.workers is not None:
            require_range(self.workers, "engine.workers", low=1)

    def open(self, build: Build, device: torch.device, batch: int | None) -> "RayEngine":
        """Connect to the cluster; each actor builds the method for itself.

        Raises:
            ConfigError: Ray is not installed, or there is no cluster at the address.
        """
        return RayEngine(build, self, batch)

    def open_work(self, work: Work) -> "RayWork":
        """Connect to the cluster, for units that are not scored.

        Raises:
            ConfigError: Ray is not installed, or there is no cluster at the address.
        """
        return RayWork(work, self)

    def parallel(self, device: torch.device) -> Parallel:
        """Not known before the cluster is asked: one, unless ``workers`` says more."""
        return Parallel(self.workers or 1, self.workers or 1)


class RayEngine:
    """Scores work units on a Ray cluster.

    A unit is scored by one actor, on one core or device, in the same steps as in `LocalEngine`, so
    that the outcome is the same. An actor that dies costs the units that it had in hand: they are
    given to others. Actors are made as the cluster has room for them, also on nodes that join
    later.

    Args:
        build: of the method; the weights must be found on every node.
        settings: of the cluster.
        batch: chips scored at once; None: one on a CPU, on a GPU what its memory takes.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, build: Build, settings: RaySettings, batch: int | None = 1) -> None:
        self._ray = _connected(settings.address)
        self._settings = settings
        self._batch = batch
        self._build = self._ray.put(build)

    def run(self, tasks: Iterable[UnitTask]) -> Iterator[Outcome]:
        """Do tasks; see ``Engine``."""
        pool = ActorPool(self._ray, self._settings, self._build, self._batch)
        try:
            yield from pool.run(iter(tasks))
        finally:
            pool.dismiss()


class RayWork:
    """Does whole units on a Ray cluster, for work other than scoring; Ray repeats lost ones.

    Args:
        work: does a unit; the files that it reads must be found on every node.
        settings: of the cluster.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, work: Work, settings: RaySettings) -> None:
        self._ray = _connected(settings.address)
        self._settings = settings
        self._work = self._ray.put(work)

    def run(self, tasks: Iterable[UnitTask]) -> Iterator[Outcome]:
        """Do tasks; see ``Engine``. Outcomes come as they are done."""
        settings = self._settings
        far = self._ray.remote(num_cpus=settings.cpus, max_retries=settings.retries)(outcome_of)
        cores = int(self._ray.cluster_resources().get("CPU", 1) / settings.cpus)
        most = 2 * max(1, min(cores, settings.workers or cores))
        under_way: dict[Any, UnitTask] = {}
        for task in tasks:
            under_way[far.remote(self._work, task)] = task
            while len(under_way) >= most:
                yield self._taken(under_way)
        while under_way:
            yield self._taken(under_way)

    def _taken(self, under_way: dict[Any, UnitTask]) -> Outcome:
        """Wait for some task and take it."""
        ready: list[Any] = []
        while not ready:
            ready, _ = self._ray.wait(list(under_way), num_returns=1, timeout=_LOOK_S)
            require_head(self._ray)
        task = under_way.pop(ready[0])
        try:
            outcome: Outcome = self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError:
            raise  # a fault of ours: all that users can fix is returned, not raised
        except self._ray.exceptions.RayError as error:
            name = f"Unit {task.unit.number} of {task.raster.name}"
            return task, MapsrError(
                f"{name} was lost with the node that worked on it ({str(error).splitlines()[0]}): "
                "look at the nodes' memory, or set engine.retries."
            )
        return task, outcome[1]


def _connected(address: str) -> Any:  # noqa: ANN401
    """Ray, connected to a cluster."""
    require_extra("ray", "engine=ray", "engine=local")
    import ray
    import ray.exceptions

    if not ray.is_initialized():
        logger.warning("connecting to the Ray cluster at engine.address=%s", address)
        require_listening(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, ValueError) as error:
            raise ConfigError(
                f"There is no Ray cluster at engine.address={address} ({error}): {HINT}"
            ) from error
    return ray
