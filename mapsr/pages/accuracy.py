"""Scores of a run as tables of a page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mapsr.evaluation.confusion import Confusion
from mapsr.evaluation.intervals import bootstrap_classes
from mapsr.evaluation.judging import pooled
from mapsr.evaluation.scores import class_scores
from mapsr.report.page import Table

_LAYERS = (("map", None), ("probe", "probe"), ("coarse product", "coarse"))
_SCORES = {
    "iou": "IoU",
    "users_accuracy": "user's accuracy",
    "producers_accuracy": "producer's accuracy",
    "f1": "F1",
}


def accuracy_tables(
    metrics: Mapping[str, Any], confusions: Mapping[str, Confusion], names: Sequence[str], seed: int
) -> tuple[Table, ...]:
    """Lay out scores, those of each class, and the confusion matrix.

    Args:
        metrics: of a finished run.
        confusions: scene -> matrix of the map; none without truth.
        names: of the target classes.
        seed: of the bootstrap's draws: with that of the run they are the run's.
    """
    known = {name: one for name, one in confusions.items() if one.counts.any()}
    if metrics.get("miou") is None or not known:
        return ()
    return _layers(metrics), _classes(known, names, seed), _confusion(pooled(known), names)


def accuracy_note(metrics: Mapping[str, Any]) -> str:
    """Say how scores and intervals came about; "" without any."""
    if metrics.get("miou") is None:
        return ""
    spread = metrics.get("intervals")
    if not spread:
        return (
            "Held against the truth, pixel by pixel. One scene has truth: there are no intervals."
        )
    return (
        f"Held against the truth, pixel by pixel. Intervals in brackets hold {spread['level']:.0%} "
        f"of {spread['resamples']} bootstrap resamples of the {spread['scenes']} scenes: how much "
        "a score would vary with other scenes like these. Few scenes give them little to vary."
    )


def _layers(metrics: Mapping[str, Any]) -> Table:
    rows = []
    for name, key in _LAYERS:
        scores = metrics if key is None else metrics.get(key) or {}
        if scores.get("miou") is None:
            continue
        spread = (metrics.get("intervals") or {}) if key is None else {}
        each = (_score(scores[score], spread.get(score)) for score in ("miou", "oa"))
        rows.append((name, *each))
    return Table("Scores over all classes", ("layer", "mean IoU", "overall accuracy"), tuple(rows))


def _classes(confusions: Mapping[str, Confusion], names: Sequence[str], seed: int) -> Table:
    whole = class_scores(pooled(confusions).counts)
    ends = bootstrap_classes(list(confusions.values()), np.random.default_rng(seed))
    rows = []
    for index, name in enumerate(names):
        cells = [
            _score(
                float(whole[score][index]), None if ends is None else ends[score][index].tolist()
            )
            for score in _SCORES
        ]
        rows.append((name, *cells))
    return Table("Scores of the map by class", ("class", *_SCORES.values()), tuple(rows))


def _confusion(confusion: Confusion, names: Sequence[str]) -> Table:
    """Pixels by true and mapped class, with their share of the true class."""
    rows = []
    for name, row in zip(names, confusion.counts.tolist(), strict=True):
        whole = sum(row)
        cells = (f"{count:,} ({count / whole:.1%})" if whole else "0" for count in row)
        rows.append((name, *cells))
    return Table(
        "Pixels of each true class (rows) by what the map calls them (columns)",
        ("truth", *names, "no data"),
        tuple(rows),
        diagonal=True,
    )


def _score(value: float | None, ends: Sequence[float] | None) -> str:
    if value is None or np.isnan(value):
        return "–"
    if ends is None or np.isnan(ends[0]):
        return f"{value:.3f}"
    return f"{value:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"
