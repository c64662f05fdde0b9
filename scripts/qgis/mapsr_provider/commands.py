"""Commands of mapsr from what a dialog holds, and what their output says; knows nothing of QGIS."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEGENDS = (
    *("nlcd", "esa_worldcover", "esri_10m", "esri_10m_2020", "from_glc10", "glc_fcs30"),
    *("dynamic_world", "sinolc1", "chesapeake_1m"),
)
"""Legends of the package that a coarse product may have."""
_PROGRESS = re.compile(r"(?P<what>.+): (?P<done>\d+)/(?P<total>\d+)(?P<rest>| in .+ s|, about .+)")
_FOREIGN = (
    *("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("DYLD_LIBRARY_PATH", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA"),
)
"""What QGIS sets for its own libraries, which those of another environment must not find."""


class Step(NamedTuple):
    """How far a stage of a command is.

    Attributes:
        text: for people.
        percent: of the stage, 0 to 100.
    """

    text: str
    percent: float


def program_words(command: str) -> list[str]:
    """Words of the command that the user set: a path, or words such as ``conda run -n gis mapsr``.

    Raises:
        ValueError: a quotation mark is left open, or there is no word.
    """
    text = command.strip()
    if os.path.exists(text):  # noqa: PTH110 - a path with spaces is one word
        return [text]
    words = shlex.split(text, posix=os.name == "posix")
    if not words:
        raise ValueError("the command is empty")
    return words


def map_words(values: Mapping[str, str | bool | None], further: str = "") -> list[str]:
    """Words of `mapsr map`.

    Args:
        values: by key; what is None, empty or False is left out.
        further: words that the user added, such as ``method=mapsr windows.chip=224``.

    Raises:
        ValueError: there is neither a fitted method nor a product to fit one on, or a quotation
            mark in ``further`` is left open.
    """
    if not values.get("fitted") and not values.get("coarse"):
        raise ValueError("give a coarse product to fit a method on, or a fitted method")
    kept = dict(values)
    if kept.get("fitted"):
        kept.pop("legend.coarse", None)  # the method knows its own
    return ["map", *_settings(kept), *shlex.split(further)]


def asked_words(command: str, map_: str, values: Mapping[str, str | bool | None]) -> list[str]:
    """Words of a command that asks a map, such as `mapsr areas`; see ``map_words``."""
    return [command, map_, *_settings(_with_legend(values))]


def step_of(line: str) -> Step | None:
    """What a line of output says of the progress; None where it says something else."""
    found = _PROGRESS.fullmatch(line.strip())
    if found is None or not int(found["total"]):
        return None
    rest = found["rest"].lstrip(", ")
    text = f"{found['what']}: {found['done']} of {found['total']}" + (f", {rest}" if rest else "")
    return Step(text, min(100.0, 100.0 * int(found["done"]) / int(found["total"])))


def failure_of(status: int, lines: Sequence[str]) -> str:
    """Why a command failed, in a sentence.

    Args:
        status: that it ended with.
        lines: what it said, the last one last.
    """
    for line in reversed(lines):
        if line.startswith("error: "):
            return line[len("error: ") :]
    said = next((line for line in reversed(lines) if line.strip() and step_of(line) is None), "")
    ended = f"by signal {-status}" if status < 0 else f"with status {status}"
    return f"mapsr ended {ended}" + (f": {said}" if said else " and said nothing.")


def absent_command(command: str, reason: str) -> str:
    """What to do about a command that can't be started."""
    return (
        f"'{command}' can't be started ({reason}): install mapsr in an environment of Python, and "
        "set its command under Settings, Options, Processing, Providers, mapsr."
    )


def child_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Environment variables of a command: those of QGIS without what is for its libraries alone."""
    kept = {key: value for key, value in own.items() if key not in _FOREIGN}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def _with_legend(values: Mapping[str, str | bool | None]) -> dict[str, str | bool | None]:
    """Leave the legend of a product out where there is no product."""
    kept = dict(values)
    if not kept.get("product"):
        kept.pop("product_legend", None)
    return kept


def _settings(values: Mapping[str, str | bool | None]) -> list[str]:
    shown = {True: "true"}
    return [f"{key}={shown.get(value, value)}" for key, value in values.items() if value]
