"""YAML files of the package or of a user, checked strictly."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mapsr.errors import LegendError, near_match
from mapsr.strict_yaml import read_strictly

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
    return checked(path, read_strictly(path, LegendError), keys)


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
