"""Which command a run is recorded with: its own, also where a sweep or a table does it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_OWN: ContextVar[tuple[str, ...] | None] = ContextVar("own_command", default=None)


@contextmanager
def commanded(words: Sequence[str]) -> Iterator[None]:
    """Within it, runs are recorded with this command rather than with that of the process."""
    token = _OWN.set(tuple(words))
    try:
        yield
    finally:
        _OWN.reset(token)


def own_command() -> list[str]:
    """The words of the command that a run of this moment is done by, as a shell takes them."""
    if (own := _OWN.get()) is not None:
        return list(own)
    program, *words = sys.argv
    if Path(program).name == "__main__.py":
        return ["python", "-m", Path(program).parent.name, *words]
    return [Path(program).name or program, *words]
