"""The run folder: where a run puts what it makes, and how a finished one is told."""

import csv
import hashlib
import io
import json
import logging
import shutil
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from mapsr.errors import ConfigError
from mapsr.evaluation.confusion import Confusion
from mapsr.files import write_json, write_text

VERSION = 1

Settings = Mapping[str, object]

# what a run makes, metrics first: without them nobody takes the rest for a finished run
_FILES = ("metrics.json", "confusion.csv", "record.json", "prompts.safetensors", "failed.json")
_FOLDERS = ("maps", "figures", "wandb")


def science_hash(science: Settings) -> str:
    """Return the SHA-256 of the settings that results depend on, in canonical JSON."""
    canonical = json.dumps(science, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_config(path: Path) -> dict[str, object]:
    """Return the resolved configuration of a run folder.

    Args:
        path: a run folder.

    Raises:
        ConfigError: the folder holds no run, or its config.yaml is unreadable.
        ConfigError: another version of mapsr's run folders wrote it.
    """
    document = _read(path)
    return {key: value for key, value in document.items() if key not in ("version", "science")}


class RunFolder:
    """A folder that belongs to one run; a context that logs to it and records a failure.

    Only ``metrics.json``, written last, marks a finished run. A run that raises leaves
    ``failed.json`` with the error and its trace, until a run in the same folder succeeds.

    Attributes:
        path: the folder itself.
        maps: folder for map rasters.
        figures: folder for pictures.
        prompts: file for the class prompts.
        log: file with what was logged inside the context.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.maps = path / "maps"
        self.figures = path / "figures"
        self.prompts = path / "prompts.safetensors"
        self.log = path / "log.txt"
        self._handler: logging.Handler | None = None

    @classmethod
    def open(cls, path: Path, config: Settings, science: Settings, overwrite: bool = False) -> Self:
        """Make the folder of a run, or take that of a run with the same science to do it again.

        Args:
            path: the folder, existing or not.
            config: the resolved configuration, plain containers and scalars only.
            science: the part of it that results depend on.
            overwrite: give up the results of a run with other science that is there.

        Raises:
            ConfigError: ``path`` is a file, or can't be made.
            ConfigError: the folder holds files but no run.
            ConfigError: the folder holds a run with other scientific settings.
            ConfigError: another version of mapsr's run folders wrote it.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"can't make the run folder '{path}' ({error.strerror}); choose another output=."
            ) from error
        if (path / "config.yaml").exists():
            _check_same_science(path, science, overwrite)
            (path / "metrics.json").unlink(missing_ok=True)
        elif any(path.iterdir()):
            raise ConfigError(
                f"the folder '{path}' holds files that no run of mapsr made, and a run would mix "
                "with them; choose another output=, or empty it."
            )
        document = {"version": VERSION, **config, "science": dict(science)}
        write_text(path / "config.yaml", yaml.safe_dump(document, sort_keys=False))
        return cls(path)

    def __enter__(self) -> Self:
        self._handler = logging.FileHandler(self.log, mode="w", encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
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
            write_json(failure, record)

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
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["scene", "truth", "predicted", "pixels"])
        for scene, confusion in scenes.items():
            for truth, row in zip(names, confusion.counts.tolist(), strict=True):
                for predicted, pixels in zip([*names, "nodata"], row, strict=True):
                    table.writerow([scene, truth, predicted, pixels])
        write_text(self.path / "confusion.csv", text.getvalue())

    def write_record(self, record: Settings) -> None:
        """Write record.json: how the run was done."""
        write_json(self.path / "record.json", dict(record))

    def write_metrics(self, metrics: Settings) -> None:
        """Write metrics.json, the last thing of all: from now on the run is finished."""
        write_json(self.path / "metrics.json", dict(metrics))


def _read(path: Path) -> dict[str, object]:
    file = path / "config.yaml"
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"'{path}' holds no readable run: its config.yaml is missing or damaged; name the "
            "output folder of a run of mapsr."
        ) from error
    found = document.get("version") if isinstance(document, dict) else None
    if found != VERSION:
        raise ConfigError(
            f"'{file}' has version {found}, expected {VERSION}; read it with the mapsr that wrote "
            "it, or choose another output=."
        )
    read: dict[str, object] = document
    return read


def _check_same_science(path: Path, science: Settings, overwrite: bool) -> None:
    """Let only the same science, or an explicit overwrite, into the folder of an earlier run."""
    earlier = _read(path).get("science")
    if not isinstance(earlier, dict):
        earlier = {}
    if science_hash(earlier) == science_hash(science):
        return
    if overwrite:
        _clear(path)
        return
    old, new = dict(_leaves(earlier)), dict(_leaves(science))
    key = next(k for k in [*new, *old] if old.get(k, "unset") != new.get(k, "unset"))
    raise ConfigError(
        f"the folder '{path}' holds a run with other settings: {key} is {old.get(key, 'unset')} "
        f"there and {new.get(key, 'unset')} now; choose another output=, or give up that run with "
        "overwrite=true."
    )


def _clear(path: Path) -> None:
    """Remove what an earlier run made, and nothing else."""
    for name in _FILES:
        (path / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        if (path / name).is_dir():
            shutil.rmtree(path / name)


def _leaves(settings: Settings, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each setting by its dotted key, as JSON."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value)
