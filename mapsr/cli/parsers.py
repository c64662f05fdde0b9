"""What an argument parser holds, for those who describe it or complete its words."""

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """A parser, taken apart.

    Attributes:
        commands: parser of each command below it, by name.
        summaries: a line for each of them, by name.
        positionals: arguments by place.
        options: others, --help left out.
    """

    commands: dict[str, argparse.ArgumentParser]
    summaries: dict[str, str]
    positionals: tuple[argparse.Action, ...]
    options: tuple[argparse.Action, ...]


def parts_of(parser: argparse.ArgumentParser) -> Parts:
    """Take a parser apart."""
    commands: dict[str, argparse.ArgumentParser] = {}
    summaries: dict[str, str] = {}
    positionals, options = [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands |= action.choices
            summaries |= {one.dest: one.help or "" for one in action._choices_actions}
        elif not action.option_strings:
            positionals.append(action)
        elif action.dest != "help":
            options.append(action)
    return Parts(commands, summaries, tuple(positionals), tuple(options))


def takes_value(option: argparse.Action) -> bool:
    """Whether an option is followed by a value."""
    return option.nargs != 0
