"""One chip from image to refined labels, exact and fast, in passes of the encoder."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from mapsr.benchmarks.fit import draw_chips
from mapsr.benchmarks.rasters import LEGEND, paper_sized
from mapsr.legends import load_crosswalk, load_legend
from mapsr.methods.speed import FastSettings
from mapsr.processors import one_thread
from mapsr.progress import Progress
from mapsr.tracking import Stopwatch


@dataclass(frozen=True)
class ChipResult:
    """What `mapsr bench chip` prints; all seconds are CPU seconds of one thread."""

    chip_over_encoder: float
    """Seconds of a chip, exactly, over one pass of the encoder in float32."""
    fast_over_encoder: float
    """The same with speed=fast; over the same pass in float32."""
    encoder_seconds: float
    exact_seconds: float
    fast_seconds: float
    exact_stages: dict[str, float]
    """"encode", "upsample" (in it "networks"), "score" and "refine"."""
    fast_stages: dict[str, float]
    fast_encoder: str
    """Type of number that the fast encoder multiplies."""
    note: str
    """Why that is not what was asked for; "" where it is."""
    repeats: int

    @staticmethod
    def of(found: dict[str, "Timing"], encoder: str, note: str, repeats: int) -> "ChipResult":
        """Take ratios of the shortest times."""
        plain, exact, fast = (found[name] for name in ("encoder", "exact", "fast"))
        return ChipResult(
            chip_over_encoder=exact.seconds / plain.seconds,
            fast_over_encoder=fast.seconds / plain.seconds,
            encoder_seconds=plain.seconds,
            exact_seconds=exact.seconds,
            fast_seconds=fast.seconds,
            exact_stages=exact.stages,
            fast_stages=fast.stages,
            fast_encoder=encoder,
            note=note,
            repeats=repeats,
        )

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


@dataclass
class Timing:
    """The shortest of several times, and the stages within it."""

    seconds: float = float("inf")
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, seconds: float, stages: dict[str, float]) -> None:
        """Take another time; it counts if it is the shortest yet."""
        if seconds < self.seconds:
            self.seconds, self.stages = seconds, stages


def bench_chip(repeats: int, side: int, progress: Progress) -> ChipResult:
    """Measure with ViT-B/14 and AnyUp of random weights, in one thread.

    The three are timed in turn, so that a busy moment of the machine meets all of them, and CPU
    seconds leave out the time that others have the core.

    Args:
        repeats: how often each is timed.
        side: of the chip in pixels.
        progress: shows the work.
    """
    crosswalk = load_crosswalk("paraformer", load_legend("chesapeake_1m"), LEGEND)
    (chip,) = draw_chips(1, side, crosswalk)
    watches = {name: Stopwatch(time.process_time) for name in ("exact", "fast")}
    exact = paper_sized(watches["exact"])
    fast = paper_sized(watches["fast"], speed=FastSettings())
    image = exact.extractor.pad(chip.image[None])
    steps: dict[str, Callable[[], object]] = {
        "encoder": lambda: exact.extractor.encoder(image),
        "exact": lambda: exact.score([chip]),
        "fast": lambda: fast.score([chip]),
    }
    with one_thread():
        for step in steps.values():  # what comes first pays for the first use
            step()
        found = {name: Timing() for name in steps}
        for _ in progress.track(range(repeats), "time", repeats):
            for name, step in steps.items():
                found[name].add(*_timed(step, watches.get(name)))
    pace = fast.extractor.pace
    return ChipResult.of(found, pace.facts()["encoder"], pace.note, repeats)


def _timed(step: Callable[[], object], watch: Stopwatch | None) -> tuple[float, dict[str, float]]:
    """CPU seconds of a step, and of its stages."""
    before = watch.seconds if watch else {}
    begin = time.process_time()
    step()
    taken = time.process_time() - begin
    after = watch.seconds if watch else {}
    stages = {name: after[name] - before.get(name, 0.0) for name in after if name != "total"}
    return taken, stages
