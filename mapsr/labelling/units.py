"""Patches as work units: what the products say of a patch, voted, counted, and kept until done."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mapsr.evaluation import Confusion
from mapsr.geo import Grid, Window, read_values
from mapsr.geo.rasters import read_valid
from mapsr.labelling.expansion import fill_holes, revote
from mapsr.labelling.packing import Arrays, pack
from mapsr.labelling.patches import OpenProduct, read_patch
from mapsr.labelling.plan import Plan
from mapsr.labelling.prompts import PatchPrompts
from mapsr.labelling.statistics import count_patch
from mapsr.labelling.truth import Blocks, Judges, salted
from mapsr.labelling.voting import Labels, Plane, Rule, vote
from mapsr.legends import NODATA
from mapsr.mapping.assembly import output_paths
from mapsr.mapping.blend import UnitResult
from mapsr.mapping.engines import UnitTask
from mapsr.mapping.outputs import Output, Values

LABELS = Output()
TENTHS = Output(kind="tenths")
PROVENANCE = Output(kind="provenance")
ROUND = Output(kind="round")
LEARN = Output(layer="learn")
"""Labels without those held out: what a model learns from where there is no truth."""
VOTES = (LABELS, TENTHS, PROVENANCE, ROUND)


@dataclass(frozen=True)
class Earlier:
    """What a later round adds to: labels of the round before, and the model that learnt from them.

    Attributes:
        labels: their label map.
        model: the model's map.
        weight: of its vote in tenths.
        rounds: number of the round before.
    """

    labels: Path
    model: Path
    weight: int
    rounds: int


@dataclass(frozen=True)
class Ballot:
    """Votes on patches; may be called by several threads and sent to another process.

    Attributes:
        plan: of the region.
        products: opened.
        judges: truth to score with.
        held: blocks that models do not learn from; None: none is held out.
        earlier: for each job what it adds to, None in round 0.
        images: of each job.
    """

    plan: Plan
    products: tuple[OpenProduct, ...]
    judges: Judges
    held: Blocks | None
    earlier: tuple[Earlier | None, ...]
    images: tuple[Path, ...]

    def __call__(self, task: UnitTask) -> UnitResult:
        """Vote on a unit, which is a patch.

        Raises:
            MapsrError: a file can't be read, or says what can't be.
        """
        plan, grid, window = self.plan, task.raster.reader.grid, task.unit.owned
        imaged = read_valid(self.images[task.job], window)
        patch = read_patch(self.products, plan.weights, plan.target, grid, window).within(imaged)
        rule = plan.rule_for(patch)
        labels = vote(patch, rule)
        if (earlier := self.earlier[task.job]) is not None:
            labels = _next(earlier, labels, patch, rule, window)
        salt = salt_of(task.raster.name)
        truth, validation = self.judges.read(grid, window, salt)
        known = truth if self.judges.any else None
        beside = pack(count_patch(plan, patch, labels, known))
        beside["validation"] = _confusion(truth, validation, labels.label, len(plan.target))
        return UnitResult(_values(labels, self.held, window, salt), (), beside)


@dataclass(frozen=True)
class Filling:
    """Makes final maps: labels, and the model's class where they are undetermined.

    Attributes:
        judges: truth to score with.
        classes: number of classes C.
        pairs: for each job the labels and the model's map.
    """

    judges: Judges
    classes: int
    pairs: tuple[tuple[Path, Path], ...]

    def __call__(self, task: UnitTask) -> UnitResult:
        """Fill the holes of a unit.

        Raises:
            MapsrError: a file can't be read.
        """
        window = task.unit.owned
        label, model = (read_values(path, window)[0] for path in self.pairs[task.job])
        empty = np.zeros(label.shape, np.uint8)
        final = fill_holes(Labels(label, empty, empty.astype(np.uint32), empty, empty), model)
        counts = judge_window(
            self.judges, task.raster.reader.grid, window, final, self.classes, task.raster.name
        )
        return UnitResult({LABELS.key: final[None]}, (), counts)


def judge_window(
    judges: Judges, grid: Grid, window: Window, labels: Plane, classes: int, name: str
) -> Arrays:
    """Count labels against truth.

    Args:
        judges: truth.
        grid: of the image.
        window: pixels (H, W) of it.
        labels: uint8 (H, W).
        classes: number of classes C.
        name: of the image.

    Returns:
        "confusion" with all truth and "validation" with that for validation, int64 (C, C + 1).
    """
    truth, validation = judges.read(grid, window, salt_of(name))
    return {
        "confusion": Confusion.of(truth, labels, classes).counts,
        "validation": _confusion(truth, validation, labels, classes),
    }


def held_out(
    held: Blocks, labels: Path, model: Path, windows: Sequence[Window], name: str
) -> tuple[int, int]:
    """Count how a model agrees with labels of round 0 that it did not learn from.

    Args:
        held: blocks that were held out.
        labels: label map of round 0.
        model: the model's map.
        windows: that the image is cut into.
        name: of the image.

    Returns:
        Trusted pixels held out at which the model has the same class, and all of them.
    """
    same = total = 0
    for window in windows:
        label, said = read_values(labels, window)[0], read_values(model, window)[0]
        asked = salted(held, salt_of(name)).mask(window) & (label != NODATA)
        same += int((asked & (label == said)).sum())
        total += int(asked.sum())
    return same, total


def salt_of(name: str) -> int:
    """A number by which blocks of images differ."""
    return zlib.crc32(name.encode())


def add_up(units: Iterator[UnitResult]) -> Arrays:
    """Sum what is kept beside units; tables of codes are joined, as the counts of a code add up."""
    total: Arrays = {}
    for unit in units:
        for name, array in unit.beside.items():
            if name == "unmapped":
                total[name] = _joined(total.get(name), array)
            else:
                total[name] = array if name not in total else total[name] + array
    return total


def _joined(one: np.ndarray | None, other: np.ndarray) -> np.ndarray:
    """Add tables with rows of product, code and pixels."""
    rows = other if one is None else np.concatenate([one, other])
    keys, place = np.unique(rows[:, :2], axis=0, return_inverse=True)
    pixels = np.zeros(len(keys), np.int64)
    np.add.at(pixels, place.ravel(), rows[:, 2])
    return np.concatenate([keys, pixels[:, None]], axis=1)


def _next(
    earlier: Earlier, first: Labels, patch: PatchPrompts, rule: Rule, window: Window
) -> Labels:
    """Vote again after a model. ``first`` are the labels of round 0."""
    paths = output_paths(earlier.labels, VOTES)
    label, confidence, provenance, number = (
        read_values(paths[output.key], window)[0] for output in VOTES
    )
    # a pixel that was undetermined has no class that reaches without the model, and one with it
    reached = np.where(number == 0, first.reached, (label != NODATA).astype(np.uint8))
    previous = Labels(label, confidence, provenance, number, reached, earlier.rounds)
    model = read_values(earlier.model, window)[0]
    return revote(previous, patch, model, earlier.weight, rule)


def _values(labels: Labels, held: Blocks | None, window: Window, salt: int) -> Values:
    values: Values = {
        LABELS.key: labels.label[None],
        TENTHS.key: labels.confidence[None],
        PROVENANCE.key: labels.provenance[None],
        ROUND.key: labels.round[None],
    }
    if held is not None:
        hidden = salted(held, salt).mask(window)
        values[LEARN.key] = np.where(hidden, np.uint8(NODATA), labels.label)[None]
    return values


def _confusion(truth: Plane, chosen: np.ndarray, labels: Plane, classes: int) -> np.ndarray:
    part = np.where(chosen, truth, np.uint8(NODATA))
    counts: np.ndarray = Confusion.of(part, labels, classes).counts
    return counts
