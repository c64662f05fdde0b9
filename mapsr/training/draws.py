"""Which chips a step is trained on: a function of seed, epoch and place, and of nothing else."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mapsr.training.settings import TrainingSettings

# so that random numbers for one purpose are not those for another
_ORDER, _CHIP = 1, 2
# of Paraformer's data loader
_WORKERS = 8


class Draw(NamedTuple):
    """One chip to be drawn.

    Attributes:
        scene: number of the scene.
        key: of the chip's random numbers.
    """

    scene: int
    key: tuple[int, ...]


class DrawPlan:
    """Epochs, steps and the chips of each.

    Every chip of an epoch has random numbers of its own, and each scene comes up equally often;
    the last batch of an epoch is filled up. With ``alike`` it is otherwise, as in Paraformer's
    code: eight workers take a part of the list of scenes each, the first of them shuffles the list
    for itself alone, so that scenes may come up twice or never; each draws all chips of a scene in
    turn, and all of them draw the same random numbers; the last batch of each may be smaller.

    Attributes:
        steps_per_epoch: how many batches an epoch has.
        steps: in all.
        chips: what the epochs have of them in all, as Paraformer's code counts.
    """

    def __init__(self, scenes: int, settings: TrainingSettings, seed: int, *, alike: bool) -> None:
        """Plan a training.

        Args:
            scenes: how many there are, at least 1.
            settings: batch, chips per scene, epochs and steps.
            seed: of all draws.
            alike: draw as Paraformer's workers do.
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
        """The chips of a step, counted from 0."""
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
        """Which places of the list of scenes each worker takes; late ones may get none."""
        share = math.ceil(self.scenes / _WORKERS)
        starts = range(0, self.scenes, share)
        return [range(start, min(start + share, self.scenes)) for start in starts]

    def _worker_turns(self) -> list[tuple[int, int]]:
        """Worker and number of its batch, in turn, until every worker is done."""
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
