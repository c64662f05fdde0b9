"""What a map will cost: chips, memory, disk and time."""

from collections.abc import Iterator, Sequence

import torch

from mapsr.data import Chip
from mapsr.errors import MapsrError, WeightsError
from mapsr.experiment.measure import Cost, measure
from mapsr.experiment.region import RegionSettings
from mapsr.experiment.settings import MethodSettings
from mapsr.findings import Finding, duration, pixels, volume
from mapsr.geo import ImageInfo, MosaicReader
from mapsr.legends import load_legend
from mapsr.mapping import LocalEngine, LocalSettings, Plan, WindowSettings
from mapsr.mapping.engines import cache_mib
from mapsr.mapping.windows import spans
from mapsr.prompts import CoarsePromptSettings

_MIB = 1 << 20
_LABEL_BYTES = 6
"""Disk for each pixel of a label map: units with their seams, a plain copy, the map."""
_FLOAT_BYTES = 12
"""Disk for each pixel of a band of floats: the same three, at 4 bytes."""


def work_findings(
    infos: Sequence[ImageInfo],
    settings: RegionSettings,
    method: MethodSettings,
    scale: float,
    *,
    fitting: bool,
    timing: bool,
) -> Iterator[Finding]:
    """Say how much work a map is.

    Args:
        infos: of the images that can be used, at least one.
        settings: of the command.
        method: of the method.
        scale: raw value that becomes 1.
        fitting: prompts are fitted first.
        timing: score a chip to measure time and memory.
    """
    try:
        sizes = _sizes(infos, settings)
    except MapsrError as error:
        yield Finding("mosaic", "the images make none", str(error))
        return
    chips = sum(_chips(size, method.windows) for size in sizes)
    units = sum(len(Plan(size, method.windows)) for size in sizes)
    side, shared = method.windows.chip, method.windows.overlap
    text = f"{chips} of {side} px, overlapping by {shared}, in {units} work unit(s)"
    yield Finding("chips", text)
    yield _disk(sizes, settings, method)
    cost = None
    if timing:
        try:
            cost = measure(infos, settings, method, scale)
        except WeightsError as error:
            yield Finding("weights", "what was chosen needs some that are not here", str(error))
        except MapsrError as error:
            yield Finding("time", "no chip can be scored", str(error))
        else:
            if cost is None:
                yield Finding("time", "not measured: no chip with data was found")
    workers, devices = _workers(method)
    fitted = _fit_chips(infos, method) if fitting else 0
    blocks = cache_mib(info.strip_mib(side) for info in infos)
    yield _memory(sizes, method, workers, cost, blocks)
    if cost is not None:
        if fitted and cost.program_mib is not None:
            yield _fit_memory(cost, fitted, method)
        yield _time(cost, chips, fitted, workers if devices == 0 else devices, method)


def _sizes(infos: Sequence[ImageInfo], settings: RegionSettings) -> list[tuple[int, int]]:
    """Height and width of each map."""
    if settings.mosaic:
        grid = MosaicReader(infos, settings.bands, 1.0).grid
        return [(grid.height, grid.width)]
    return [(info.grid.height, info.grid.width) for info in infos]


def _chips(size: tuple[int, int], windows: WindowSettings) -> int:
    return len(spans(size[0], windows)) * len(spans(size[1], windows))


def _fit_chips(infos: Sequence[ImageInfo], method: MethodSettings) -> int:
    """Chips that prompts are fitted on."""
    plain = WindowSettings(method.windows.chip, 0)
    every = sum(_chips((info.grid.height, info.grid.width), plain) for info in infos)
    most = method.prompts.chips
    return every if most is None else min(every, most)


def _workers(method: MethodSettings) -> tuple[int, int]:
    """How many chips are under way at once, and CUDA devices that they share; 0: none."""
    device, engine = method.trainer.device, method.engine
    if not isinstance(engine, LocalSettings):
        return engine.workers or 1, 0
    devices = torch.cuda.device_count() if device.type == "cuda" else 0
    # the scorers are only counted
    idle = LocalEngine([_no_scores] * max(1, devices), device.type, engine.workers)
    return idle.workers, devices


def _no_scores(chips: Sequence[Chip]) -> dict[str, torch.Tensor]:
    raise RuntimeError("an engine that is only asked how many workers it has scores nothing")


def _disk(
    sizes: Sequence[tuple[int, int]], settings: RegionSettings, method: MethodSettings
) -> Finding:
    area = sum(height * width for height, width in sizes)
    classes = len(load_legend(method.legend.target))
    floats = settings.confidence + classes * settings.scores
    need = area * (_LABEL_BYTES + _FLOAT_BYTES * floats)
    text = f"about {volume(need)} beside the map while it is made, for {pixels(area)}"
    return Finding("disk", text)


def _memory(
    sizes: Sequence[tuple[int, int]],
    method: MethodSettings,
    workers: int,
    cost: Cost | None,
    blocks_mib: int,
) -> Finding:
    windows, batch = method.windows, method.engine.batch
    reach = windows.unit + windows.chip
    area = max(min(height, reach) * min(width, reach) for height, width in sizes)
    sums = 4 * area * len(load_legend(method.legend.target))
    fixed = sums + blocks_mib * _MIB
    rest = f"{volume(sums)} for the sums of a unit, {blocks_mib} MiB for blocks of files"
    if cost is None or cost.memory_mib is None or cost.program_mib is None:
        return Finding("memory", f"{workers} worker(s) x a chip (not measured), {rest}")
    program = cost.program_mib * _MIB
    chip = cost.memory_mib * _MIB * batch
    text = (
        f"about {volume(workers * chip + fixed + program)}: {workers} worker(s) x "
        f"{volume(chip)}, {rest}, {volume(program)} for the program and its model"
    )
    if cost.device_mib is not None:
        text += f"; on each CUDA device about {volume(cost.device_mib * _MIB * batch)} a worker"
    return Finding("memory", text)


def _fit_memory(cost: Cost, fitted: int, method: MethodSettings) -> Finding:
    """What fitting takes; it is over before mapping begins."""
    kept = min(method.engine.memory_mib, fitted * cost.features_mib)
    # floats of the sample, once in parts and once as a whole
    sample = 8 * cost.channels * _sampled(method) / _MIB
    need = (cost.program_mib or 0) + (cost.memory_mib or 0) + kept + sample
    text = (
        f"about {volume(need * _MIB)} before that, to fit prompts: {volume(kept * _MIB)} of "
        f"features (at most engine.memory_mib={method.engine.memory_mib}), {volume(sample * _MIB)} "
        "for the probe's sample, and the program"
    )
    return Finding("memory", text)


def _sampled(method: MethodSettings) -> int:
    """Pixels that the probe is trained on as a sample."""
    prompts = method.prompts
    if isinstance(prompts, CoarsePromptSettings) and prompts.through == "pixels":
        return prompts.pixels
    return 0


def _time(cost: Cost, chips: int, fitted: int, parallel: int, method: MethodSettings) -> Finding:
    # a second pass needs the features again, and finds those that were kept
    kept = min(fitted, int(method.engine.memory_mib / cost.features_mib))
    fitting = (2 * fitted - kept) * cost.encode_seconds
    scoring = chips * cost.seconds / min(parallel, chips)
    text = (
        f"about {duration(fitting + scoring)}: {chips} chip(s) of {duration(cost.seconds)}, "
        f"{parallel} at once"
    )
    if fitted:
        text += f", and {duration(fitting)} to see {fitted} chip(s) that prompts are fitted on"
    return Finding("time", text)
