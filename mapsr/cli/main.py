"""`mapsr`: find the command, run it, show its errors as one sentence."""

import argparse
import logging
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import NamedTemporaryFile

import mapsr
from mapsr.cli import (
    areas,
    bench,
    cache,
    change,
    compare,
    completion,
    data,
    doctor,
    help,
    label,
    map,
    page,
    preview,
    run,
    runs,
    sample,
    score,
    sieve,
    table,
    vectors,
    weights,
)
from mapsr.cli.console import complain, configure_logging, forgive_streams, note
from mapsr.errors import MapsrError, said_by_system
from mapsr.guard import Guard
from mapsr.redaction import redact, redact_words

logger = logging.getLogger(__name__)

_LIMITS = (MemoryError, RecursionError, UnicodeError)
_SENTENCES = (MapsrError, OSError, *_LIMITS)
"""Errors that are told in a sentence; others are faults of mapsr itself."""
# modules with add_parser(); none of them imports torch before its command runs
_COMMANDS = (
    *(run, runs, map, preview, page, label, areas, score, sample, change, compare, sieve, vectors),
    *(table, bench, data, weights, cache, doctor, help, completion),
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
        with (guard := Guard(passes=_SENTENCES)), _ended_by_sigterm():
            return int(parsed.run(parsed))
        complain(_unexpected(guard))
        return 1
    except MapsrError as error:
        complain(error)
        return 1
    except OSError as error:
        _show_trace(error)
        complain(said_by_system(error))
        return 1
    except _LIMITS as error:
        _show_trace(error)
        complain(_limit(error))
        return 1
    except _Terminated:
        note("ended by SIGTERM; the same command goes on from what is done")
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        note("interrupted")
        return 130


def _show_trace(error: Exception) -> None:
    """Show where an error came from, with -v."""
    logger.info("the error above came from here", exc_info=error)


def _limit(error: Exception) -> str:
    """Say in a sentence what was more than this machine or a file's text takes."""
    if isinstance(error, MemoryError):
        return (
            f"There is not enough memory ({str(error) or 'the system gave none'}): take fewer "
            "engine.workers=, or a smaller windows.chip= or windows.unit=."
        )
    if isinstance(error, RecursionError):
        return "Something that was given is nested too deep, expected a few levels; check it."
    return f"Something that was given is not text in UTF-8 ({error}); check names and files."


def _unexpected(guard: Guard) -> str:
    """Keep the trace of a fault of mapsr itself, and say where."""
    logger.info("%s", guard.trace)
    what = f"mapsr met an error that it does not expect ({guard.error})"
    try:
        with NamedTemporaryFile(
            "w", prefix="mapsr-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            words = shlex.join(redact_words(sys.argv))
            file.write(f"mapsr {mapsr.__version__}: {words}\n{redact(guard.trace or '')}")
    except OSError:
        return f"{what}; -v shows its trace, please report it with that."
    return f"{what}; please report it with its trace, which is in {file.name}."


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
