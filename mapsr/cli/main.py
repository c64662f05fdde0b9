"""`mapsr`: find the command, run it, show its errors as one sentence."""

import argparse
from collections.abc import Sequence

import mapsr
from mapsr.cli import bench, cache, data, doctor, map, run, table, weights
from mapsr.cli.console import configure_logging, note
from mapsr.errors import MapsrError

# modules with add_parser(); none of them imports torch before its command runs
_COMMANDS = (run, map, table, bench, data, weights, cache, doctor)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="mapsr",
        description="From a coarse land-cover product and a sharp image to a map as sharp as the "
        "image.",
    )
    top.add_argument("--version", action="version", version=f"mapsr {mapsr.__version__}")
    top.add_argument("-v", "--verbose", action="count", default=0, help="log more; twice: all")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0, 1 for an error, 130 when interrupted."""
    parsed = parser().parse_args(arguments)
    configure_logging(parsed.verbose)
    try:
        return int(parsed.run(parsed))
    except MapsrError as error:
        note(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        note("interrupted")
        return 130
