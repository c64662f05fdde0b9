"""What the results of a run depend on: by its fingerprint a finished run is known again."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mapsr.changes import INPUTS
from mapsr.contents import contents_of
from mapsr.data import Scenes
from mapsr.geo.states import state_of
from mapsr.remote import RemotePath
from mapsr.settings import plain

Fingerprint = Mapping[str, Any]
# Bytes at either end of a file that tell it from others of its name and size.
_END = 1 << 16


def fingerprint_of(
    settings: object, keys: Sequence[str], scenes: Scenes | None
) -> dict[str, object]:
    """Gather all that a run's results depend on.

    Files of the data count by their names, sizes and ends, wherever they lie, and those on the
    network by their names and what their servers say of them; checkpoints, legends
    and crosswalks of one's own, and weights whose hash is not published, by their content.

    Args:
        settings: of a run.
        keys: which of them results depend on: groups, keys, and keys of groups such as
            "compute.precision". Fields of groups that are marked as aside don't count.
        scenes: of the run; None: they are drawn, as the settings say.

    Raises:
        WeightsError: a checkpoint that the settings name is not there.
    """
    found = {key: _content(settings, key) for key in keys}
    return found | ({INPUTS: _inputs(scenes)} if scenes else {})


def fingerprint_hash(fingerprint: Fingerprint) -> str:
    """Return the SHA-256 of a fingerprint, in canonical JSON."""
    canonical = json.dumps(fingerprint, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _content(settings: object, key: str) -> object:
    """The value of a key; a group by what it stands for."""
    head, _, rest = key.partition(".")
    value = getattr(settings, head)
    if rest:
        return plain(getattr(value, rest))
    if not hasattr(value, "__dataclass_fields__"):
        return plain(value)
    return contents_of(value, getattr(settings, "weights_folder", None))


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
        if isinstance(file, RemotePath):
            yield " ".join(map(str, (file.name, *state_of(file))))
            continue
        state = file.stat()
        ends = _ends_of(file, state.st_size, state.st_ino, state.st_mtime_ns)
        yield f"{file.name} {state.st_size} {ends}"


@lru_cache(1 << 16)
def _ends_of(file: Path, size: int, *_state: int) -> str:
    """One hash over both ends of a file, read once while it stays the same."""
    with file.open("rb") as stream:
        ends = stream.read(_END)
        stream.seek(max(0, size - _END))
        ends += stream.read(_END)
    return hashlib.sha256(ends).hexdigest()
