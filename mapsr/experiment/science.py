"""What the results of a run depend on: by it a finished run is known again."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from mapsr.data import Scenes
from mapsr.errors import WeightsError
from mapsr.experiment.assemble import find
from mapsr.experiment.settings import RunSettings
from mapsr.methods.kmeans import KMeansSettings
from mapsr.methods.network import NetworkMethodSettings
from mapsr.tracking import science_hash
from mapsr.tracking.folder import INPUTS
from mapsr.weights import sha256_of

Plain = Mapping[str, object]
_COMMON = ("data", "legend", "windows", "method")
# Keys within groups that say where things are or how fast they go.
_ASIDE = {"root", "workers", "checkpoint_every"}
# Bytes at either end of a file that tell it from others of its name and size.
_END = 1 << 16


def science_of(
    settings: RunSettings, config: Plain, scenes: Scenes | None = None
) -> dict[str, object]:
    """Gather all that a run's results depend on.

    Device, workers, folders, loggers and the settings of other methods are left out; files count by
    their names, sizes and ends, wherever they lie, and checkpoints by their content.

    Args:
        settings: of the run.
        config: the same as plain containers.
        scenes: of the run, where they are found already; else they are looked for.

    Raises:
        DataError: the scenes are not there.
        WeightsError: a checkpoint that the settings name is not there.
    """
    groups = (*_COMMON, *_groups(settings))
    science: dict[str, object] = {group: _content(config[group]) for group in groups}
    science |= {"seed": settings.seed, "transductive": settings.transductive}
    if isinstance(settings.method, NetworkMethodSettings):
        science["recipe"] = settings.recipe
    if not isinstance(settings.method, KMeansSettings):
        science["precision"] = settings.trainer.precision
    scenes = scenes or find(settings)
    if scenes:
        science[INPUTS] = _inputs(scenes)
    return science


def run_path(settings: RunSettings, science: Plain) -> Path:
    """Where a run's folder is, unless ``output`` says so: outputs/runs/NAME-HASH-sSEED."""
    if settings.output:
        return Path(settings.output)
    return Path("outputs/runs") / f"{settings.name}-{science_hash(science)[:8]}-s{settings.seed}"


def _groups(settings: RunSettings) -> tuple[str, ...]:
    """The groups that only this method looks at."""
    if isinstance(settings.method, NetworkMethodSettings):
        return ("network", "training")
    if isinstance(settings.method, KMeansSettings):
        return ("backbone", "upsampler") if settings.method.features == "encoder" else ()
    return ("backbone", "upsampler", "prompts", "refine")


def _content(group: object) -> object:
    """A group without what results don't depend on, and hashes in place of checkpoints' paths."""
    if not isinstance(group, Mapping):
        return group
    kept = {key: value for key, value in group.items() if key not in _ASIDE}
    path = kept.get("checkpoint")
    if isinstance(path, str):
        file = Path(path).expanduser()
        if not file.is_file():
            raise WeightsError(f"checkpoint '{path}' is no file; name an existing one.")
        kept["checkpoint"] = sha256_of(file)
    return kept


def _inputs(scenes: Scenes) -> str:
    """One hash over which files are fitted on and scored."""
    whole = hashlib.sha256()
    for part in (scenes.fit, scenes.score):
        for scene in part:
            files = (scene.image, scene.coarse, scene.truth, *scene.others)
            whole.update(f"{scene.name}\n{'+'.join(_states(files))}\n".encode())
        whole.update(b"--\n")
    return whole.hexdigest()


def _states(files: Iterable[Path | None]) -> Iterable[str]:
    for file in files:
        if file is None:
            yield "none"
            continue
        size = file.stat().st_size
        with file.open("rb") as stream:
            ends = stream.read(_END)
            stream.seek(max(0, size - _END))
            ends += stream.read(_END)
        yield f"{file.name} {size} {hashlib.sha256(ends).hexdigest()}"
