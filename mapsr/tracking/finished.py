"""What a finished run left behind: its scores, its counts, its record."""

import csv
import json
from pathlib import Path
from typing import Any

from mapsr.errors import ConfigError, DataError
from mapsr.evaluation.confusion import Confusion
from mapsr.tracking.damage import DamagedRunError, what_is_wrong


def read_confusion(path: Path) -> dict[str, Confusion]:
    """Read the confusion.csv of a run folder: scene name -> its matrix.

    Raises:
        DataError: there is none, or it is damaged.
    """
    file = path / "confusion.csv"
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            lines = [
                (one["scene"], one["truth"], one["predicted"], int(one["pixels"]))
                for one in csv.DictReader(stream)
            ]
        truths = list(dict.fromkeys(truth for _, truth, _, _ in lines))
        places = {name: number for number, name in enumerate([*truths, "nodata"])}
        matrices: dict[str, Confusion] = {}
        for scene, truth, predicted, pixels in lines:
            matrix = matrices.setdefault(scene, Confusion.zeros(len(truths)))
            matrix.counts[places[truth], places[predicted]] = pixels
    except (OSError, LookupError, TypeError, ValueError, OverflowError, csv.Error) as error:
        raise DataError(f"'{file}' can't be read as confusion counts ({error}).") from error
    return matrices


def read_metrics(path: Path) -> dict[str, Any]:
    """Return what stands in the metrics.json of a run folder.

    Raises:
        ConfigError: the run is not finished.
        DamagedRunError: the file is damaged.
    """
    if not (path / "metrics.json").exists():
        raise ConfigError(
            f"The run in '{path}' is not finished: it has no metrics.json; give its command again "
            "to finish it."
        )
    metrics = _read(path / "metrics.json")
    # other commands, such as mapsr label, have results of their own
    if "command" not in metrics and (why := what_is_wrong(metrics)):
        raise DamagedRunError(f"'{path / 'metrics.json'}' is damaged: {why}.")
    return metrics


def read_record(path: Path) -> dict[str, Any]:
    """Return what stands in the record.json of a run folder; nothing where there is none.

    Raises:
        ConfigError: the file is damaged.
    """
    return _read(path / "record.json") if (path / "record.json").exists() else {}


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedRunError(
            f"'{file}' is damaged ({error}); run again with overwrite=true."
        ) from error
    if not isinstance(found, dict):
        raise DamagedRunError(f"'{file}' holds no keys, expected those of a run of mapsr.")
    return found
