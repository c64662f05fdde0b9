"""Which chips each step is trained on: a function of seed and step alone."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mapsr.training.settings import TrainingSettings

# so that random numbers for different purposes differ
_ORDER, _CHIP = 1, 2
# workers of Paraformer's data loader
_WORKERS = 8


class Draw(NamedTuple):
    """One chip to draw.

    Attributes:
        scene: index of the scene.
        key: seed of the chip's random numbers.
    """

    scene: int
    key: tuple[int, ...]


class DrawPlan:
    """Epochs, steps and the chips of each step.

    Every chip of an epoch has its own random numbers, each scene is drawn equally often, and the
    last batch of an epoch is filled up. With ``alike`` it repeats the data loader of Paraformer's
    code: each of eight workers takes a part of the list of scenes; the first one shuffles its own
    copy of the list, so that scenes may be drawn twice or never; each worker draws all chips of a
    scene in turn, all with the same random numbers; the last batch of each may be smaller.

    Attributes:
        steps_per_epoch: batches per epoch.
        steps: batches of the whole training.
        chips: chips of the whole training, as Paraformer's code counts them.
    """

    def __init__(self, scenes: int, settings: TrainingSettings, seed: int, *, alike: bool) -> None:
        """Plan a training.

        Args:
            scenes: number of scenes, at least 1.
            settings: batch, chips per scene, epochs and steps.
            seed: of all draws.
            alike: repeat the flawed draws of Paraformer's workers.
        """
        self.scenes = scenes
        self.batch_size = settings.batch
        self.per_scene = settings.chips_per_scene
        self.seed = seed
        self._turns = self._worker_turns() if alike else None
        epoch_chips = scenes * self.per_scene
        whole = math.ceil(epoch_chips / self.batch_size)
        self.steps_per_epoch = whole if self._turns is None else len(self._turns)
        limits = []
        if settings.epochs is not None:
            limits.append((settings.epochs * self.steps_per_epoch, settings.epochs * epoch_chips))
        if settings.max_steps is not None:
            limits.append((settings.max_steps, settings.max_steps * self.batch_size))
        self.steps, self.chips = min(limits)
        self._order = lru_cache(maxsize=8)(self._shuffled)

    def draws(self, step: int) -> list[Draw]:
        """Return the chips of a step, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._turns is not None:
            return self._alike(epoch, *self._turns[place])
        numbers = range(place * self.batch_size, (place + 1) * self.batch_size)
        return [
            Draw(self._order(epoch, number // self.scenes)[number % self.scenes], key)
            for number in numbers
            for key in [(_CHIP, self.seed, epoch, number)]
        ]

    def _shuffled(self, epoch: int, pass_: int) -> list[int]:
        random = np.random.default_rng((_ORDER, self.seed, epoch, pass_))
        return [int(scene) for scene in random.permutation(self.scenes)]

    def _parts(self) -> list[range]:
        """Return the part of the list of scenes of each worker that gets any."""
        share = math.ceil(self.scenes / _WORKERS)
        starts = range(0, self.scenes, share)
        return [range(start, min(start + share, self.scenes)) for start in starts]

    def _worker_turns(self) -> list[tuple[int, int]]:
        """Return worker and index of its batch, in turn, until every worker is done."""
        batches = [math.ceil(len(p) * self.per_scene / self.batch_size) for p in self._parts()]
        return [
            (worker, number)
            for number in range(max(batches))
            for worker, count in enumerate(batches)
            if number < count
        ]

    def _alike(self, epoch: int, worker: int, number: int) -> list[Draw]:
        part = self._parts()[worker]
        order = self._order(epoch, 0) if worker == 0 else range(self.scenes)
        end = min((number + 1) * self.batch_size, len(part) * self.per_scene)
        return [
            # without the worker in the key, all of them draw the same
            Draw(order[part[chip // self.per_scene]], (_CHIP, self.seed, epoch, chip))
            for chip in range(number * self.batch_size, end)
        ]
