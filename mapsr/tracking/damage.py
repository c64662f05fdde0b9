"""What is wrong with the results of a run that a kill, a disk or somebody damaged."""

from collections.abc import Mapping
from typing import Any

from mapsr.errors import ConfigError


class DamagedRunError(ConfigError):
    """A run folder does not hold what a run leaves there."""


def what_is_wrong(metrics: object) -> str | None:
    """Say what is wrong with the content of a metrics.json, None where all is well."""
    if not isinstance(metrics, dict):
        return f"it holds {type(metrics).__name__}, expected a mapping"
    for key in ("miou", "oa"):
        if key not in metrics or not _is_score(metrics[key]):
            return f"'{key}' is {metrics.get(key)!r:.60}, expected a number in [0, 1] or null"
    for key in ("iou", "coarse", "probe", "intervals", "seconds"):
        if not isinstance(metrics.get(key), dict | None):
            return f"'{key}' is {metrics[key]!r:.60}, expected a mapping or null"
    scores = {"iou": metrics.get("iou") or {}}
    for layer in ("coarse", "probe"):
        inner = metrics.get(layer) or {}
        if not _is_score(inner.get("miou")) or not isinstance(inner.get("iou"), dict | None):
            return f"'{layer}' does not hold scores"
        scores[layer] = inner.get("iou") or {}
    wrong = [key for key, each in scores.items() if not all(map(_is_score, each.values()))]
    if wrong:
        return f"'{wrong[0]}' holds what is not a score"
    return _wrong_numbers(metrics)


def _wrong_numbers(metrics: Mapping[str, Any]) -> str | None:
    """Say which of the numbers beside the scores is none."""
    spread, seconds = metrics.get("intervals") or {}, metrics.get("seconds") or {}
    for key in ("miou", "oa"):
        if key not in spread:
            continue
        pair = spread[key]
        ok = isinstance(pair, list) and len(pair) == 2 and all(_is_score(one) for one in pair)
        if not (ok and None not in pair):
            return f"'intervals.{key}' is {pair!r:.60}, expected two scores"
    if not all(type(one) in (int, float) for one in seconds.values()):
        return "'seconds' holds what is not a number"
    if not isinstance(metrics.get("trained_parameters", 0), int):
        return "'trained_parameters' is not a whole number"
    return None


def _is_score(value: object) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= 1)  # type: ignore[operator]
