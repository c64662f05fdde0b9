"""`mapsr help KEY`: what a key, a group or a choice means."""

import argparse
import importlib
import textwrap

from mapsr.cli.console import say
from mapsr.cli.outline import SETTINGS


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "help",
        help="what a key means",
        description="Say what a key, a group or a choice of a group means, with type and default. "
        "Without one, name the groups.",
        epilog="examples: mapsr help prompts; mapsr help prompts=em; mapsr help temperature",
    )
    parser.add_argument("key", nargs="?", help="such as prompts.temperature, or its last part")
    parser.set_defaults(run=main)


def command_settings() -> dict[str, type]:
    """Settings class of each command that takes keys."""
    from mapsr.plugins import load_choices

    load_choices()
    found = {}
    for command, dotted in SETTINGS.items():
        module, _, name = dotted.rpartition(".")
        found[command] = getattr(importlib.import_module(module), name)
    return found


def main(arguments: argparse.Namespace) -> int:
    """Print the meaning."""
    from mapsr.reference import command_groups, look_up

    commands = command_settings()
    if arguments.key is None:
        for name, cls in commands.items():
            if groups := command_groups(cls):
                say(f"mapsr {name}: {', '.join(groups)}")
        say("mapsr help GROUP lists the choices of a group; mapsr help KEY says what a key means")
        return 0
    choices, keys = look_up(arguments.key, commands)
    for choice in choices:
        say(choice.name)
        say(_indented(choice.meaning))
    for key in keys:
        given = "has to be given" if key.default is None else f"default {key.default}"
        say(f"{key.name} ({key.where}): {key.type}, {given}")
        say(_indented(key.meaning))
    return 0


def _indented(text: str) -> str:
    return textwrap.indent("\n".join(textwrap.wrap(" ".join(text.split()), 92)), "    ")
