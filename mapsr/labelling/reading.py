"""Strict reading of YAML: each mistake is named by file and key, with the nearest right word."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mapsr.errors import ConfigError, near_match
from mapsr.strict_yaml import read_strictly

Value = TypeVar("Value")

_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file that holds a mapping.

    Raises:
        ConfigError: as ``read_strictly``, or it is not a mapping.
    """
    entries = read_strictly(path)
    if not isinstance(entries, dict):
        raise ConfigError(f"{path} holds {entries!r}, expected a mapping.")
    return entries


@dataclass(frozen=True)
class Section:
    """One mapping of a file.

    Raises:
        ConfigError: it is not a mapping, or holds a key that is not known.
    """

    where: str
    """File and key, for messages."""
    entries: Mapping[str, Any]
    """What the mapping holds."""
    known: tuple[str, ...]
    """Keys that it may hold."""

    def __post_init__(self) -> None:
        if not isinstance(self.entries, Mapping):
            raise ConfigError(
                f"{self.where} is {self.entries!r}, expected the keys {', '.join(self.known)}."
            )
        for key in self.entries:
            if key not in self.known:
                raise ConfigError(
                    f"{self.where}: unknown key '{key}', expected one of {', '.join(self.known)}."
                    f"{near_match(str(key), self.known)}"
                )

    def get(self, key: str, kind: type[Value]) -> Value | None:
        """Return a value, None where the key is absent or null.

        Raises:
            ConfigError: it is of another type; a whole number is a number, true is none.
        """
        value = self.entries.get(key)
        if value is None:
            return None
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.mistake(key, value, _WORDS[kind])
        return value

    def need(self, key: str, kind: type[Value]) -> Value:
        """Return a value that must be there; raises as ``get``, and where it is not."""
        value = self.get(key, kind)
        if value is None:
            raise self.mistake(key, None, _WORDS[kind])
        return value

    def number(self, key: str, low: float, high: float) -> float | None:
        """Return a number in [low, high], None where the key is absent.

        Raises:
            ConfigError: it is outside, or not a number.
        """
        value = self.get(key, float)
        if value is not None and not low <= value <= high:
            raise self.mistake(key, value, f"a number in [{low:g}, {high:g}]")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a text or a list of texts; empty where the key is absent."""
        return tuple(as_texts(f"{self.where}.{key}", self.entries.get(key)))

    def mistake(self, key: str, value: object, expected: str) -> ConfigError:
        """Return the error of a wrong value."""
        return ConfigError(f"{self.where}.{key} is {value!r}, expected {expected}.")


def as_texts(where: str, value: object) -> list[str]:
    """Return a text, a list of texts or null as a list.

    Raises:
        ConfigError: it is something else.
    """
    some = [] if value is None else value if isinstance(value, list) else [value]
    for one in some:
        if not isinstance(one, str):
            raise ConfigError(
                f"{where} holds {one!r}, expected text or a list of texts; quote it if it is meant."
            )
    return list(some)


def tenths(where: str, value: object) -> int:
    """Return a weight or threshold as printed (0.3) in whole tenths (3).

    Raises:
        ConfigError: it is not a multiple of 0.1, or not in 0.1..10.
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    whole = round(number * 10)
    if abs(number * 10 - whole) > 1e-6 or not 1 <= whole <= 100:
        raise ConfigError(f"{where} is {value!r}, expected tenths: 0.1, 0.2 and so on up to 10.")
    return whole


def one_of(where: str, value: str, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        ConfigError: it is not; with the nearest one.
    """
    choices = list(choices)
    if value not in choices:
        raise ConfigError(
            f"{where} is '{value}', expected one of {', '.join(choices)}."
            f"{near_match(value, choices)}"
        )
    return value
