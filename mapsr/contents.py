"""What settings stand for: the files of one's own that they name count by their content."""

from functools import lru_cache
from pathlib import Path

from mapsr.errors import WeightsError
from mapsr.paths import is_there, local_path
from mapsr.settings import Plain, content_of
from mapsr.weights import find_entry, locate, sha256_of, weights_name


def contents_of(settings: object, weights_folder: str | None = None) -> Plain:
    """Settings of a group as plain containers, without what results don't depend on.

    Checkpoints, YAML files of one's own (legends, crosswalks) and weights whose hash is not
    published count by their content, wherever they lie.

    Args:
        settings: of a group.
        weights_folder: searched for weights before all others.

    Raises:
        WeightsError: a checkpoint that the settings name is not there.
    """
    kept = {name: _own_file(one) for name, one in content_of(settings).items()}
    path = kept.get("checkpoint")
    if isinstance(path, str):
        file = local_path(path, "checkpoint", WeightsError) if path.strip() else Path()
        if not (is_there(file) and file.is_file()):
            raise WeightsError(f"checkpoint '{path}' is not a file; name an existing one.")
        kept["checkpoint"] = _hash_of(file)
    elif (name := weights_name(settings)) and kept.get("pretrained", True):
        kept |= _unpublished(name, weights_folder)
    return kept


def _own_file(value: object) -> object:
    """A value; the content of a YAML file of one's own that it names."""
    if isinstance(value, list):
        return [_own_file(one) for one in value]
    if isinstance(value, str) and value.endswith((".yaml", ".yml")):
        path = Path(value).expanduser()
        if is_there(path) and path.is_file():
            return {"file": path.name, "sha256": _hash_of(path)}
    return value


def _unpublished(name: str, folder: str | None) -> Plain:
    """The hash of weights that have no published one, which any file of their name could be."""
    known = find_entry(name)
    if known is None or known.sha256:
        return {}
    path = locate(name, folder)
    return {"weights_sha256": path and _hash_of(path)}


def _hash_of(path: Path) -> str:
    state = path.stat()
    return _hashed(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(256)
def _hashed(path: Path, *_state: int) -> str:
    return sha256_of(path)
