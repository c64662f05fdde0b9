"""A map on a GPU: chips per second, what each stage takes, memory, and how busy the device is."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from mapsr.benchmarks.rasters import draw_raster, job, paper_sized
from mapsr.data import Chip
from mapsr.errors import ConfigError
from mapsr.geo import WindowSettings
from mapsr.mapping import GpuEngine, Raster, run_jobs
from mapsr.mapping.blend import UnitBlend
from mapsr.mapping.engines import read_chip
from mapsr.memory import peak_memory_mib
from mapsr.methods import MapSR
from mapsr.methods.speed import ExactSettings, FastSettings
from mapsr.progress import Progress, Quiet, Watch
from mapsr.refine import RefineSettings
from mapsr.refine.slic import batched_superpixels
from mapsr.tracking import Stopwatch

_MIB = 1 << 20
_LOOK_S = 0.1
"""Seconds between looks at how busy a device is."""


@dataclass(frozen=True)
class Sizes:
    """What is mapped."""

    raster: tuple[int, int]
    """(H, W) of the raster that is mapped for the speed."""
    windows: WindowSettings
    """Its chips and work units."""
    warm: tuple[int, int]
    """(H, W) of the raster that is mapped first: it pays for loading, compiling and measuring."""
    staged: int
    """Chips whose stages are timed one by one."""


ON_GPU = Sizes((5888, 5888), WindowSettings(unit=2048), (2048, 2048), 8)
ON_CPU = Sizes((448, 832), WindowSettings(), (448, 448), 1)
"""A small run, which shows that everything works and what it takes on a CPU."""


@dataclass(frozen=True)
class GpuResult:
    """What `mapsr bench gpu` prints."""

    chips_per_second: float
    """From files to kept units, ViT-B/14 and AnyUp of random weights, superpixel graph."""
    mpx_per_second: float
    """Pixels of the map."""
    peak_mib: float
    """Largest memory on the device; on a CPU, of the process."""
    utilisation: float | None
    """Mean share of the time that the device was busy, on a CPU of its cores; None: not known
    (nvidia-ml-py is not installed)."""
    stage_seconds: dict[str, float]
    """Seconds a chip of encoding, upsampling (and in it AnyUp's networks), scores, superpixels, the
    rest of the refinement, and blending with labels; one by one, the host waiting for each."""
    batch: int
    """Chips scored at once."""
    chips: int
    device: str
    speed: str
    compiled: bool

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class GpuChoice:
    """What is measured.

    Attributes:
        device: "cuda" or "cpu".
        speed: "exact" or "fast", as the group of that name.
        compiled: let torch compile the encoder.
        batch: chips scored at once; None: as many as memory takes.
    """

    device: str = "cuda"
    speed: str = "exact"
    compiled: bool = False
    batch: int | None = None

    def find(self) -> torch.device:
        """The device.

        Raises:
            ConfigError: it is not here.
        """
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError(
                "mapsr bench gpu needs a CUDA device, and torch finds none here: run it where "
                "there is one, or give --device cpu for a small run on the CPU."
            )
        return torch.device("cuda", 0) if self.device == "cuda" else torch.device("cpu")


def bench_gpu(choice: GpuChoice, progress: Progress, sizes: Sizes | None = None) -> GpuResult:
    """Measure the way of a GPU from a file to labels.

    Args:
        choice: what is measured.
        progress: shows the steps.
        sizes: of what is mapped; None: those of the device.

    Raises:
        ConfigError: there is no such device.
    """
    device = choice.find()
    sizes = sizes or (ON_GPU if device.type == "cuda" else ON_CPU)
    watch = Waiting(device)
    method = _method(choice, device, watch)
    engine = GpuEngine(method.score, device, choice.batch)
    with tempfile.TemporaryDirectory(prefix="mapsr-bench-") as name:
        folder = Path(name)
        steps = progress.track(("warm", "map", "stages"), "bench gpu", 3)
        next(steps)
        _mapped(folder, sizes.warm, sizes.windows, engine)
        next(steps)
        watch.on = False
        _restart_peak(device)
        with utilisation(device) as busy:
            chips, seconds, raster = _mapped(folder, sizes.raster, sizes.windows, engine)
        peak = _peak_mib(device)
        next(steps)
        stages = _stages(method, raster, sizes.staged, watch)
        next(steps, None)
    return GpuResult(
        chips_per_second=chips / seconds,
        mpx_per_second=sizes.raster[0] * sizes.raster[1] / 1e6 / seconds,
        peak_mib=peak,
        utilisation=busy.mean,
        stage_seconds=stages,
        batch=engine.batch or 1,
        chips=chips,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        speed=choice.speed,
        compiled=choice.compiled,
    )


def _method(choice: GpuChoice, device: torch.device, watch: Watch) -> MapSR:
    # on a CPU too what a GPU does
    refine = RefineSettings(superpixels="torch")
    speed = FastSettings() if choice.speed == "fast" else ExactSettings()
    return paper_sized(
        watch, 0, speed, device=device, refine=refine, compile_encoder=choice.compiled
    )


def _mapped(
    folder: Path, size: tuple[int, int], windows: WindowSettings, engine: GpuEngine
) -> tuple[int, float, Raster]:
    """Map a raster; chips, seconds, and the raster."""
    path = folder / "raster.tif"
    draw_raster(path, size)
    work = job(path, folder / "map.tif", windows)
    plan = work.raster.plan
    begin = time.perf_counter()
    for report in run_jobs([work], engine, Quiet()):
        if report.error:
            raise report.error
    return sum(len(plan.chips(unit)) for unit in plan), time.perf_counter() - begin, work.raster


class Waiting:
    """A watch that waits for a device at both ends of a stage.

    Attributes:
        on: whether it does: the host should not wait while a map is timed.
        watch: what the stages took.
    """

    def __init__(self, device: torch.device) -> None:
        self.watch = Stopwatch()
        self.on = True
        self._device = device

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a stage."""
        if not self.on:
            yield
            return
        self._wait()
        with self.watch(stage):
            yield
            self._wait()

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _stages(method: MapSR, raster: Raster, count: int, watch: Waiting) -> dict[str, float]:
    """Seconds a chip of each stage, of chips in the middle of a raster."""
    unit = raster.plan[0]
    windows = raster.plan.chips(unit)[:count]
    chips = [_on(read_chip(raster, window), method) for window in windows]
    watch.on, watch.watch = True, Stopwatch()
    scores = method.score(chips)["map"]
    image = torch.stack([chip.image for chip in chips])
    valid = torch.stack([chip.valid for chip in chips])
    settings = method.refine_settings
    with watch("superpixels"):
        settings.cut(batched_superpixels, image, valid)
    with watch("blend"):
        blend = UnitBlend(raster.plan, unit)
        blend.add(windows, valid, {"map": scores})
        blend.result(raster.outputs)
    watch.on = False
    seconds = {name: value / len(chips) for name, value in watch.watch.seconds.items()}
    seconds["graph"] = max(0.0, seconds.pop("refine") - seconds["superpixels"])
    names = ("encode", "upsample", "networks", "score", "superpixels", "graph", "blend")
    return {name: seconds[name] for name in names}


def _on(chip: Chip, method: MapSR) -> Chip:
    device = method.extractor.device
    image, valid = chip.image.to(device), chip.valid.to(device)
    return Chip(chip.scene, chip.window, image, valid, None, None)


class Busy:
    """Mean share of the time that a device was busy; None: not known."""

    mean: float | None = None


@contextmanager
def utilisation(device: torch.device) -> Iterator[Busy]:
    """Look now and then at how busy a device is, until the block ends."""
    found, end, seen = Busy(), threading.Event(), list[float]()
    look = _look_at(device)
    begin, before = time.perf_counter(), time.process_time()

    def watch() -> None:
        while look is not None and not end.wait(_LOOK_S):
            seen.append(look())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join()
        if device.type == "cpu":
            worked = time.process_time() - before
            found.mean = worked / (time.perf_counter() - begin) / torch.get_num_threads()
        elif seen:
            found.mean = sum(seen) / len(seen)


def _look_at(device: torch.device) -> Callable[[], float] | None:
    if device.type != "cuda":
        return None
    try:
        torch.cuda.utilization(device)
    except (ModuleNotFoundError, RuntimeError):  # without NVIDIA's library
        return None
    return lambda: torch.cuda.utilization(device) / 100


def _restart_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MIB
    return float(peak_memory_mib() or 0)
