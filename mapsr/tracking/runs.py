"""Run folders side by side: which there are, how two differ, and removing them."""

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mapsr.errors import ConfigError, DataError
from mapsr.evaluation.differences import Difference, bootstrap_difference
from mapsr.locks import FolderLock, refuse_link
from mapsr.tracking.damage import DamagedRunError
from mapsr.tracking.finished import read_confusion, read_metrics, read_record
from mapsr.tracking.folder import read_config

logger = logging.getLogger(__name__)

RunState = Literal["finished", "failed", "running", "unfinished", "damaged"]
_PLACES = ("output", "name", "overwrite")
"""Keys that say where a run is, and not what it does."""


@dataclass(frozen=True)
class FoundRun:
    """A run folder.

    Attributes:
        path: the folder.
        state: "finished", "failed", "running" in some process, "unfinished": it was killed, or
            "damaged": its results can't be read.
        config: its settings.
        metrics: of a finished run; empty else.
        record: how it was done; empty where it did not come so far.
    """

    path: Path
    state: RunState
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    record: Mapping[str, Any]

    @property
    def flat(self) -> dict[str, Any]:
        """Settings by dotted key; a group by its choice, too."""
        return flat(self.config)


def find_runs(root: Path) -> list[FoundRun]:
    """Find the run folders below a folder, by name; those that can't be read are warned of.

    Raises:
        ConfigError: there is no such folder.
    """
    if not root.is_dir():
        raise ConfigError(f"There is no folder '{root}'; name the folder that runs lie in.")
    found = []
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if "config.yaml" not in files:
            continue
        try:
            found.append(found_run(Path(folder)))
        except ConfigError as error:
            logger.warning("%s", error)
            continue
        names.clear()  # what lies in a run is its own
    return found


def found_run(path: Path) -> FoundRun:
    """Look at one run folder.

    Raises:
        ConfigError: it holds no run, or one of another version.
    """
    config = read_config(path)
    state = _state(path)
    try:
        metrics = read_metrics(path) if state == "finished" else {}
        record = read_record(path)
    except DamagedRunError:
        return FoundRun(path, "damaged", config, {}, {})
    return FoundRun(path, state, config, metrics, record)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted key; a group stands there with its kind."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            rest = dict(value)
            if "kind" in rest:
                found[f"{prefix}{key}"] = rest.pop("kind")
            found |= flat(rest, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def differing(one: FoundRun, other: FoundRun) -> Iterator[tuple[str, Any, Any]]:
    """Yield key and both values where two runs differ in settings, versions or commit.

    Of a group of which they have another choice, the choice alone is named.
    """
    first, second = one.flat, other.flat
    chosen: set[str] = set()
    for key in dict.fromkeys([*first, *second]):
        group = key.partition(".")[0]
        if key in _PLACES or group in chosen or first.get(key) == second.get(key):
            continue
        if "." not in key and isinstance(one.config.get(key) or other.config.get(key), Mapping):
            chosen.add(key)
        yield key, first.get(key), second.get(key)
    for part in ("versions", "git"):
        then, now = (run.record.get(part) or {} for run in (one, other))
        for key in dict.fromkeys([*then, *now]):
            if then.get(key) != now.get(key):
                yield f"{part}: {key}", then.get(key), now.get(key)


def paired_difference(one: FoundRun, other: FoundRun) -> Difference | None:
    """The second's mean IoU less the first's, with its interval.

    None where their scenes or their truth are not the same, or are too few.
    """
    try:
        first, second = read_confusion(one.path), read_confusion(other.path)
        return bootstrap_difference([(second, first)], np.random.default_rng(0))
    except DataError:
        return None


def remove_run(path: Path) -> None:
    """Remove a run folder with all that is in it.

    Raises:
        ConfigError: it holds no run, is a link, a process works in it, or it can't be removed.
    """
    read_config(path)
    refuse_link(path)
    lock = FolderLock(path)
    try:
        lock.acquire()
        try:
            shutil.rmtree(path)
        finally:
            lock.release()
    except OSError as error:
        raise ConfigError(f"Can't remove '{path}': {error.strerror}; fix that first.") from error


def _state(path: Path) -> RunState:
    if (path / "metrics.json").exists():
        return "finished"
    if (path / "failed.json").exists():
        return "failed"
    lock = FolderLock(path)
    try:
        lock.acquire()
    except ConfigError:
        return "running"
    except OSError:  # not ours to write: nobody here works in it
        return "unfinished"
    lock.release()
    return "unfinished"
