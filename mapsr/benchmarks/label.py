"""Voting: memory and time from 4 to 64 patches, the share of vectors, and one patch's vote."""

import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mapsr.benchmarks.label_region import DrawnRegion, draw_region
from mapsr.labelling import (
    Plan,
    VectorSource,
    VotingSettings,
    count_patch,
    load_registry,
    make_plan,
    open_products,
    read_patch,
    vote,
)
from mapsr.labelling.prompts import PatchPrompts
from mapsr.mapping.local import cores
from mapsr.mapping.plan import PatchPlan
from mapsr.memory import peak_memory_mib
from mapsr.progress import Progress, Quiet
from mapsr.rounds import LabelSettings, run_labelling

_FEW = 9
"""Patches over which the share of vectors is taken."""

Compose = Callable[[Sequence[str]], LabelSettings]
"""Makes the settings of a labelling from overrides."""


@dataclass(frozen=True)
class Sizes:
    """What is measured on; smaller sizes make a quick, meaningless run."""

    patch: int = 1024
    """Side of a patch in pixels."""
    small: int = 2
    """Patches along a side of the small region."""
    middle: int = 4
    """Of the region between them."""
    large: int = 8
    """Of the large region."""
    repeats: int = 2
    """Runs of each region at the least; the shortest counts."""
    patches: int = 64
    """Patches that all runs of a region vote on at the least: one run of few is soon disturbed."""


@dataclass(frozen=True)
class LabelResult:
    """What `mapsr bench label` prints."""

    memory_growth: float
    """Peak memory of a process that labels the large region over that of the small one."""
    linearity: float
    """Most over least seconds of voting a patch over the three regions, with one worker."""
    vector_share: float
    """Share of a patch's time, from files to counts, that reading and burning vectors takes."""
    vote_seconds: float
    """The vote of one patch, once its prompts are read; the shortest of five."""
    prompts: int
    """Of that patch."""
    patch_px: int
    """Side of a patch in pixels."""
    peak_mib: dict[str, float]
    seconds_per_patch: dict[str, float]
    cores: int

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def bench_label(sizes: Sizes, compose: Compose, progress: Progress) -> LabelResult:
    """Measure `mapsr label` without rounds on drawn regions with six products, one of vectors.

    Args:
        sizes: of the regions.
        compose: makes the settings of `mapsr label`.
        progress: shows the work.
    """
    with tempfile.TemporaryDirectory(prefix="mapsr-bench-") as name:
        folder = Path(name)
        steps = progress.track(("draw", "memory", "time", "patch"), "bench label", 4)
        next(steps)
        sides = (sizes.small, sizes.middle, sizes.large)
        regions = [draw_region(folder / str(side), side, sizes.patch) for side in sides]
        next(steps)
        settings = {
            region.patches: compose(
                [
                    f"image={region.image}",
                    f"registry={region.registry}",
                    f"patch={sizes.patch}",
                    f"output={region.image.parent / 'labels'}",
                    "overwrite=true",
                    "engine.workers=1",
                ]
            )
            for region in regions
        }
        few, many = regions[0].patches, regions[-1].patches
        peaks = {_text(count): _in_process(settings[count]) for count in (few, many)}
        next(steps)
        seconds = _seconds_per_patch(settings, sizes.repeats, sizes.patches)
        next(steps)
        plan, patch, share = _vector_share(regions[-1], sizes.patch)
        next(steps, None)
    return LabelResult(
        memory_growth=peaks[_text(many)] / peaks[_text(few)],
        linearity=max(seconds.values()) / min(seconds.values()),
        vector_share=share,
        vote_seconds=min(_timed(lambda: vote(patch, plan.rule)) for _ in range(5)),
        prompts=len(patch.prompts),
        patch_px=sizes.patch,
        peak_mib=peaks,
        seconds_per_patch=seconds,
        cores=cores(),
    )


def peak_of_labelling(settings: LabelSettings) -> float:
    """Label a region; peak memory of this process in MiB."""
    _forget(settings)
    run_labelling(settings, Quiet())
    return float(peak_memory_mib() or 0)


def _in_process(settings: LabelSettings) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak_of_labelling, (settings,))


def _seconds_per_patch(
    settings: dict[int, LabelSettings], repeats: int, patches: int
) -> dict[str, float]:
    """Shortest of several runs of each region, run in turn so that none has the quiet machine."""
    best: dict[int, float] = {}
    first = next(iter(settings.values()))
    peak_of_labelling(first)  # what comes first pays for the first use
    turns = {count: max(repeats, patches // count) for count in settings}
    for turn in range(max(turns.values())):
        for count, one in settings.items():
            if turn >= turns[count]:
                continue
            _forget(one)
            # without opening the region and recording the run, which do not grow with it
            taken = run_labelling(one, Quiet())[1]["seconds"]["vote"] / count
            best[count] = min(taken, best.get(count, taken))
    return {_text(count): seconds for count, seconds in best.items()}


def _vector_share(region: DrawnRegion, side: int) -> tuple[Plan, PatchPrompts, float]:
    """Plan, the last patch, and the share of vectors in the time of a few patches."""
    plan = make_plan(load_registry(str(region.registry)), VotingSettings())
    products = open_products(plan.products)
    vectors = [one for one in products if isinstance(one.product.source, VectorSource)]
    grid = next(one.tiles.grids[0] for one in products if one.tiles is not None)
    windows = [unit.owned for unit in PatchPlan((grid.height, grid.width), side)][:_FEW]
    of_vectors = whole = 0.0
    patch = read_patch(products, plan.weights, plan.target, grid, windows[0])
    for window in windows:
        begin = time.perf_counter()
        read_patch(vectors, [1] * len(vectors), plan.target, grid, window)
        middle = time.perf_counter()
        patch = read_patch(products, plan.weights, plan.target, grid, window)
        count_patch(plan, patch, vote(patch, plan.rule))
        of_vectors, whole = of_vectors + middle - begin, whole + time.perf_counter() - middle
    return plan, patch, of_vectors / whole


def _forget(settings: LabelSettings) -> None:
    """Remove an earlier run, which would be known as done."""
    shutil.rmtree(str(settings.output), ignore_errors=True)


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _text(patches: int) -> str:
    return f"{patches} patches"
