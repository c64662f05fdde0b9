"""`mapsr help KEY`: what a key, a group or a choice means."""

import argparse
import textwrap

from mapsr.cli.console import say


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
    from mapsr.experiment.settings import RunSettings
    from mapsr.measure.changes import ChangeSettings
    from mapsr.measure.drawing import SampleSettings
    from mapsr.measure.outlining import VectorSettings
    from mapsr.measure.scoring import ScoreSettings
    from mapsr.measure.settings import AreaSettings
    from mapsr.measure.sieving import SieveSettings
    from mapsr.plugins import load_choices
    from mapsr.region.settings import MapSettings
    from mapsr.rounds.settings import LabelSettings

    load_choices()
    return {
        **{"run": RunSettings, "map": MapSettings, "label": LabelSettings},
        **{"areas": AreaSettings, "score": ScoreSettings, "sample": SampleSettings},
        **{"change": ChangeSettings, "sieve": SieveSettings, "vectors": VectorSettings},
    }


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
