"""One chip from tokens to refined labels: the operator algebra against dense features."""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mapsr.data.landscape import Canvas, draw_landscape
from mapsr.errors import MapsrError, WeightsError
from mapsr.features import Texture, TextureSettings, ViT, ViTSettings
from mapsr.memory import status_mib
from mapsr.progress import Progress
from mapsr.prompts import ClassPrompts
from mapsr.refine import RefineSettings, refine
from mapsr.upsample import AnyUp, AnyUpSettings, PixelFeatures
from mapsr.upsample.dense import dense_anyup

CHIP_PX = 448
GRID = 32
CHANNELS = 768
CLASSES = 4
ENCODER = "vit_base_patch14_dinov2.lvd142m"
_MIB = 1 << 20


@dataclass(frozen=True)
class UpsampleResult:
    """What `mapsr bench upsample` prints."""

    speedup: float
    """Seconds of the dense computation over ours."""
    memory_ratio: float
    """Our peak memory over the dense one's, both above what was there before."""
    max_abs_diff: float
    """Largest difference of refined scores."""
    same_label: float
    """Share of pixels with the same label."""
    over_encoder: float
    """Seconds of our chip, tokens to labels, over one forward pass of a ViT-B/14."""
    seconds: float
    dense_seconds: float
    encoder_seconds: float
    peak_mib: float
    dense_peak_mib: float
    device: str
    threads: int
    weights: str

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class DenseFeatures:
    """Features of every pixel as one array: what the operator algebra does without.

    Attributes:
        values: (H W, D).
        size: (H, W).
    """

    values: Tensor
    size: tuple[int, int]

    @cached_property
    def unit(self) -> Tensor:
        """(H W, D) of length one."""
        return F.normalize(self.values, dim=1)

    def cosine(self, directions: Tensor) -> Tensor:
        """(1, C, H, W) cosine to directions (C, D)."""
        cosine = self.unit @ F.normalize(directions, dim=1).T  # (H W, C)
        return cosine.T.reshape(1, -1, *self.size)

    def unit_sums(self, labels: Tensor, count: int) -> Tensor:
        """(1, count, D) sums of unit features over sets, by adding row after row."""
        inside = labels.flatten() >= 0
        # in double precision: two neighbours that tie to the last bit should tie both ways
        sums = self.values.new_zeros(count, self.values.shape[1], dtype=torch.float64)
        sums.index_add_(0, labels.flatten()[inside], self.unit[inside].double())
        return sums.to(self.values.dtype)[None]

    def select(self, part: int) -> "DenseFeatures":
        """The features of one image of the batch: there is only one."""
        return self


class Chip:
    """A drawn chip, its tokens, prompts, and the networks; the same for both ways."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        generator = torch.Generator().manual_seed(20)
        drawn = draw_landscape(Canvas(CHIP_PX, CHIP_PX, 0), np.random.default_rng(20)).image
        self.image = torch.from_numpy(np.asarray(drawn, np.float32) / 255)[None].to(self.device)
        cells = Texture(TextureSettings(stride=CHIP_PX // GRID)).to(self.device)(self.image)
        # texture statistics carried to 768 channels: tokens with the landscape in them
        mix = torch.randn(CHANNELS, cells.shape[1], generator=generator)
        noise = torch.randn(1, CHANNELS, GRID, GRID, generator=generator)
        carried = torch.einsum("dc,bchw->bdhw", mix.to(self.device), cells)
        self.tokens = carried + noise.to(self.device)
        spread = torch.randperm(GRID * GRID, generator=generator)[:CLASSES]
        self.prompts = ClassPrompts(
            self.tokens.flatten(2)[0, :, spread].T.cpu(), torch.ones(CLASSES, dtype=torch.int64)
        )
        self.upsampler, self.weights = _anyup()
        self.upsampler.to(self.device)
        self.valid = torch.ones(1, CHIP_PX, CHIP_PX, dtype=torch.bool)

    @torch.no_grad()
    def ours(self) -> Tensor:
        """Refined scores (4, 448, 448) through the operator."""
        operator = self.upsampler(self.image, self.tokens)
        return self._refined(PixelFeatures.of(self.tokens, operator))

    @torch.no_grad()
    def dense(self) -> Tensor:
        """Refined scores (4, 448, 448) from features of every pixel."""
        values = dense_anyup(self.upsampler, self.image, self.tokens)
        return self._refined(DenseFeatures(values, (CHIP_PX, CHIP_PX)))

    def _refined(self, features: PixelFeatures | DenseFeatures) -> Tensor:
        scores = features.cosine(self.prompts.vectors.to(self.device))
        return refine(features, scores, self.image, self.valid, RefineSettings())[0]


def bench_upsample(device: str, repeats: int, progress: Progress) -> UpsampleResult:
    """Measure both ways on one chip: times in turn, peaks each in a process of its own.

    Args:
        device: torch's name of the device.
        repeats: how often each way is timed; the shortest counts.
        progress: shows the steps.
    """
    peaks = {}
    for way in progress.track(("ours", "dense"), "memory", 2):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peaks[way] = pool.apply(_peak_mib, (way, device))
    chip = Chip(device)
    encoder = ViT(ViTSettings(ENCODER)).to(device)  # random weights take the same time
    steps: dict[str, Callable[[], Tensor]] = {
        "encoder": lambda: encoder(chip.image),
        "ours": chip.ours,
        "dense": chip.dense,
    }
    seconds = dict.fromkeys(steps, float("inf"))
    results: dict[str, Tensor] = {}
    for _ in progress.track(range(repeats), "time", repeats):
        for name, step in steps.items():
            begin = time.perf_counter()
            results[name] = step()
            _wait(chip.device)
            seconds[name] = min(seconds[name], time.perf_counter() - begin)
    ours, dense = results["ours"].cpu(), results["dense"].cpu()
    return UpsampleResult(
        **ratios(seconds, peaks),
        max_abs_diff=float((ours - dense).abs().max()),
        same_label=float((ours.argmax(0) == dense.argmax(0)).double().mean()),
        device=device,
        threads=torch.get_num_threads(),
        weights=chip.weights,
    )


def ratios(seconds: Mapping[str, float], peaks: Mapping[str, float]) -> dict[str, float]:
    """Take ratios of seconds and of peaks in MiB, each by way."""
    return {
        "speedup": seconds["dense"] / seconds["ours"],
        "memory_ratio": peaks["ours"] / peaks["dense"],
        "over_encoder": seconds["ours"] / seconds["encoder"],
        "seconds": seconds["ours"],
        "dense_seconds": seconds["dense"],
        "encoder_seconds": seconds["encoder"],
        "peak_mib": peaks["ours"],
        "dense_peak_mib": peaks["dense"],
    }


def _peak_mib(way: str, device: str) -> float:
    """Peak memory of one way above what networks and inputs take, in MiB."""
    chip = Chip(device)
    if chip.device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        getattr(chip, way)()
        return (torch.cuda.max_memory_allocated() - before) / _MIB
    if not Path("/proc/self/clear_refs").exists():
        raise MapsrError("The benchmark reads a process's peak memory from /proc: run it on Linux.")
    held = status_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # makes the peak start again
    getattr(chip, way)()
    return status_mib("VmHWM") - held


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _anyup() -> tuple[AnyUp, str]:
    try:
        settings = AnyUpSettings()
        return settings.build(), settings.weights
    except WeightsError:
        # time and memory do not depend on the values; the result says what was used
        torch.manual_seed(20)
        return AnyUp(), "random"
