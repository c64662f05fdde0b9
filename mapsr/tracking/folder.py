"""The run folder: where a run puts what it makes, and how a finished one is told."""

import json
import logging
import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from mapsr.changes import INPUTS, differences
from mapsr.errors import ConfigError
from mapsr.evaluation.confusion import Confusion
from mapsr.files import clear_partial, write_json, write_text
from mapsr.locks import LOCK, FolderLock
from mapsr.quoting import csv_text
from mapsr.redaction import RedactingFormatter, redact, redact_all
from mapsr.tracking.damage import DamagedRunError, what_is_wrong
from mapsr.tracking.fingerprint import fingerprint_hash

VERSION = 1

Settings = Mapping[str, object]

# what a run makes, metrics first: without them nobody takes the rest for a finished run
_FILES = (
    *("metrics.json", "confusion.csv", "record.json", "failed.json", "logs.csv"),
    *("fitted.safetensors", "prompts.safetensors", "network.safetensors", "kmeans.safetensors"),
    *("plan.json", "statistics.json", "trusted.csv", "products.csv", "pairs.csv"),
)
_FINGERPRINT = "science"
"""Key of config.yaml that holds the fingerprint."""
_FOLDERS = ("maps", "figures", "wandb", "tensorboard", "checkpoints", "labels", "models")


def read_config(path: Path) -> dict[str, object]:
    """Return the resolved configuration of a run folder.

    Args:
        path: a run folder.

    Raises:
        ConfigError: the folder does not hold a run, or its config.yaml is unreadable.
        ConfigError: another version of mapsr's run folders wrote it.
    """
    document = _read(path)
    return {key: value for key, value in document.items() if key not in ("version", _FINGERPRINT)}


def finished_metrics(
    path: Path,
    fingerprint: Settings,
    wrong: Callable[[object], str | None] = what_is_wrong,
) -> dict[str, object] | None:
    """Return what a finished run with this fingerprint came to.

    Args:
        path: a run folder, existing or not.
        fingerprint: what the results depend on.
        wrong: says what is wrong with the content of a metrics.json, None where all is well.

    Returns:
        The content of its metrics.json; None where there is no run, or one that is not finished.

    Raises:
        ConfigError: the folder holds a run with another fingerprint, or foreign files.
        ConfigError: another version of mapsr's run folders wrote it.
        ConfigError: its metrics.json is damaged.
    """
    if not _holds_run(path):
        return None
    _check_same(path, fingerprint)
    file = path / "metrics.json"
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedRunError(f"'{file}' is damaged ({error}); remove it to run again.") from error
    if why := wrong(metrics):
        raise DamagedRunError(f"'{file}' is damaged ({why}); remove it to run again.")
    found: dict[str, object] = metrics
    return found


