"""Pages of the documentation that are read from the code: commands, keys, groups, rooms."""

import argparse
import importlib
import inspect
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mapsr.cli.parsers import Parts, parts_of, takes_value
from mapsr.reference import Key, choice_keys, choices, command_groups, command_keys
from mapsr.settings import CHOICES

ROOMS = {
    "legends": "Classes, codes and colours of products, and crosswalks between them.",
    "geo": "Rasters, grids, windows and vectors.",
    "data": "Scenes and where they come from.",
    "features": "Encoders and the tokens that they give.",
    "upsample": "Operators from tokens to pixels.",
    "prompts": "Probes, prompts, EM, and the product as a prior.",
    "refine": "Superpixels and the graph over them.",
    "networks": "Networks that are trained.",
    "training": "How they are trained.",
    "methods": "From labels to a fitted method, to a file and back.",
    "mapping": "From a fitted method to maps of any size.",
    "evaluation": "Confusion, scores, intervals, calibration.",
    "measure": "Areas, samples, estimates, changes, patches, polygons.",
    "experiment": "One run: fit, map, judge.",
}
"""Rooms that the site shows, with what they are for."""

OFFERED = {
    "measure": (
        *("of_map.ask_areas", "settings.AreaSettings", "drawing.draw_sample"),
        *("drawing.SampleSettings", "scoring.score_map", "scoring.ScoreSettings"),
        *("changes.map_change", "changes.ChangeSettings", "sieving.sieve_map"),
        *("sieving.SieveSettings", "outlining.outline_map", "outlining.VectorSettings"),
    ),
}
"""What rooms offer that do not say so themselves."""

_WIDTH = 92
_SIGNS = re.compile(r"([\\*_<>\[\]#|])")


def commands_page(parser: argparse.ArgumentParser) -> str:
    """Describe every command of a parser: usage, arguments, options and examples."""
    lines = ["# Commands", "", _text(parser.description or ""), "", *_usage(parser)]
    parts = parts_of(parser)
    rows = [(f"[{name}](#mapsr-{name})", _text(parts.summaries[name])) for name in parts.commands]
    lines += [*_table(("command", "what it does"), rows), *_arguments(parts)]
    for name, command in parts.commands.items():
        lines += _command(command, parts.summaries[name], 2)
    return "\n".join(lines) + "\n"


def keys_page(commands: dict[str, type]) -> str:
    """List the keys of every command that are in no group."""
    lines = ["# Keys of the commands", ""]
    lines += ["`key=value`; `mapsr help KEY` says the same in the terminal.", ""]
    for name, cls in commands.items():
        lines += [f"## mapsr {name}", "", *_about(cls), *_keys(command_keys(name, cls))]
        if groups := command_groups(cls):
            links = ", ".join(f"[{one}](groups.md#{one})" for one in groups)
            lines += [f"Groups: {links}.", ""]
    return "\n".join(lines)


def groups_page(commands: dict[str, type]) -> str:
    """List the choices of every group, and the keys of each kind."""
    lines = ["# Groups and their keys", ""]
    lines += ["`GROUP=CHOICE` takes a choice, `GROUP.KEY=value` changes a key of it.", ""]
    used = {
        group: [name for name, cls in commands.items() if group in command_groups(cls)]
        for group in CHOICES
    }
    for group in sorted(CHOICES):
        names = ", ".join(f"[mapsr {name}](keys.md#mapsr-{name})" for name in used[group])
        lines += [f"## {group}", "", *([f"Of {names}.", ""] if names else [])]
        rows = [(f"`{one.name}`", one.kind or "", _text(one.meaning)) for one in choices(group)]
        lines += _table(("choice", "kind", "meaning"), rows)
        for kind in CHOICES[group]:
            lines += [f"### {group}, kind {kind}", "", *_about(CHOICES[group][kind])]
            lines += _keys(choice_keys(group, kind))
    return "\n".join(lines)


