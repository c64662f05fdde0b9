"""`mapsr`: find the command, run it, show its errors as one sentence."""

import argparse
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import mapsr
from mapsr.cli import (
    areas,
    bench,
    cache,
    change,
    compare,
    data,
    doctor,
    help,
    label,
    map,
    page,
    run,
    runs,
    sample,
    score,
    sieve,
    table,
    vectors,
    weights,
)
from mapsr.cli.console import configure_logging, forgive_streams, note
from mapsr.errors import MapsrError

# modules with add_parser(); none of them imports torch before its command runs
_COMMANDS = (
    *(run, runs, map, page, label, areas, score, sample, change, compare, sieve, vectors),
    *(table, bench, data, weights, cache, doctor, help),
)


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
    """Run a command.

    Returns:
        The exit status: 0, 1 for an error, 130 when interrupted, 143 when told to end (SIGTERM).
    """
    forgive_streams()
    parsed = parser().parse_args(arguments)
    configure_logging(parsed.verbose)
    try:
        with _ended_by_sigterm():
            return int(parsed.run(parsed))
    except MapsrError as error:
        note(f"error: {error}")
        return 1
    except _Terminated:
        note("ended by SIGTERM; the same command goes on from what is done")
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        note("interrupted")
        return 130


class _Terminated(KeyboardInterrupt):
    """SIGTERM came: what a batch system sends before it kills."""


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Within it SIGTERM ends the command as an interrupt does, files and locks in order."""

    def end(number: int, frame: object) -> None:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield  # Python takes handlers in the main thread alone
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
