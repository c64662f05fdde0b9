"""What one chip takes: it is really scored."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mapsr.data import Chip
from mapsr.doctor.machine import needed_weights
from mapsr.doctor.rehearsal import Writing, rehearse_fit, rehearse_writing
from mapsr.errors import MapsrError, WeightsError
from mapsr.geo import ImageInfo, ImageReader, Window, WindowSettings, spans
from mapsr.legends import Legends, load_legend
from mapsr.mapping import LocalSettings
from mapsr.memory import peak_memory_mib, status_mib
from mapsr.methods import FittedMethod, ImageFacts, Method
from mapsr.methods.ahead import chips_ahead
from mapsr.processors import one_thread
from mapsr.region import MapSettings
from mapsr.upsample import PixelFeatures
from mapsr.weights import find_entry, locate

_MIB = 1 << 20
_WARM_PX = 64
"""Side of the chip that is scored first, so that loading code is not measured."""
_PLACES = (0.5, 0.25, 0.75)
"""Where along a side a chip is looked for: in the middle first."""


@dataclass(frozen=True)
class Cost:
    """What one chip takes.

    Attributes:
        method: that was measured.
        seconds: to read and score it, on one core where there is no other device.
        encode_seconds: to compute its features where as many are under way as in a fit, for each;
            0 without features.
        program_mib: what the program has with its model, before a chip; None as below.
        memory_mib: while it is scored, beyond what the program has; None where it can't be told.
        features_mib: what fitting keeps of it between its passes.
        device_mib: the same on a CUDA device; None without one.
        at_once: how many chips were then scored at once, as the engine will.
        round_seconds: for all of these; cores share caches and memory, so that two take longer than
            one.
        fit_seconds: for a fit on the pixels of this chip; None where it is not known, or given.
        writing: for the map itself; None where it can't be written here.
    """

    method: Method
    seconds: float
    encode_seconds: float
    program_mib: float | None
    memory_mib: float | None
    features_mib: float
    device_mib: float | None
    at_once: int = 1
    round_seconds: float | None = None
    fit_seconds: float | None = None
    writing: Writing | None = None


def measure(
    infos: Sequence[ImageInfo],
    settings: MapSettings,
    facts: ImageFacts,
    fitted: FittedMethod | None = None,
    *,
    rehearses: bool = True,
) -> Cost | None:
    """Score one chip of the first image that has one with data, and rehearse the rest in small.

    A method that is not fitted yet takes arbitrary values in place of a fit. On the CPU the chip is
    scored in one thread, as the workers do. Weights are not downloaded.

    Args:
        infos: of the images.
        settings: of the command.
        facts: how the images are read.
        fitted: the method, where it is given.
        rehearses: fit and writing, too; a fit in small takes nearly as long as one on a few chips.

    Returns:
        What it took; None where no chip with data was found.

    Raises:
        WeightsError: weights are absent or damaged.
        ConfigError: the images have too few bands, or the method can't be measured.
        RasterError: the image can't be read.
    """
    require_weights(settings, fitted)
    found = None
    for info in infos[: len(_PLACES)]:
        reader = ImageReader(info, facts.bands, facts.scale)
        found = _chip(reader, settings.windows)
        if found is not None:
            break
    if found is None:
        return None
    method = _method(settings, facts, fitted)
    method.score([_cut(found)])
    with one_thread():
        _restart_peaks()
        before, begin = _memory_now_mib(), time.perf_counter()
        reader.read(found.window)
        for layer in method.score([found]).values():
            layer.cpu()  # waits for the device
        seconds = time.perf_counter() - begin
        peak = peak_memory_mib()
    memory = None if peak is None or before is None else max(0.0, peak - before)
    cuda = torch.cuda.is_initialized()
    device = torch.cuda.max_memory_allocated() / _MIB if cuda else None
    # after the memory: what it frees would be taken up again
    encode_seconds, size = _encoded(method, found)
    cost = Cost(method, seconds, encode_seconds, before, memory, size, device)
    cost = _at_once(cost, found, settings)
    return _rehearsed(cost, found, info, settings, facts, fitted) if rehearses else cost


def _at_once(cost: Cost, chip: Chip, settings: MapSettings) -> Cost:
    """What is known of a chip, with what several at once take."""
    device = settings.compute.find()
    at_once, round_seconds = settings.engine.parallel(device).speed, cost.seconds
    # threads of a CPU wait for one memory; other machines and other GPUs do not
    if at_once > 1 and device.type == "cpu" and isinstance(settings.engine, LocalSettings):
        round_seconds = _round(cost.method, chip, at_once)
    # a fit computes features of chips at once, too
    fits = min(at_once, chips_ahead(device))
    speed = max(1.0, fits * cost.seconds / round_seconds)
    return replace(
        cost,
        at_once=at_once,
        round_seconds=round_seconds,
        encode_seconds=cost.encode_seconds / speed,
    )


def _rehearsed(
    cost: Cost,
    chip: Chip,
    info: ImageInfo,
    settings: MapSettings,
    facts: ImageFacts,
    fitted: FittedMethod | None,
) -> Cost:
    """What is known of chips, with the other parts of the work."""
    try:
        writing = rehearse_writing(info, settings, load_legend(settings.legend.target))
    except MapsrError:
        writing = None
    # a training of a network takes hours: its time is not known beforehand
    known = fitted is None and cost.method.work(1).passes is not None
    fit = rehearse_fit(cost.method, chip, settings, facts) if known else None
    return replace(cost, fit_seconds=fit, writing=writing)


def _round(method: Method, chip: Chip, at_once: int) -> float:
    """Seconds for so many chips, scored in threads of one core each as the engine does."""
    with one_thread(), ThreadPoolExecutor(at_once) as pool:
        begin = time.perf_counter()
        for scores in pool.map(method.score, [[chip]] * at_once):
            for layer in scores.values():
                layer.cpu()
        return time.perf_counter() - begin


def _encoded(method: Method, chip: Chip) -> tuple[float, float]:
    """Seconds and MiB of a chip's features; nothing where the method has none."""
    extractor = method.features_from
    if extractor is None:
        return 0.0, 0.0
    with one_thread():
        begin = time.perf_counter()
        features = extractor([chip], remember=False)
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
    return time.perf_counter() - begin, _size_mib(features)


