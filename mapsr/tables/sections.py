"""Read a YAML file strictly: each key is known, given once and of its kind, or an error says so."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mapsr.errors import ConfigError, near_match
from mapsr.strict_yaml import read_strictly


class Section:
    """A mapping of a file, whose values are asked for by kind.

    Attributes:
        values: key -> value, as YAML gives it.
        where: file and place in it, for errors.
    """

    def __init__(self, values: object, where: str, known: Iterable[str]) -> None:
        """Take a mapping whose keys are all known.

        Raises:
            ConfigError: ``values`` is not a mapping with words for keys.
            ConfigError: a key is not among ``known``; the nearest one is named.
        """
        if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
            raise ConfigError(f"{where} is {_shown(values)}, expected keys with values.")
        known = sorted(known)
        for key in values:
            if key not in known:
                raise ConfigError(
                    f"{where}: unknown key '{key}', expected one of {', '.join(known)}."
                    f"{near_match(key, known)}"
                )
        self.values: dict[str, Any] = values
        self.where = where

    def error(self, key: str, expected: str) -> ConfigError:
        """Make the error of a key whose value does not fit."""
        found = _shown(self.values[key]) if key in self.values else "missing"
        return ConfigError(f"{self.where}: {key} is {found}, expected {expected}.")

    def text(self, key: str, otherwise: str | None = None) -> str:
        """Return a text.

        Raises:
            ConfigError: it is not a text, or absent without an ``otherwise``.
        """
        value = self.values.get(key, otherwise)
        if not isinstance(value, str):
            raise self.error(key, "a text")
        return value.strip()

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty where the key is absent.

        Raises:
            ConfigError: it is not a list of texts.
        """
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.error(key, "a list of texts")
        return tuple(value)

    def number(self, key: str, low: float, high: float) -> float | None:
        """Return a number in [low, high], None where the key is absent.

        Raises:
            ConfigError: it is not a number, or outside.
        """
        if key not in self.values:
            return None
        value = self.values[key]
        if not is_number(value) or not low <= value <= high:
            raise self.error(key, f"a number in [{low:g}, {high:g}]")
        return float(value)

    def wholes(self, key: str, otherwise: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return a list of whole numbers of at least 0.

        Raises:
            ConfigError: it is not such a list, or absent without an ``otherwise``.
        """
        if key not in self.values and otherwise is not None:
            return otherwise
        value = self.values.get(key)
        whole = isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)
        if not whole:
            raise self.error(key, "a list of whole numbers of at least 0")
        return tuple(self.values[key])

    def sections(self, key: str, known: Iterable[str]) -> Iterator["Section"]:
        """Yield the mappings of a list, none where the key is absent.

        Raises:
            ConfigError: it is not a list, or an entry is not a mapping of known keys.
        """
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise self.error(key, "a list")
        known = list(known)
        for number, entry in enumerate(value):
            yield Section(entry, f"{self.where}: {key}[{number}]", known)


def read_section(path: Path, known: Iterable[str]) -> Section:
    """Read a YAML file that is one mapping of known keys.

    Raises:
        ConfigError: it can't be read, is not YAML, gives a key twice or one that is not known.
    """
    return Section(read_strictly(path), str(path), known)


def is_number(value: object) -> bool:
    """Tell whether a value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