def room_pages() -> dict[str, str]:
    """Show what each room offers, by what its docstrings say: path below reference/ -> page."""
    lines = ["# Rooms of the package", ""]
    lines += [
        "The package is rooms, each of which uses those before it alone. What a room offers is"
    ]
    lines += ["imported from it: `from mapsr.legends import load_legend`.", ""]
    rows = [(f"[mapsr.{room}](rooms/{room}.md)", purpose) for room, purpose in ROOMS.items()]
    pages = {"rooms.md": "\n".join([*lines, *_table(("room", "what for"), rows)])}
    for room, purpose in ROOMS.items():
        offered = OFFERED.get(room) or importlib.import_module(f"mapsr.{room}").__all__
        shown = [f"::: mapsr.{room}.{name}\n" for name in offered]
        pages[f"rooms/{room}.md"] = "\n".join([f"# mapsr.{room}\n\n{purpose}\n", *shown])
    return pages


def notebook_page(path: Path) -> str:
    """Show a notebook as a page: its texts, and its code as fences."""
    lines = [f"[This page as a notebook]({path.name}){{ download }}", ""]
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"]).rstrip()
        if cell["cell_type"] == "markdown":
            lines += [source, ""]
        else:
            lines += ["```python", source, "```", ""]
    head = next(number for number, line in enumerate(lines) if line.startswith("# "))
    return "\n".join([*lines[head].splitlines(), "", *lines[:head], *lines[head + 1 :]])


def _command(parser: argparse.ArgumentParser, summary: str, level: int) -> list[str]:
    parts = parts_of(parser)
    said = parser.description or f"{summary[:1].upper()}{summary[1:]}."
    lines = [f"{'#' * level} {parser.prog}", "", _text(said), ""]
    lines += [*_usage(parser), *_arguments(parts)]
    if parser.epilog:
        plain = parser.formatter_class is argparse.RawDescriptionHelpFormatter
        shown = ["```text", parser.epilog.rstrip(), "```"] if plain else [_text(parser.epilog)]
        lines += [*shown, ""]
    for name, command in parts.commands.items():
        lines += _command(command, parts.summaries[name], level + 1)
    return lines


def _usage(parser: argparse.ArgumentParser) -> list[str]:
    formatter = argparse.HelpFormatter(parser.prog, width=_WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    return ["```text", formatter.format_help().strip(), "```", ""]


def _arguments(parts: Parts) -> list[str]:
    rows = []
    for action in (*parts.positionals, *parts.options):
        names = action.option_strings or [_shown(action)]
        value = f" {_shown(action)}" if action.option_strings and takes_value(action) else ""
        shown = ", ".join(f"`{one}{value}`" for one in names)
        said = action.help or ""
        if action.default not in (None, False, [], 0, argparse.SUPPRESS) and "default" not in said:
            said += f" (default: {action.default})"
        rows.append((shown, _text(said)))
    return _table(("argument", "what it is"), rows) if rows else []


def _shown(action: argparse.Action) -> str:
    if action.choices:
        return ", ".join(map(str, action.choices))
    return str(action.metavar or (action.dest.upper() if action.option_strings else action.dest))


def _about(cls: type) -> list[str]:
    first = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
    return [_text(" ".join(first.split())), ""] if first else []


def _keys(keys: Sequence[Key]) -> list[str]:
    rows = [
        (
            f"`{key.name}`",
            f"`{key.type}`",
            "*has to be given*" if key.default is None else f"`{key.default or '&quot;&quot;'}`",
            _text(" ".join(key.meaning.split())),
        )
        for key in keys
    ]
    return _table(("key", "type", "default", "meaning"), rows) if rows else ["It has no keys.", ""]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    body = ["| " + " | ".join(cell.replace("\n", " ") for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *body, ""]


def _text(text: str) -> str:
    """A plain text as Markdown: only code between backquotes is more than it says."""
    parts = re.split(r"(`+[^`]*`+)", " ".join(text.split()))
    return "".join(
        one if number % 2 else _SIGNS.sub(r"\\\1", one) for number, one in enumerate(parts)
    )
