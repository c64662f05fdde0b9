"""`mapsr completion`: let a shell complete commands, keys and choices."""

import argparse
from pathlib import Path

from mapsr.cli.console import say

_SHELLS = ("bash", "zsh", "fish")
_FOLDER = Path(__file__).parent / "shells"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "completion",
        help="let a shell complete commands, keys and choices",
        description="Print what lets a shell complete commands, options, the keys of a command, "
        "and the choices of a group. `words` is what the shell asks: it prints what may stand in "
        "place of the last of the words that follow.",
        epilog="examples:\n"
        '  eval "$(mapsr completion bash)"    # a line of ~/.bashrc\n'
        '  eval "$(mapsr completion zsh)"     # of ~/.zshrc, after compinit\n'
        "  mapsr completion fish > ~/.config/fish/completions/mapsr.fish\n"
        "  mapsr completion words run prompts=\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=(*_SHELLS, "words"), help="which shell, or words")
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="WORD", help="after `words`: the words so far"
    )
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Print the script of a shell, or what may stand in place of the last word."""
    if arguments.shell != "words":
        say((_FOLDER / f"mapsr.{arguments.shell}").read_text(encoding="utf-8").rstrip())
        return 0
    from mapsr.cli.candidates import candidates
    from mapsr.cli.main import parser

    for word in candidates(parser(), arguments.words):
        say(word)
    return 0
