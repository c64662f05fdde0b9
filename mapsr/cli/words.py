"""key=value words of commands that need no configuration groups, as frozen settings."""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

from mapsr.errors import ConfigError, near_match
from mapsr.settings import MISSING

Settings = TypeVar("Settings")
_READ: dict[type, Callable[[str], Any]] = {int: int, float: float, str: str}
_TRUTH = {"true": True, "false": False}


def add_map_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    description: str,
    examples: Sequence[str],
    legend: str = "legend",
) -> argparse.ArgumentParser:
    """Add a command that asks one map: ``mapsr NAME MAP key=value ... [--json]``.

    Args:
        commands: of the command line.
        name: of the command.
        run: what it does.
        summary: a line for the list of commands.
        description: what it does and gives.
        examples: of calls, a line each.
        legend: key of the map's legend.

    Returns:
        The parser, which has the map and no further words yet; see ``add_words``.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog="examples:\n  " + "\n  ".join(examples) + f"\n\nkeys: mapsr help {name}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("map", help=f"a map, or any raster of labels with {legend}=NAME")
    parser.set_defaults(run=run)
    return parser


def add_words(parser: argparse.ArgumentParser) -> None:
    """Let a command take settings and ``--json``."""
    parser.add_argument("settings", nargs="*", metavar="key=value", help="see mapsr help")
    parser.add_argument("--json", action="store_true", help="print the record, as one line of JSON")


def read_words(cls: type[Settings], command: str, words: Sequence[str], **given: str) -> Settings:
    """Make the settings of a command from its words.

    Args:
        cls: a frozen dataclass of texts, numbers and truths, each perhaps or None.
        command: its name, for messages.
        words: as key=value.
        given: values that the command line takes by place.

    Raises:
        ConfigError: a word is not key=value, the key is unknown or given twice, a value is of
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
