"""Run a command with its progress shown and an end when it is cancelled; knows nothing of QGIS."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Protocol

from .commands import absent_command, child_environment, failure_of, step_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_POLL_S = 0.2
GRACE_S = 15.0
"""How long a command that is told to end may take: it closes its files, so that it can go on."""
_KEPT = 50
"""Lines of output that are kept to say why a command failed."""


class Feedback(Protocol):
    """What is used of QgsProcessingFeedback."""

    def isCanceled(self) -> bool: ...  # noqa: D102
    def setProgress(self, percent: float) -> None: ...  # noqa: D102
    def setProgressText(self, text: str) -> None: ...  # noqa: D102
    def pushInfo(self, text: str) -> None: ...  # noqa: D102
    def pushWarning(self, text: str) -> None: ...  # noqa: D102


class CommandError(Exception):
    """A command failed, or can't be started; its text is one sentence."""


def run_command(words: Sequence[str], feedback: Feedback, grace_s: float = GRACE_S) -> bool:
    """Run a command to its end.

    Args:
        words: program and arguments.
        feedback: shows the progress, takes lines, and says when to cancel.
        grace_s: after it, a command that was told to end is killed.

    Returns:
        True; False where it was cancelled.

    Raises:
        CommandError: it can't be started, or failed.
    """
    try:
        child = subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=child_environment(os.environ),
            encoding="utf-8",
            errors="replace",
            **_group(),
        )
    except OSError as error:
        raise CommandError(absent_command(words[0], error.strerror or str(error))) from error
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(child, lines), daemon=True)
    reader.start()
    kept: list[str] = []
    ended = False
    try:
        while not (ended := _shown(lines, feedback, kept)):
            if feedback.isCanceled():
                return False
    finally:
        if not ended:  # cancelled, or QGIS itself is at its end
            _end(child, grace_s)
        reader.join(_POLL_S)
    status = child.wait()
    if status != 0:
        raise CommandError(failure_of(status, kept))
    return True


def _group() -> dict[str, object]:
    """Options by which a command and all that it starts can be ended as one."""
    if os.name == "posix":
        return {"start_new_session": True}
    flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return {"creationflags": flags}


def _read(child: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    """Pass the lines of a command on, and None behind the last."""
    assert child.stdout is not None, "asked for a pipe"
    with child.stdout:
        for line in child.stdout:
            lines.put(line.rstrip("\r\n"))
    lines.put(None)


def _shown(lines: queue.Queue[str | None], feedback: Feedback, kept: list[str]) -> bool:
    """Show the next line, if one comes soon; return whether that was the end."""
    try:
        line = lines.get(timeout=_POLL_S)
    except queue.Empty:
        return False
    if line is None:
        return True
    kept.append(line)
    del kept[:-_KEPT]
    step = step_of(line)
    if step is not None:
        feedback.setProgress(step.percent)
        feedback.setProgressText(step.text)
    elif line.startswith(("WARNING: ", "not mapped: ")):
        feedback.pushWarning(line)
    elif not line.startswith("error: "):
        feedback.pushInfo(line)
    return False


def _end(child: subprocess.Popen[str], grace_s: float) -> None:
    """End a command that still runs, and what it started."""
    if child.poll() is not None:
        return
    _send(child, getattr(signal, "SIGTERM", None))
    try:
        child.wait(grace_s)
    except subprocess.TimeoutExpired:
        _send(child, getattr(signal, "SIGKILL", None))
        child.wait()


def _send(child: subprocess.Popen[str], number: int | None) -> None:
    """Send a signal to a command and all that it started."""
    if os.name != "posix":
        subprocess.run(
            ["taskkill", "/T", "/F", "/PID", str(child.pid)], capture_output=True, check=False
        )
        return
    try:
        os.killpg(child.pid, number or signal.SIGTERM)
    except ProcessLookupError:
        return  # it ended meanwhile
