"""What tables and figures read of folders that `mapsr label` and `mapsr compare` have written."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapsr.errors import ConfigError, DataError, near_match

MEASURES = {"pa": "producers_accuracy", "ua": "users_accuracy", "f1": "f1"}
"""Short names of the accuracies of a class, and what result files call them."""
_METRICS, _COMPARISON = "metrics.json", "comparison.json"


@dataclass(frozen=True, eq=False)
class Measured:
    """Accuracies of a label map, a map or a product; fractions in [0, 1], None where undefined.

    Attributes:
        name: "final", "round_0" and so on, or the name of a product.
        label: what a table calls it.
        run: folder that it is from.
        values: measure (pa, ua, f1) -> class -> value.
        oa: overall accuracy.
        ratio: share of the pixels with truth that are labelled; None: not told.
        merged: class -> what it stands for, where a product does not tell classes apart.
    """

    name: str
    label: str
    run: str
    values: Mapping[str, Mapping[str, float | None]]
    oa: float | None
    ratio: float | None
    merged: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LabelRun:
    """A folder of `mapsr label`, or of `mapsr compare`.

    Attributes:
        path: the folder.
        metrics: content of its metrics.json; {} of a comparison.
        comparison: content of its comparison.json; {} of a label run.
    """

    path: Path
    metrics: Mapping[str, Any]
    comparison: Mapping[str, Any]

    def final(self) -> Iterator[Measured]:
        """Yield the final map, where there is one with truth."""
        final = self.metrics.get("final") or {}
        if scores := final.get("scores"):
            yield _measured("final", "final map", self.path, scores, final.get("oa"), None)

    def rounds(self) -> Iterator[Measured]:
        """Yield the label map of each round that has truth."""
        for entry in self.metrics.get("rounds") or ():
            if scores := entry.get("scores"):
                number = entry["round"]
                name, label = f"round_{number}", f"Label_Map{number}"
                oa, ratio = entry.get("oa_trusted"), entry.get("ratio")
                yield _measured(name, label, self.path, scores, oa, ratio)

    def products(self) -> Iterator[Measured]:
        """Yield each product that has truth."""
        inside = (self.metrics.get("statistics") or {}).get("products") or {}
        for name, entry in inside.items():
            truth = entry.get("truth") or {}
            if truth.get("pixels"):
                yield _measured(name, name, self.path, truth, truth.get("oa"), truth.get("ratio"))
        for name, entry in (self.comparison.get("products") or {}).items():
            if entry.get("pixels"):
                yield _compared(name, self.path, entry)


def runs_of(overrides: Sequence[str]) -> tuple[list[LabelRun], dict[str, str]]:
    """Read what ``runs=FOLDER,FOLDER`` names.

    Args:
        overrides: of the command line.

    Returns:
        The runs, and the other overrides by key.

    Raises:
        ConfigError: an override is not key=value.
        DataError: a folder holds no results, or damaged ones.
    """
    values = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not value:
            raise ConfigError(f"'{override}' is not a setting, expected key=value.")
        values[key] = value
    names = values.pop("runs", "").strip("[]")
    return [read_run(Path(name.strip())) for name in names.split(",") if name.strip()], values


def refuse(others: Mapping[str, str], known: Sequence[str], name: str) -> None:
    """Refuse settings that a table or figure of label runs does not have.

    Raises:
        ConfigError: there is one; the nearest one is named.
    """
    for key in others:
        if key not in known:
            raise ConfigError(
                f"'{key}' is not a setting of '{name}', expected {', '.join(known)}: its numbers "
                f"are those of folders that `mapsr label` and `mapsr compare` have written."
                f"{near_match(key, known)}"
            )


def read_run(path: Path) -> LabelRun:
    """Read a folder of `mapsr label`, or of `mapsr compare`.

    Raises:
        DataError: it holds neither metrics.json of `mapsr label` nor comparison.json, or a damaged
            one.
    """
    metrics, comparison = _content(path / _METRICS), _content(path / _COMPARISON)
    if "rounds" not in metrics:
        metrics = {}
    if not metrics and not comparison:
        raise DataError(
            f"'{path}' is neither a finished run of `mapsr label` (with {_METRICS}) nor a folder "
            f"of `mapsr compare` (with {_COMPARISON}), expected one of the two."
        )
    return LabelRun(path, metrics, comparison)


def _content(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' can't be read as JSON ({error}); make it again.") from error
    return found if isinstance(found, dict) else {}


def _measured(
    name: str,
    label: str,
    path: Path,
    scores: Mapping[str, Any],
    oa: float | None,
    ratio: float | None,
) -> Measured:
    values = {short: scores.get(key) or {} for short, key in MEASURES.items()}
    return Measured(name, label, str(path), values, oa, ratio)


def _compared(name: str, path: Path, entry: Mapping[str, Any]) -> Measured:
    """A product of a comparison: classes that it does not tell apart have their common score."""
    values: dict[str, dict[str, float | None]] = {short: {} for short in MEASURES}
    merged = {}
    for group in entry["groups"]:
        first, *others = group["classes"]
        if others:
            merged[first] = ", ".join(group["classes"])
        for short, key in MEASURES.items():
            values[short][first] = group[key]
    return Measured(name, name, str(path), values, entry["oa"], entry["ratio"], merged)
