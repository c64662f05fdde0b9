"""What one chip takes: it is really scored."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mapsr.data import Chip
from mapsr.errors import WeightsError
from mapsr.experiment.fitting import build_extractor
from mapsr.experiment.region import RegionSettings
from mapsr.experiment.settings import MethodSettings
from mapsr.features import ViTSettings
from mapsr.geo import ImageInfo, ImageReader, Window
from mapsr.legends import load_legend
from mapsr.mapping import WindowSettings
from mapsr.mapping.windows import spans
from mapsr.methods import MapSR
from mapsr.prompts import ClassPrompts
from mapsr.tracking.record import peak_memory_mib
from mapsr.upsample import AnyUpSettings, PixelFeatures
from mapsr.weights import locate

_MIB = 1 << 20
_WARM_PX = 64
"""Side of the chip that is scored first, so that loading code is not measured."""
_PLACES = (0.5, 0.25, 0.75)
"""Where along a side a chip is looked for: in the middle first."""


@dataclass(frozen=True)
class Cost:
    """What one chip takes.

    Attributes:
        seconds: to read and score it, on one core where there is no other device.
        encode_seconds: to compute its features, with all of torch's threads.
        program_mib: what the program has with its model, before a chip; None as below.
        memory_mib: while it is scored, beyond what the program has; None where it can't be told.
        features_mib: what fitting keeps of it between its passes.
        channels: length of a feature.
        device_mib: the same on a CUDA device; None without one.
    """

    seconds: float
    encode_seconds: float
    program_mib: float | None
    memory_mib: float | None
    features_mib: float
    channels: int
    device_mib: float | None


def measure(
    infos: Sequence[ImageInfo], settings: RegionSettings, method: MethodSettings, scale: float
) -> Cost | None:
    """Score one chip of the first image that has one with data, with random prompts.

    On the CPU it is scored in one thread, as the workers do. Weights are not downloaded.

    Returns:
        What it took; None where no chip with data was found.

    Raises:
        WeightsError: weights are absent or damaged.
        ConfigError: the images have too few bands for the encoder.
        RasterError: the image can't be read.
    """
    _require_weights(method, settings.weights_folder)
    found = None
    for info in infos[: len(_PLACES)]:
        reader = ImageReader(info, settings.bands, scale)
        found = _chip(reader, method.windows)
        if found is not None:
            break
    if found is None:
        return None
    scorer = _scorer(method, settings.weights_folder)
    scorer.score([_cut(found)])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _restart_peaks()
        before, begin = _memory_now_mib(), time.perf_counter()
        reader.read(found.window)
        scores = scorer.score([found])
        for layer in scores.values():
            layer.cpu()  # waits for the device
        seconds = time.perf_counter() - begin
        peak = _peak_mib()
    finally:
        torch.set_num_threads(threads)
    memory = None if peak is None or before is None else max(0.0, peak - before)
    cuda = method.trainer.device.type == "cuda"
    device = torch.cuda.max_memory_allocated() / _MIB if cuda else None
    # after the memory: what it frees would be taken up again
    scorer.extractor([_cut(found)], remember=False)  # wakes torch's threads
    begin = time.perf_counter()
    features = scorer.extractor([found], remember=False)
    if cuda:
        torch.cuda.synchronize()
    encode_seconds = time.perf_counter() - begin
    size, channels = _size_mib(features), scorer.extractor.encoder.dim
    return Cost(seconds, encode_seconds, before, memory, size, channels, device)


def _require_weights(method: MethodSettings, folder: str | None) -> None:
    """Raise WeightsError where weights are absent, rather than download them."""
    for part in (method.backbone, method.upsampler):
        if not isinstance(part, ViTSettings | AnyUpSettings) or part.checkpoint is not None:
            continue
        if locate(part.weights, folder) is None:
            raise WeightsError(
                f"`mapsr weights fetch {part.weights}` fetches {part.weights}; without any "
                "weights, backbone=texture upsampler=bilateral works."
            )


def _scorer(method: MethodSettings, weights_folder: str | None) -> MapSR:
    """The method with random prompts of length one."""
    extractor = build_extractor(method, weights_folder)
    names = load_legend(method.legend.target).names
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(len(names), extractor.encoder.dim, generator=generator)
    vectors = torch.nn.functional.normalize(vectors)  # (C, D)
    scorer = MapSR(extractor, method.refine, names)
    scorer.use(ClassPrompts(vectors, torch.ones(len(names), dtype=torch.int64)))
    return scorer


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
    """Let the peak of the memory start anew, where the system can do that."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # the peak is then that of the whole process: too much rather than too little


def _memory_now_mib() -> float | None:
    try:
        return _status_mib("VmRSS")
    except OSError:
        return None


def _peak_mib() -> float | None:
    try:
        return _status_mib("VmHWM")
    except OSError:
        return peak_memory_mib()


def _status_mib(key: str) -> float:
    """A number of /proc/self/status, which is in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) / 1024
