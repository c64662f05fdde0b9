"""What maps cost from a square kilometre to a country, and what limits many nodes."""

import logging
import os
import pickle
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mapsr.benchmarks.rasters import LEGEND, draw_raster, job, paper_sized, weight_free
from mapsr.benchmarks.scheduler import Cluster, Scaling, UnitCosts, scaling
from mapsr.doctor.estimate import disk_bytes, unit_bytes
from mapsr.geo import WindowSettings
from mapsr.mapping import LocalEngine, Score
from mapsr.mapping.blend import UnitResult
from mapsr.mapping.engines import UnitTask
from mapsr.mapping.store import WorkFolder
from mapsr.progress import Progress, unwatched

_MIB = 1 << 20
AREAS_KM2 = {"km2": 1, "county": 2_000, "state": 60_000, "country": 8_000_000}
"""Areas that costs are given for: a county and a state of the eastern United States, and all of
those that touch."""
NODES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_HEAD_S = 1e-3
"""Seconds of the head for a unit where Ray is not installed: about those of an actor's call."""
_CALLS = 300
"""Calls of an actor whose time is taken."""
_IN_FLIGHT = 50
"""Calls that are under way at once."""


@dataclass(frozen=True)
class Sizes:
    """Sides of the rasters in pixels, (H, W)."""

    units: tuple[int, int] = (2000, 2000)
    """Of the raster whose units are recorded, with the weight-free method."""
    chips: tuple[int, int] = (448, 832)
    """Of the raster that ViT-B/14 and AnyUp map."""


@dataclass(frozen=True)
class Area:
    """What a map of an area at 1 m costs.

    Attributes:
        km2: of the area.
        core_hours: by method.
        map_gib: of the label map before compression.
        disk_gib: beside it while it is made.
    """

    km2: int
    core_hours: dict[str, float]
    map_gib: float
    disk_gib: float


@dataclass(frozen=True)
class ScaleResult:
    """What `mapsr bench scale` prints."""

    efficiency_at_1000: float
    """Work of 1000 nodes per second and node over that of one, simulated, weight-free method."""
    bottleneck_at_1000: str | None
    """What limits them; None: nothing does."""
    core_seconds_per_mpx: dict[str, float]
    """By method, measured on one core here."""
    areas: dict[str, Area]
    unit_memory_mib: float
    """Sums of a unit of 1024 px, at most."""
    measured: UnitCosts
    """What a unit takes, of the weight-free method."""
    cluster: Cluster
    """What the nodes are assumed to share."""
    scaling: dict[str, list[Scaling]]
    """By method, the same numbers of nodes."""

    def as_dict(self) -> dict[str, object]:
        """For JSON, without the single seconds."""
        found = asdict(self)
        found["measured"]["seconds"] = len(self.measured.seconds)
        return found


def bench_scale(
    sizes: Sizes, progress: Progress, cluster: Cluster | None = None, seed: int = 0
) -> ScaleResult:
    """Record units on one core of this machine, and simulate clusters with them.

    Args:
        sizes: of the rasters.
        progress: shows the steps.
        cluster: what nodes share; None: 16 actors a node, 10 Gbit/s to the head and a store of 20
            GiB/s.
        seed: of the draw of recorded units.
    """
    cluster = cluster or Cluster()
    steps = progress.track(("units", "chips", "head", "simulation"), "bench scale", 4)
    with tempfile.TemporaryDirectory(prefix="mapsr-bench-") as name:
        folder = Path(name)
        next(steps)
        free = _Recorded.of(folder, sizes.units, weight_free(torch.device("cpu")))
        next(steps)
        paper = _Recorded.of(folder, sizes.chips, paper_sized(unwatched).score)
        next(steps)
        costs = free.costs(_file_seconds(folder, free.results), _head_seconds())
    next(steps)
    seconds = {"weight_free": free.seconds_per_mpx, "vitb14_anyup": paper.seconds_per_mpx}
    slower = tuple(one * seconds["vitb14_anyup"] / seconds["weight_free"] for one in costs.seconds)
    kinds = {"weight_free": costs, "vitb14_anyup": replace(costs, seconds=slower)}
    found = {name: scaling(one, cluster, NODES, seed=seed) for name, one in kinds.items()}
    next(steps, None)
    last = found["weight_free"][-1]
    return ScaleResult(
        efficiency_at_1000=last.efficiency,
        bottleneck_at_1000=last.bottleneck,
        core_seconds_per_mpx=seconds,
        areas={name: area(km2, seconds) for name, km2 in AREAS_KM2.items()},
        unit_memory_mib=unit_bytes((1 << 20, 1 << 20), WindowSettings(), len(LEGEND)) / _MIB,
        measured=costs,
        cluster=cluster,
        scaling=found,
    )


