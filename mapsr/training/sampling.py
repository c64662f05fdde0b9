"""Batches of random chips, read from scenes."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mapsr.data import Scene, SceneSource
from mapsr.errors import DataError
from mapsr.geo import Window
from mapsr.legends import NODATA
from mapsr.progress import Progress
from mapsr.training.augment import (
    PARTS,
    Patch,
    flip_and_rotate,
    has_gaps,
    largest_share,
    mosaic,
    resample,
    to_square,
)
from mapsr.training.draws import Draw, DrawPlan
from mapsr.training.settings import TrainingSettings

# Draws of a chip before an error: even a scene that is half gaps passes.
TRIES = 100
# Draws for a chip of mixed classes, as in UNetFormer's code.
MIXED_TRIES = 10
# Memory for decoded scenes: small ones are read many times.
MEMORY_MIB = 1024


class Batch(NamedTuple):
    """The chips of one step.

    Attributes:
        image: (N, B, H, W) float32 in [0, 1].
        labels: (N, H, W) int64, 255 for nodata.
        rejected: number of chips that were rejected before.
    """

    image: Tensor
    labels: Tensor
    rejected: int


class LabelledScenes:
    """Scenes with the labels to learn; those that fit into memory are decoded once.

    Attributes:
        scenes: at least one.
    """

    def __init__(
        self,
        source: SceneSource,
        scenes: Sequence[Scene],
        layer: str,
        learned: Sequence[int],
        bands: int,
        memory_mib: int = MEMORY_MIB,
    ) -> None:
        """Check that all scenes have labels.

        Args:
            source: reads chips.
            scenes: to train on.
            layer: "coarse" or "truth".
            learned: for each class of the layer, the output that learns it, 255 for none.
            bands: how many leading bands to keep.
            memory_mib: MiB of decoded scenes to keep.

        Raises:
            DataError: there is no scene.
            DataError: a scene has no such layer.
        """
        if not scenes:
            raise DataError("There is no scene to train on: check data.fit.")
        for scene in scenes:
            if getattr(scene, layer) is None or getattr(source.labels, layer) is None:
                other = "coarse" if layer == "truth" else "truth"
                raise DataError(
                    f"Scene '{scene.name}' has no {layer} labels to train on: name them with "
                    f"data.{layer}, or set method.labels={other}."
                )
        self.source = source
        self.scenes = tuple(scenes)
        self.layer = layer
        self.bands = bands
        self._table = torch.full((NODATA + 1,), NODATA, dtype=torch.uint8)
        self._table[: len(learned)] = torch.tensor(learned, dtype=torch.uint8)
        self._room = memory_mib << 20
        self._lock = threading.Lock()
        self._sizes = [self._size(scene) for scene in self.scenes]
        self._kept: dict[int, Patch] = {}
        self._keeps = self._choose()

    def size(self, number: int) -> tuple[int, int]:
        """Return height and width of a scene in pixels."""
        return self._sizes[number]

    def read(self, number: int, window: Window) -> Patch:
        """Read a window of a scene; a scene to keep is read whole the first time."""
        if number not in self._keeps:
            return self._read(number, window)
        with self._lock:
            if number not in self._kept:
                self._kept[number] = self._read(number, Window(0, 0, *self._sizes[number]))
        whole = self._kept[number]
        rows, columns = window.slices
        return Patch(whole.image[:, rows, columns], whole.labels[rows, columns])

    def _read(self, number: int, window: Window) -> Patch:
        chip = self.source.read(self.scenes[number], window)
        labels = chip.coarse if self.layer == "coarse" else chip.truth
        assert labels is not None, "checked at the start"
        learned = torch.where(chip.valid, self._table[labels.long()], NODATA)
        return Patch(chip.image[: self.bands].contiguous(), learned)

    def _size(self, scene: Scene) -> tuple[int, int]:
        grid = self.source.grid(scene)
        return grid.height, grid.width

    def _choose(self) -> set[int]:
        """Choose the scenes to keep: from the first on, those that still fit."""
        chosen, room = set(), self._room
        for number, (height, width) in enumerate(self._sizes):
            size = height * width * (4 * self.bands + 1)
            if size <= room:
                chosen.add(number)
                room -= size
        return chosen


class ChipSampler:
    """Draws the chips of each step; a step gives the same chips in any thread."""

    def __init__(self, scenes: LabelledScenes, plan: DrawPlan, settings: TrainingSettings) -> None:
        self.scenes = scenes
        self.plan = plan
        self.settings = settings

    def batch(self, step: int) -> Batch:
        """Read the chips of a step.

        Raises:
            DataError: all chips of a scene have gaps.
            RasterError: a file can't be read.
        """
        drawn = [self.chip(draw) for draw in self.plan.draws(step)]
        return Batch(
            torch.stack([patch.image for patch, _ in drawn]),
            torch.stack([patch.labels for patch, _ in drawn]).long(),
            sum(rejected for _, rejected in drawn),
        )

    def chip(self, draw: Draw) -> tuple[Patch, int]:
        """Read one chip, (crop, crop), and count the chips rejected before."""
        random = np.random.default_rng(draw.key)
        patch, rejected = self._crop(draw.scene, random)
        if random.random() < self.settings.mosaic:
            parts = [patch]
            for scene in random.integers(len(self.scenes.scenes), size=PARTS - 1):
                part, more = self._crop(int(scene), random)
                parts.append(part)
                rejected += more
            side = self.settings.crop
            row, col = random.integers(side // 4, side - side // 4, size=2)
            patch = mosaic(parts, int(row), int(col))
        return flip_and_rotate(patch, self.settings, random), rejected

    def _crop(self, scene: int, random: np.random.Generator) -> tuple[Patch, int]:
        """Draw windows until one is accepted; return it with the number of rejected ones."""
        settings = self.settings
        scale = float(random.choice(settings.scales))
        side = max(1, round(settings.crop / scale))
        height, width = (min(side, length) for length in self.scenes.size(scene))
        fixed = (height, width) == self.scenes.size(scene)
        for rejected in range(1 if fixed else TRIES):
            row = int(random.integers(self.scenes.size(scene)[0] - height + 1))
            col = int(random.integers(self.scenes.size(scene)[1] - width + 1))
            patch = self.scenes.read(scene, Window(row, col, height, width))
            if settings.reject and has_gaps(patch):
                continue
            mixed = largest_share(patch.labels) <= settings.most_of_class
            if mixed or fixed or rejected + 1 >= MIXED_TRIES:
                return to_square(resample(patch, scale), settings.crop), rejected
        raise DataError(self._no_chip(scene, fixed))

    def _no_chip(self, scene: int, fixed: bool) -> str:
        name, crop = self.scenes.scenes[scene].name, self.settings.crop
        tried = "its only chip" if fixed else f"all {TRIES} random chips"
        return (
            f"Scene '{name}' has gaps (unlabelled pixels, or pixels that are zero in all bands) in "
            f"{tried}: set training.reject=false, lower training.crop, now {crop}, or "
            "leave the scene out with data.fit."
        )


class Batches:
    """Iterates once over the batches from one step to the last; threads may read ahead."""

    def __init__(self, sampler: ChipSampler, first: int, workers: int, progress: Progress) -> None:
        self.sampler = sampler
        self.steps = range(first, sampler.plan.steps)
        self._reading = progress.track(self._read(workers), "training", len(self))

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Batch]:
        return self._reading

    def finish(self) -> None:
        """Exhaust the iterator, so that the progress ends: Lightning stops one short of that."""
        for _ in self._reading:
            pass

    def _read(self, workers: int) -> Iterator[Batch]:
        if not workers:
            yield from map(self.sampler.batch, self.steps)
            return
        ahead: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            for step in self.steps:
                ahead.append(pool.submit(self.sampler.batch, step))
                if len(ahead) > workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
