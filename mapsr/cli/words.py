"""key=value words of commands that need no configuration groups, as frozen settings."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

from mapsr.errors import ConfigError, near_match
from mapsr.settings import MISSING

Settings = TypeVar("Settings")
_READ: dict[type, Callable[[str], Any]] = {int: int, float: float, str: str}
_TRUTH = {"true": True, "false": False}


def read_words(cls: type[Settings], command: str, words: Sequence[str], **given: str) -> Settings:
    """Make the settings of a command from its words.

    Args:
        cls: a frozen dataclass of texts, numbers and truths, each perhaps or None.
        command: its name, for messages.
        words: as key=value.
        given: values that the command line takes by place.

    Raises:
        ConfigError: a word is no key=value, the key is unknown or given twice, a value is of
            another type or missing, or the class refuses it.
    """
    fields = {one.name: one for one in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = dict(given)
    keys = [name for name in fields if name not in given]
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in keys:
            raise ConfigError(
                f"'{word}' is not a setting of `mapsr {command}`, expected key=value with one of "
                f"{', '.join(keys)}.{near_match(key, keys)}"
            )
        if key in values:
            raise ConfigError(f"{key}= is given twice to `mapsr {command}`; leave one out.")
        values[key] = _value(fields[key], value)
    for name, one in fields.items():
        if values.get(name, one.default) in (dataclasses.MISSING, MISSING):
            raise ConfigError(f"{name} has no value: give {name}=... .")
    return cls(**values)


def _value(field: "dataclasses.Field[Any]", text: str) -> object:
    kinds = get_args(field.type) or (field.type,)
    if text == "null" and type(None) in kinds:
        return None
    if bool in kinds and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    for kind, read in _READ.items():
        if kind in kinds:
            try:
                return read(text)
            except ValueError:
                continue
    wanted = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
    raise ConfigError(f"{field.name}={text} can't be read, expected a value of type {wanted}.")