def area(km2: int, core_seconds_per_mpx: dict[str, float]) -> Area:
    """What a map at 1 m costs: a square kilometre has a megapixel."""
    hours = {name: km2 * one / 3600 for name, one in core_seconds_per_mpx.items()}
    px = km2 * 1_000_000
    return Area(km2, hours, px / 2**30, disk_bytes(px) / 2**30)


@dataclass(frozen=True)
class _Recorded:
    """Units of a raster that were scored one after the other on one core."""

    seconds: tuple[float, ...]
    results: tuple[UnitResult, ...]
    mpx: float
    image_mib: float

    @staticmethod
    def of(folder: Path, size: tuple[int, int], score: Score) -> "_Recorded":
        path = folder / "raster.tif"
        draw_raster(path, size)
        raster = job(path, folder / "map.tif", WindowSettings()).raster
        tasks = [UnitTask(0, raster, unit) for unit in raster.plan]
        engine = LocalEngine(score, 1)
        list(engine.run(tasks[:1]))  # what comes first pays for the first use
        seconds, results = [], []
        for task in tasks:
            begin = time.perf_counter()
            [(_, result)] = engine.run([task])
            seconds.append(time.perf_counter() - begin)
            if not isinstance(result, UnitResult):
                raise result
            results.append(result)
        mpx = size[0] * size[1] / 1e6
        return _Recorded(tuple(seconds), tuple(results), mpx, path.stat().st_size / _MIB)

    @property
    def seconds_per_mpx(self) -> float:
        return sum(self.seconds) / self.mpx

    def costs(self, file_seconds: float, head_seconds: float) -> UnitCosts:
        sent = sum(len(pickle.dumps(one)) for one in self.results)
        return UnitCosts(
            self.seconds,
            head_seconds,
            file_seconds,
            self.image_mib / len(self.results),
            sent / len(self.results) / _MIB,
        )


def _file_seconds(folder: Path, results: Sequence[UnitResult]) -> float:
    """Seconds of keeping a unit's result in a file of its own, as a job does."""
    with WorkFolder(folder / "kept.tif") as work:
        work.open({})
        begin = time.perf_counter()
        for number, result in enumerate(results):
            work.save(number, result)
        taken = time.perf_counter() - begin
        work.remove()
    return taken / len(results)


def _head_seconds() -> float:
    """Seconds that the head is busy with a call of an actor, beside moving its result."""
    try:
        import ray
    except ImportError:
        return _HEAD_S
    small = 1 << 10  # what is larger travels from node to node, which is counted apart
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        actor: Any = ray.remote(num_cpus=1)(_Echo).remote()
        ray.get(actor.answer.remote(small))
        begin = time.perf_counter()
        for start in range(0, _CALLS, _IN_FLIGHT):
            count = min(_IN_FLIGHT, _CALLS - start)
            ray.get([actor.answer.remote(small) for _ in range(count)])
        return (time.perf_counter() - begin) / _CALLS
    finally:
        ray.shutdown()


class _Echo:
    """An actor that does nothing."""

    def answer(self, size: int) -> bytes:
        """So many bytes."""
        return bytes(size)
