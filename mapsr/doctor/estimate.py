"""What a map will cost: chips, memory, disk and time."""

from collections.abc import Iterator, Sequence

from mapsr.doctor.measure import Cost, measure
from mapsr.doctor.prediction import Work, predict
from mapsr.errors import MapsrError, WeightsError
from mapsr.findings import Finding, duration, pixels, volume
from mapsr.geo import ImageInfo, MosaicReader, WindowSettings, spans
from mapsr.legends import load_legend
from mapsr.mapping import MapPlan
from mapsr.mapping.engines import cache_mib
from mapsr.methods import FittedMethod, ImageFacts
from mapsr.methods.method import FitWork
from mapsr.region import MapSettings
from mapsr.region.predicted import keep_estimate

_MIB = 1 << 20
_LABEL_BYTES = 6
"""Disk for each pixel of a label map: units with their seams, a plain copy, the map."""
_FLOAT_BYTES = 12
"""Disk for each pixel of a band of floats: the same three, at 4 bytes."""


def work_findings(
    infos: Sequence[ImageInfo],
    settings: MapSettings,
    facts: ImageFacts,
    fitted: FittedMethod | None,
    *,
    timing: bool,
    start_seconds: float = 0.0,
) -> Iterator[Finding]:
    """Say how much work a map is.

    Args:
        infos: of the images that can be used, at least one.
        settings: of the command.
        facts: how the images are read.
        fitted: the method; None: it is fitted first.
        timing: score a chip to measure time and memory.
        start_seconds: that a command takes before it looks at the first image.
    """
    try:
        sizes = _sizes(infos, settings, facts)
    except MapsrError as error:
        yield Finding("mosaic", "the images make none", str(error))
        return
    windows = settings.windows
    chips = sum(_chips(size, windows) for size in sizes)
    units = sum(len(MapPlan(size, windows)) for size in sizes)
    text = (
        f"{chips} of {windows.chip} px, overlapping by {windows.overlap}, in {units} work unit(s)"
    )
    yield Finding("chips", text)
    yield _disk(sizes, settings)
    cost = None
    if timing:
        try:
            cost = measure(infos, settings, facts, fitted)
        except WeightsError as error:
            yield Finding("weights", "what was chosen needs some that are not here", str(error))
        except MapsrError as error:
            yield Finding("time", "no chip can be scored", str(error))
        else:
            if cost is None:
                yield Finding("time", "not measured: no chip with data was found")
    blocks = cache_mib(info.strip_mib(windows.chip) for info in infos)
    yield _memory(sizes, settings, cost, blocks)
    if cost is not None:
        fit = FitWork(0, 0) if fitted else cost.method.work(_fit_chips(infos, windows))
        if fit.chips and cost.program_mib is not None:
            yield _fit_memory(cost, fit, settings)
        area = sum(height * width for height, width in sizes)
        work = Work(chips, area / 1e6, fit, start_seconds)
        keep_estimate(settings, predict(cost, work, settings))
        yield _time(cost, work, settings)


def _sizes(
    infos: Sequence[ImageInfo], settings: MapSettings, facts: ImageFacts
) -> list[tuple[int, int]]:
    """Height and width of each map."""
    if settings.mosaic:
        grid = MosaicReader(infos, facts.bands, 1.0).grid
        return [(grid.height, grid.width)]
    return [(info.grid.height, info.grid.width) for info in infos]


def _chips(size: tuple[int, int], windows: WindowSettings) -> int:
    return len(spans(size[0], windows)) * len(spans(size[1], windows))


def _fit_chips(infos: Sequence[ImageInfo], windows: WindowSettings) -> int:
    """Chips without overlap that the images are cut into."""
    grids = (info.grid for info in infos)
    return sum(-(-one.height // windows.chip) * -(-one.width // windows.chip) for one in grids)


def _disk(sizes: Sequence[tuple[int, int]], settings: MapSettings) -> Finding:
    area = sum(height * width for height, width in sizes)
    classes = len(load_legend(settings.legend.target))
    floats = settings.confidence + settings.product_error + classes * settings.scores
    need = disk_bytes(area, floats)
    text = f"about {volume(need)} beside the map while it is made, for {pixels(area)}"
    return Finding("disk", text)


def disk_bytes(area: int, floats: int = 0) -> int:
    """Disk that a map of so many pixels needs while it is made.

    Args:
        area: pixels.
        floats: bands of floats that are written beside the labels.
    """
    return area * (_LABEL_BYTES + _FLOAT_BYTES * floats)


def unit_bytes(size: tuple[int, int], windows: WindowSettings, classes: int) -> int:
    """Memory for the sums of a unit's scores: a unit of a map of (H, W) sees at most so much."""
    reach = windows.unit + windows.chip
    return 4 * min(size[0], reach) * min(size[1], reach) * classes


def _memory(
    sizes: Sequence[tuple[int, int]], settings: MapSettings, cost: Cost | None, blocks_mib: int
) -> Finding:
    windows, batch = settings.windows, settings.compute.batch or 1
    workers = settings.engine.parallel(settings.compute.find()).workers
    classes = len(load_legend(settings.legend.target))
    sums = max(unit_bytes(size, windows, classes) for size in sizes)
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


def _fit_memory(cost: Cost, work: FitWork, settings: MapSettings) -> Finding:
    """What fitting takes; it is over before mapping begins."""
    room = settings.compute.memory_mib
    kept = min(room, work.chips * cost.features_mib)
    need = (cost.program_mib or 0) + (cost.memory_mib or 0) + kept + work.memory_mib
    text = (
        f"about {volume(need * _MIB)} before that, to fit {work.words}: {volume(kept * _MIB)} of "
        f"features (at most compute.memory_mib={room}), {volume(work.memory_mib * _MIB)} for "
        "samples of them, and the program"
    )
    return Finding("memory", text)


def _time(cost: Cost, work: Work, settings: MapSettings) -> Finding:
    found = predict(cost, work, settings)
    text = (
        f"about {duration(found.total)}: {duration(found.start)} to start, {duration(found.map)} "
        f"for {work.chips} chip(s) of {duration(cost.seconds)}, {work.at_once(cost)} at once"
    )
    if cost.writing is None:
        text += "; to write and measure the map comes on top"
    else:
        text += f", and to write the map, {duration(found.measure)} to measure it"
    if found.fit:
        text += f", and {duration(found.fit)} to fit {work.fit.words} on {work.fit.chips} chip(s)"
    elif found.fit is None:
        text += f", after {work.fit.words} is fitted, whose time is not known beforehand"
    return Finding("time", text)
