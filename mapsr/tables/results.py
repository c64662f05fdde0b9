"""What the cells of a table came to: scores over seeds, and the runs that they are from."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mapsr.evaluation.differences import Difference


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        seed: of the run.
        path: of the run folder, as it is shown.
        metrics: the content of its metrics.json.
    """

    seed: int
    path: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A cell of a table. Scores are fractions in [0, 1]; None where there is no result.

    Attributes:
        runs: one for each seed that is done, in the order of the definition; none of an average.
        sources: folders of the runs that stand for the numbers: the first seed's, and for an
            average that of each column.
        published: mean IoU that was published.
        published_parameters: trained parameters as they were published.
        trained_parameters: how many numbers the training changed.
        miou: mean over seeds of the mean IoU.
        oa: mean over seeds of the overall accuracy.
        seed_std: sample standard deviation of miou over seeds; None with fewer than two.
        interval: bootstrap interval of miou over the scenes of the first run.
        level: share of the resamples inside the interval.
        scenes: how many scenes with truth the first run was scored on.
        coarse_miou: mean IoU of the coarse product itself, by the first run.
        iou: class -> mean over seeds of its IoU.
        crosswalk: of the labels.
        seconds: mean over seeds of the time that fitting and mapping took.
        fit_seconds: mean over seeds of the time that fitting alone took.
        annotation: mean over seeds of the pixels of truth that were learned from.
        remarks: why something is missing.
        difference: to the reference row.
    """

    runs: tuple[Run, ...] = ()
    sources: tuple[str, ...] = ()
    published: float | None = None
    published_parameters: int | None = None
    trained_parameters: int | None = None
    miou: float | None = None
    oa: float | None = None
    seed_std: float | None = None
    interval: tuple[float, float] | None = None
    level: float | None = None
    scenes: int | None = None
    coarse_miou: float | None = None
    iou: Mapping[str, float | None] = field(default_factory=dict)
    crosswalk: str = ""
    seconds: float | None = None
    fit_seconds: float | None = None
    annotation: float | None = None
    remarks: tuple[str, ...] = ()
    difference: Difference | None = None

    @property
    def by_seed(self) -> dict[int, float]:
        """Mean IoU by seed, of the runs that have one."""
        scored = ((run.seed, run.metrics.get("miou")) for run in self.runs)
        return {seed: miou for seed, miou in scored if miou is not None}


Results = Mapping[tuple[str, str], Entry]
"""Entries by the names of row and column."""


def entry_of(
    runs: Sequence[Run],
    published: float | None = None,
    published_parameters: int | None = None,
    remarks: Sequence[str] = (),
) -> Entry:
    """Put the runs of a cell together, one a seed.

    Args:
        runs: those that are done, in the order of the definition.
        published: mean IoU that was published, a fraction.
        published_parameters: trained parameters as they were published.
        remarks: why runs are missing.
    """
    if not runs:
        return Entry(
            published=published, published_parameters=published_parameters, remarks=tuple(remarks)
        )
    first = runs[0].metrics
    mious = _values(run.metrics.get("miou") for run in runs)
    if not mious:
        remarks = [*remarks, "no scored scene has truth"]
    spread = first.get("intervals") or {}
    names = dict.fromkeys(name for run in runs for name in run.metrics.get("iou") or {})
    coarse = first.get("coarse") or {}
    return Entry(
        runs=tuple(runs),
        sources=(runs[0].path,),
        published=published,
        published_parameters=published_parameters,
        trained_parameters=first.get("trained_parameters"),
        miou=mean(mious),
        oa=mean(_values(run.metrics.get("oa") for run in runs)),
        seed_std=_std(mious),
        interval=(spread["miou"][0], spread["miou"][1]) if spread else None,
        level=spread.get("level"),
        scenes=spread.get("scenes"),
        coarse_miou=coarse.get("miou"),
        iou={
            name: mean(_values((run.metrics.get("iou") or {}).get(name) for run in runs))
            for name in names
        },
        crosswalk=str(first.get("crosswalk", "")),
        seconds=mean(_values(_seconds(run.metrics, "fit", "map") for run in runs)),
        fit_seconds=mean(_values(_seconds(run.metrics, "fit") for run in runs)),
        annotation=mean(_values(run.metrics.get("truth_pixels") for run in runs)),
        remarks=tuple(remarks),
    )


def average_of(entries: Sequence[Entry], published: float | None = None) -> Entry:
    """Average a row over its columns; scores only where every column has one.

    The deviation is that of the averages by seed, over the seeds that all columns have. There is
    no interval: scenes of other columns are other scenes.

    Args:
        entries: one for each column.
        published: the published average, a fraction.
    """
    mious = _values(entry.miou for entry in entries)
    counts = {entry.trained_parameters for entry in entries}
    common = Entry(
        published=published,
        published_parameters=entries[0].published_parameters,
        trained_parameters=counts.pop() if len(counts) == 1 else None,
    )
    if len(mious) < len(entries):
        return common
    by_seed = [entry.by_seed for entry in entries]
    seeds = [seed for seed in by_seed[0] if all(seed in one for one in by_seed)]
    return Entry(
        sources=tuple(source for entry in entries for source in entry.sources),
        published=published,
        published_parameters=common.published_parameters,
        trained_parameters=common.trained_parameters,
        miou=mean(mious),
        oa=_whole_mean([entry.oa for entry in entries]),
        seed_std=_std([statistics.fmean(one[seed] for one in by_seed) for seed in seeds]),
        crosswalk=", ".join(dict.fromkeys(entry.crosswalk for entry in entries)),
        seconds=_whole_mean([entry.seconds for entry in entries]),
        fit_seconds=_whole_mean([entry.fit_seconds for entry in entries]),
        annotation=_whole_mean([entry.annotation for entry in entries]),
    )


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, None of nothing."""
    return statistics.fmean(values) if values else None


def _whole_mean(values: Sequence[float | None]) -> float | None:
    """The mean, None where one of them is not known."""
    known = _values(values)
    return mean(known) if len(known) == len(values) else None


def _std(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _values(values: Any) -> list[float]:  # noqa: ANN401 - an iterable of JSON values
    return [float(value) for value in values if value is not None]


def _seconds(metrics: Mapping[str, Any], *stages: str) -> float | None:
    seconds = metrics.get("seconds") or {}
    known = _values(seconds.get(stage) for stage in stages)
    return sum(known) if len(known) == len(stages) else None
