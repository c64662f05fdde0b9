"""Whole rasters: memory, linearity, what is not network, and two nodes against one."""

import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mapsr.benchmarks.rasters import draw_raster, job, paper_sized, weight_free
from mapsr.extras import require_extra
from mapsr.geo import WindowSettings
from mapsr.mapping import Engine, LocalEngine, MapJob, RayEngine, RaySettings, run_jobs
from mapsr.mapping.engines import Outcome, UnitTask
from mapsr.mapping.local import cores
from mapsr.memory import peak_memory_mib
from mapsr.progress import Progress, Quiet
from mapsr.tracking import Stopwatch


@dataclass(frozen=True)
class Sizes:
    """Sides of the rasters in pixels, (H, W); smaller ones make a quick, meaningless run."""

    small: tuple[int, int] = (2000, 2000)
    """Of the raster whose peak memory is compared with..."""
    large: tuple[int, int] = (12000, 12000)
    """...that of this one."""
    linear: tuple[tuple[int, int], ...] = ((1000, 1000), (3000, 3000), (6000, 6000))
    """Of the rasters that seconds per megapixel are compared over."""
    networks: tuple[int, int] = (832, 1216)
    """Of the raster that ViT-B/14 and AnyUp map."""
    ray: tuple[int, int] = (2368, 2368)
    """Of the raster that one and two nodes map."""


@dataclass(frozen=True)
class MapResult:
    """What `mapsr bench map` prints."""

    memory_growth: float
    """Peak memory of a process on the large raster over that on the small one."""
    linearity: float
    """Most over least seconds per megapixel over the sizes."""
    overhead_share: float
    """Share of the time that is neither encoder nor the upsampler's networks (ViT-B/14, AnyUp;
    the attention counts as overhead)."""
    ray_speedup: float
    """Units per second of two Ray nodes with one core each over those of one."""
    peak_mib: dict[str, float]
    seconds_per_mpx: dict[str, float]
    chip_seconds: float
    ray_units_per_second: dict[str, float]
    workers: int

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def bench_map(sizes: Sizes, progress: Progress) -> MapResult:
    """Measure all four in turn.

    Raises:
        ConfigError: Ray is not installed.
    """
    _require_ray()
    with tempfile.TemporaryDirectory(prefix="mapsr-bench-") as name:
        folder = Path(name)
        steps = progress.track(("memory", "linearity", "networks", "ray"), "bench map", 4)
        next(steps)
        peaks = {_text(size): _in_process(folder, size) for size in (sizes.small, sizes.large)}
        next(steps)
        draw_raster(folder / "raster.tif", sizes.linear[0])
        # what comes first pays for the first use
        _map([job(folder / "raster.tif", folder / "map.tif", WindowSettings())], _local())
        seconds = {_text(size): _seconds_per_mpx(folder, size) for size in sizes.linear}
        next(steps)
        share, chip_seconds = _overhead(folder, sizes.networks)
        next(steps)
        rates = _ray_rates(folder, sizes.ray)
        next(steps, None)
    return MapResult(
        memory_growth=peaks[_text(sizes.large)] / peaks[_text(sizes.small)],
        linearity=max(seconds.values()) / min(seconds.values()),
        overhead_share=share,
        ray_speedup=rates["2 nodes"] / rates["1 node"],
        peak_mib=peaks,
        seconds_per_mpx=seconds,
        chip_seconds=chip_seconds,
        ray_units_per_second=rates,
        workers=cores(),
    )


def _in_process(folder: Path, size: tuple[int, int]) -> float:
    path = folder / "raster.tif"
    draw_raster(path, size)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak_of_map, (path, folder / "map.tif"))


def peak_of_map(path: Path, out: Path) -> float:
    """Map a raster with the weight-free method; peak memory of this process in MiB."""
    _map([job(path, out, WindowSettings())], _local())
    return float(peak_memory_mib() or 0)


def _seconds_per_mpx(folder: Path, size: tuple[int, int]) -> float:
    """Mean of several runs where one is short; the longest are means of many units as they are."""
    path = folder / "raster.tif"
    draw_raster(path, size)
    mpx = size[0] * size[1] / 1e6
    repeats = max(1, min(9, round(9 / mpx)))
    engine = _local()
    work = [job(path, folder / "map.tif", WindowSettings())]
    return sum(_map(work, engine) for _ in range(repeats)) / repeats / mpx


def _overhead(folder: Path, size: tuple[int, int]) -> tuple[float, float]:
    """Share of the workers' time that is not spent in networks, and seconds per chip."""
    path = folder / "raster.tif"
    draw_raster(path, size)
    watch = Stopwatch()
    engine = LocalEngine(paper_sized(watch).score)
    work = job(path, folder / "map.tif", WindowSettings())
    before = watch.seconds
    taken = _map([work], engine)
    after = watch.seconds
    stages = ("encode", "networks")
    networks = sum(after[stage] - before.get(stage, 0.0) for stage in stages)
    plan = work.raster.plan
    chips = sum(len(plan.chips(unit)) for unit in plan)
    return 1 - networks / (taken * engine.workers), taken / chips


def _ray_rates(folder: Path, size: tuple[int, int]) -> dict[str, float]:
    """Units per second, once all actors are at work, of one and of two nodes."""
    import ray
    from ray.cluster_utils import Cluster

    path = folder / "raster.tif"
    draw_raster(path, size)
    # a unit of one chip: the more units, the less the last ones weigh
    windows = WindowSettings(unit=1)
    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 128 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=node | {"num_cpus": 0})
    rates = {}
    try:
        for count, name in ((1, "1 node"), (2, "2 nodes")):
            cluster.add_node(**node)
            ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
            timed = _Timed(RayEngine(weight_free, RaySettings()))
            _map([job(path, folder / "map.tif", windows)], timed)
            rates[name] = timed.rate(count)
            ray.shutdown()
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]
    return rates


class _Timed:
    """An engine, and when its outcomes came."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._times: list[float] = []

    def run(self, tasks: Iterable[UnitTask]) -> Iterator[Outcome]:
        for outcome in self._engine.run(tasks):
            self._times.append(time.perf_counter())
            yield outcome

    def rate(self, actors: int) -> float:
        """Outcomes per second, from when each actor has given its first to the end."""
        return (len(self._times) - actors) / (self._times[-1] - self._times[actors - 1])


def _local() -> LocalEngine:
    import torch

    return LocalEngine(weight_free(torch.device("cpu")))


def _map(jobs: list[MapJob], engine: Engine) -> float:
    """Seconds of jobs."""
    begin = time.perf_counter()
    for report in run_jobs(jobs, engine, Quiet()):
        if report.error:
            raise report.error
    return time.perf_counter() - begin


def _require_ray() -> None:
    # no network: the benchmark's own cluster would report that it exists
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    require_extra("ray", "mapsr bench map compares nodes of a cluster, which")


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
