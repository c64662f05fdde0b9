"""YAML files of the package or of a user, checked strictly."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mapsr.errors import LegendError, near_match

_WORDS = {
    str: "text",
    int: "an integer",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}


def read_yaml(path: Path, keys: Mapping[str, type]) -> dict[str, Any]:
    """Return the content of a YAML file, which must be a mapping that holds exactly ``keys``.

    Raises:
        LegendError: the file can't be read or is not valid YAML, a key is repeated, unknown,
            missing or of another type.
    """
    try:
        text = path.read_text(encoding="utf-8")
        entries = yaml.safe_load(text)
        repeated = _repeated_key(yaml.compose(text, Loader=yaml.SafeLoader))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LegendError(f"There is no file {path}; check the path.") from error
    except OSError as error:
        raise LegendError(f"Can't read {path}: {error.strerror}; check path and rights.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LegendError(f"{path} is not valid YAML: {error}") from error
    except ValueError as error:  # NUL, or text that no file system takes
        raise LegendError(f"There is no file {str(path)!a}: {error}.") from error
    if repeated is not None:
        raise LegendError(
            f"{path}: the key '{repeated}' stands twice in one mapping, expected it once; remove "
            "the other."
        )
    return checked(path, entries, keys)


def checked(path: Path, entries: object, keys: Mapping[str, type]) -> dict[str, Any]:
    """Return ``entries`` if it is a mapping that holds exactly ``keys``, of their types.

    Raises:
        LegendError: it is not, or a key is unknown, missing or of another type.
    """
    if not isinstance(entries, dict):
        raise LegendError(f"{path}: got {entries!r}, expected the keys {', '.join(keys)}.")
    for key in entries:
        if key not in keys:
            raise LegendError(
                f"{path}: unknown key '{key}', expected one of {', '.join(keys)}."
                f"{near_match(str(key), keys)}"
            )
    for key, kind in keys.items():
        value = entries.get(key)
        # only a class may go without: it is then left out of every map
        if type(value) is not kind and not (key == "target" and value is None):
            raise LegendError(
                f"{path}: '{key}' is {value!r} in {entries.get('name', 'the file')!r}, "
                f"expected {_WORDS[kind]}."
            )
    return entries


def _repeated_key(root: yaml.Node | None) -> str | None:
    """Return a key that a mapping holds twice: YAML would silently keep the last one."""
    nodes = [root]
    for node in nodes:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        for key, times in Counter(str(key.value) for key, _ in pairs).most_common(1):
            if times > 1:
                return key
        inner = node.value if isinstance(node, yaml.SequenceNode) else [value for _, value in pairs]
        # an alias may point back to a node that is listed already
        nodes += [one for one in inner if isinstance(one, yaml.CollectionNode) and one not in nodes]
    return None