class RunFolder:
    """A folder that belongs to one run; a context that logs to it and records a failure.

    One process at a time holds the folder, from ``open`` to the end of the context. Only
    ``metrics.json``, written last, marks a finished run. A run that raises leaves ``failed.json``
    with the error and its trace, until a run in the same folder succeeds; what its training had
    kept in ``checkpoints/`` is there for the next attempt.

    Attributes:
        path: the folder itself.
        maps: folder for map rasters.
        figures: folder for pictures.
        log: file with what was logged inside the context.
    """

    def __init__(self, path: Path, lock: FolderLock | None = None) -> None:
        self.path = path
        self._lock = lock
        self.maps = path / "maps"
        self.figures = path / "figures"
        self.log = path / "log.txt"
        self._handler: logging.Handler | None = None

    @classmethod
    def open(
        cls, path: Path, config: Settings, fingerprint: Settings, overwrite: bool = False
    ) -> Self:
        """Make the folder of a run, or take that of a run with the same fingerprint to do it again.

        Args:
            path: the folder, existing or not.
            config: the resolved configuration, plain containers and scalars only.
            fingerprint: what the results depend on.
            overwrite: give up the run that is there, whatever its fingerprint.

        Raises:
            ConfigError: ``path`` is a file, or can't be made or written.
            ConfigError: another process works on the run in this folder.
            ConfigError: the folder holds files but no run.
            ConfigError: the folder holds a run with another fingerprint.
            ConfigError: another version of mapsr's run folders wrote it.
        """
        lock = FolderLock(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise ConfigError(
                f"can't make the run folder '{path}' ({error.strerror}); choose another output=."
            ) from error
        with ExitStack() as undo:
            undo.callback(lock.release)
            _make_room(path, fingerprint, overwrite)
            for folder in (path, *(path / name for name in _FOLDERS)):
                clear_partial(folder)
            document = {"version": VERSION, **config, _FINGERPRINT: dict(fingerprint)}
            write_text(path / "config.yaml", yaml.safe_dump(document, sort_keys=False))
            undo.pop_all()
        return cls(path, lock)

    def __enter__(self) -> Self:
        self._handler = logging.FileHandler(self.log, mode="w", encoding="utf-8")
        self._handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(message)s"))
        logging.getLogger("mapsr").addHandler(self._handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handler is not None:
            logging.getLogger("mapsr").removeHandler(self._handler)
            self._handler.close()
        failure = self.path / "failed.json"
        if error is None:
            failure.unlink(missing_ok=True)
        else:
            lines = traceback.format_exception(error)
            record = {"error": f"{type(error).__name__}: {error}", "trace": "".join(lines)}
            write_json(failure, {key: redact(text) for key, text in record.items()})
        if self._lock is not None:
            self._lock.release()

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return (self.path / "metrics.json").exists()

    def write_confusion(self, scenes: Mapping[str, Confusion], names: Sequence[str]) -> None:
        """Write confusion.csv, one line for each pair of classes of each scene.

        Args:
            scenes: scene name -> its confusion matrix.
            names: class names in legend order; predictions of nodata are called "nodata".
        """
        rows: list[list[object]] = [["scene", "truth", "predicted", "pixels"]]
        for scene, confusion in scenes.items():
            for truth, row in zip(names, confusion.counts.tolist(), strict=True):
                for predicted, pixels in zip([*names, "nodata"], row, strict=True):
                    rows.append([scene, truth, predicted, pixels])
        write_text(self.path / "confusion.csv", csv_text(rows))

    def write_record(self, record: Settings) -> None:
        """Write record.json: how the run was done."""
        write_json(self.path / "record.json", redact_all(record))

    def write_metrics(self, metrics: Settings) -> None:
        """Write metrics.json, the last thing of all: from now on the run is finished."""
        write_json(self.path / "metrics.json", dict(metrics))


def _read(path: Path) -> dict[str, object]:
    file = path / "config.yaml"
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise DamagedRunError(
            f"'{path}' does not hold a readable run: its config.yaml is missing or damaged; name "
            "the output folder of a run of mapsr."
        ) from error
    found = document.get("version") if isinstance(document, dict) else None
    if found != VERSION:
        raise ConfigError(
            f"'{file}' has version {found}, expected {VERSION}; read it with the mapsr that wrote "
            "it, or choose another output=."
        )
    read: dict[str, object] = document
    return read


def _holds_run(path: Path) -> bool:
    """Whether a folder holds a run; False where it is empty or absent.

    Raises:
        ConfigError: it holds something else.
    """
    if (path / "config.yaml").exists():
        return True
    # ours, though no run yet: the lock, and what a kill leaves of a configuration
    ours = (LOCK, ".config-")
    if path.is_dir() and not all(one.name.startswith(ours) for one in path.iterdir()):
        raise ConfigError(
            f"the folder '{path}' holds files that no run of mapsr made, and a run would mix "
            "with them; choose another output=, or empty it."
        )
    return False


def _check_same(path: Path, fingerprint: Settings) -> None:
    """Let only the same fingerprint into the folder of an earlier run.

    One that came to nothing, not even a checkpoint, goes on with data that were fixed since.
    """
    earlier = _read(path).get(_FINGERPRINT)
    if not isinstance(earlier, dict):
        earlier = {}
    if not any((path / name).exists() for name in ("metrics.json", "checkpoints")):
        earlier, fingerprint = ({**of, INPUTS: None} for of in (earlier, fingerprint))
    if fingerprint_hash(earlier) == fingerprint_hash(fingerprint):
        return
    now = json.loads(json.dumps(fingerprint))  # as it is when read back: tuples are lists
    raise ConfigError(
        f"the folder '{path}' holds a run with other settings: {differences(earlier, now)[0]}; "
        "choose another output=, or give up that run with overwrite=true."
    )


def _make_room(path: Path, fingerprint: Settings, overwrite: bool) -> None:
    """Remove what an earlier run made, as far as a new one must not find it, and nothing else."""
    if not _holds_run(path):
        return
    if overwrite:
        _read(path)  # of another version: not ours to clear
    else:
        _check_same(path, fingerprint)
    metrics = path / "metrics.json"
    # a finished run is done again from the beginning, an unfinished one goes on
    stale = metrics.exists()
    metrics.unlink(missing_ok=True)
    files, folders = (_FILES, _FOLDERS) if overwrite else ((), ("checkpoints",) if stale else ())
    for name in files:
        (path / name).unlink(missing_ok=True)
    for name in folders:
        if (path / name).is_dir():
            shutil.rmtree(path / name)