def _method(settings: MapSettings, facts: ImageFacts, fitted: FittedMethod | None) -> Method:
    """The method that is asked for, ready to score."""
    runtime = settings.runtime()
    if fitted is not None:
        return fitted.build(runtime)
    legends = Legends.load(settings.legend, scored=False)
    method = settings.build(runtime, legends.target)
    method.stand_in(legends.coarse, facts)
    return method


def require_weights(settings: MapSettings, fitted: FittedMethod | None) -> None:
    """Raise WeightsError where weights are absent, rather than download them."""
    parts = fitted.parts if fitted else settings
    names = parts.used if not fitted else [name for name in parts.used if name != "network"]
    for name in filter(None, (needed_weights(getattr(parts, group)) for group in names)):
        if find_entry(name) and locate(name, settings.weights_folder) is None:
            raise WeightsError(
                f"`mapsr weights fetch {name}` fetches {name}; without any weights, "
                "backbone=texture upsampler=bilateral works."
            )


def _chip(reader: ImageReader, windows: WindowSettings) -> Chip | None:
    """The chip with the most data among a few, from the middle outwards; None: all are empty."""
    best: Chip | None = None
    rows, columns = (spans(side, windows) for side in (reader.grid.height, reader.grid.width))
    for down in _PLACES:
        for along in _PLACES:
            row, high = rows[int(down * len(rows))]
            column, wide = columns[int(along * len(columns))]
            window = Window(row, column, high, wide)
            image, valid = (torch.from_numpy(array) for array in reader.read(window))
            if valid.sum() > (best.valid.sum() if best else 0):
                best = Chip(reader.info.path.stem, window, image, valid, None, None)
            if valid.all():
                return best
    return best


def _cut(chip: Chip) -> Chip:
    """The first corner of a chip."""
    image, valid = chip.image[:, :_WARM_PX, :_WARM_PX], chip.valid[:_WARM_PX, :_WARM_PX]
    window = Window(chip.window.row, chip.window.col, *valid.shape)
    return replace(chip, window=window, image=image, valid=valid)


def _size_mib(features: PixelFeatures) -> float:
    return (features.tokens.nbytes + features.operator.nbytes) / _MIB


def _restart_peaks() -> None:
    """Let the peak of the memory start again, where the system can do that."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # the peak is then that of the whole process: too much rather than too little


def _memory_now_mib() -> float | None:
    try:
        return status_mib("VmRSS")
    except OSError:
        return None
