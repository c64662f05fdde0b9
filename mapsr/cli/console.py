"""What the commands say: results to stdout; progress, notes and log to stderr."""

import io
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from mapsr.findings import duration
from mapsr.progress import Item
from mapsr.redaction import redact

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

# a log file of an hour's work should stay readable
PLAIN_INTERVAL_S = 10.0

# C0, DEL and C1, and what turns the direction of text; line ends and tabs are harmless
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}
"""Verbosity -> the least serious message that is shown."""


def say(text: str = "") -> None:
    """Print a line of a result to stdout; a reader that has gone is no reason to stop."""
    _print(text, sys.stdout)


def note(text: str) -> None:
    """Print a line that is not a result to stderr."""
    _print(text, sys.stderr)


def forgive_streams() -> None:
    """Let the streams take every character, whatever their encoding is."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def complain(error: object) -> None:
    """Print an error to stderr, in one line whatever the names in it hold."""
    note("error: " + str(error).replace("\n", "\\n"))


def plain(text: str) -> str:
    """Write out the control characters of a text: names of others must not steer a terminal."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def _print(text: str, stream: TextIO) -> None:
    try:
        print(plain(redact(text)), file=stream, flush=True)
    except BrokenPipeError:
        # the interpreter flushes once more at its end, and would complain
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class ConsoleProgress:
    """Shows loops on stderr: live bars on a terminal, now and then a line elsewhere.

    Loops may lie inside each other, or run in several threads; each has a bar of its own while it
    runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bars: Bars | None = None
        self._running = 0

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """Yield ``items`` unchanged, showing ``what`` and how many of ``total`` are done."""
        show = self._live if sys.stderr.isatty() else self._plain
        return show(items, what, total)

    def _live(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        with self._lock:
            bars = self._bars = self._bars or _bars()
            if self._running == 0:
                bars.start()
            self._running += 1
        task = bars.add_task(what, total=total)
        try:
            for item in items:
                yield item
                bars.advance(task)
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    # outer bars stay on the screen as they ended
                    bars.stop()
                    self._bars = None
                else:
                    bars.remove_task(task)

    def _plain(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        begin = latest = time.monotonic()
        done = 0
        note(f"{what}: 0/{total}")
        try:
            for item in items:
                yield item
                done += 1
                now = time.monotonic()
                if now - latest >= PLAIN_INTERVAL_S and done < total:
                    left = (now - begin) / done * (total - done)
                    note(f"{what}: {done}/{total}, about {duration(left)} left")
                    latest = now
        finally:
            note(f"{what}: {done}/{total} in {time.monotonic() - begin:.1f} s")


def configure_logging(verbosity: int) -> None:
    """Show the package's log on stderr; a second call replaces the first.

    The package's logger itself lets messages of level INFO pass, so that a run's own log file
    has them whatever the terminal shows.

    Args:
        verbosity: -1 errors, 0 warnings, 1 what is done, 2 or more everything.
    """
    level = LEVELS[max(-1, min(verbosity, 2))]
    handler = _Stderr(level)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("mapsr")
    logger.setLevel(min(level, logging.INFO))
    logger.handlers = [h for h in logger.handlers if not isinstance(h, _Stderr)] + [handler]


class _Stderr(logging.Handler):
    """Writes to whatever stderr is now: while bars are drawn, rich puts lines above them."""

    def emit(self, record: logging.LogRecord) -> None:
        note(self.format(record))


def _bars() -> "Bars":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
