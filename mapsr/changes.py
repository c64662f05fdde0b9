"""In which values two descriptions of one thing differ: of a job, a run, a training, a fit."""

from collections.abc import Mapping
from typing import Any

INPUTS = "inputs"
"""Key of the files that something was made from."""


def differences(then: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Say in which values two descriptions differ, one clause for each, in the order of keys.

    Of a group of which another choice is taken, the choice alone is named.
    """
    found = []
    for key in sorted({*then, *now}):
        old, new = then.get(key), now.get(key)
        name = f"{prefix}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if old.get("kind") != new.get("kind"):  # another choice: its keys are others
                found.append(_changed(f"{name}.kind", old.get("kind"), new.get("kind")))
                continue
            found += differences(old, new, f"{name}.")
        elif old != new:
            found.append(_changed(name, old, new))
    return found


def _changed(name: str, old: object, new: object) -> str:
    file = name.removeprefix(f"{INPUTS}.")
    if file == name:
        return f"{name} is {_shown(new)}, was {_shown(old)}"
    if old is None or new is None:
        return f"{file} {'came to' if old is None else 'is no longer among'} the inputs"
    return f"{file} has changed since then"


def _shown(value: object) -> object:
    return "unset" if value is None else value
