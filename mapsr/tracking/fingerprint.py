"""What the results of a run depend on: by its fingerprint a finished run is known again."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mapsr.data import Scenes
from mapsr.differences import INPUTS
from mapsr.errors import WeightsError
from mapsr.settings import content_of, plain
from mapsr.weights import REGISTRY, entry, locate, sha256_of

Fingerprint = Mapping[str, Any]
# Bytes at either end of a file that tell it from others of its name and size.
_END = 1 << 16


def fingerprint_of(
    settings: object, keys: Sequence[str], scenes: Scenes | None
) -> dict[str, object]:
    """Gather all that a run's results depend on.

    Files of the data count by their names, sizes and ends, wherever they lie; checkpoints, legends
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
    folder = getattr(settings, "weights_folder", None)
    for kept in found.values():
        if isinstance(kept, dict) and isinstance(kept.get("weights"), str):
            kept |= _weights(kept, folder)
    return found | ({INPUTS: _inputs(scenes)} if scenes else {})


def fingerprint_hash(fingerprint: Fingerprint) -> str:
    """Return the SHA-256 of a fingerprint, in canonical JSON."""
    canonical = json.dumps(fingerprint, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _content(settings: object, key: str) -> object:
    """The value of a key; a group without what is aside, its checkpoint by a hash."""
    head, _, rest = key.partition(".")
    value = getattr(settings, head)
    if rest:
        return plain(getattr(value, rest))
    if not hasattr(value, "__dataclass_fields__"):
        return plain(value)
    kept = {name: _own_file(one) for name, one in content_of(value).items()}
    path = kept.get("checkpoint")
    if isinstance(path, str):
        file = Path(path).expanduser()
        if not file.is_file():
            raise WeightsError(f"checkpoint '{path}' is not a file; name an existing one.")
        kept["checkpoint"] = _hash_of(file)
    return kept


def _own_file(value: object) -> object:
    """A value; the content of a YAML file of one's own that it names, wherever it lies."""
    if isinstance(value, list):
        return [_own_file(one) for one in value]
    if isinstance(value, str) and value.endswith((".yaml", ".yml")):
        path = Path(value).expanduser()
        if path.is_file():
            return {"file": path.name, "sha256": _hash_of(path)}
    return value


def _weights(kept: Mapping[str, object], folder: str | None) -> dict[str, object]:
    """The hash of weights that have no published one, which any file of their name could be."""
    name = str(kept["weights"])
    if kept.get("checkpoint") or not kept.get("pretrained", True):
        return {}
    if name not in REGISTRY or entry(name).sha256:
        return {}
    path = locate(name, folder)
    return {"weights_sha256": path and _hash_of(path)}


def _hash_of(path: Path) -> str:
    state = path.stat()
    return _hashed(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(256)
def _hashed(path: Path, *_state: int) -> str:
    return sha256_of(path)


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
