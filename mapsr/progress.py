"""How long-running work reports its progress, whatever displays it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """Shows the progress of a loop; the command line has one that draws a bar."""

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """Yield ``items`` unchanged, showing ``what`` and how many of ``total`` are done."""
        ...


class Quiet:
    """Shows nothing."""

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """Yield ``items`` unchanged."""
        yield from items


Watch = Callable[[str], AbstractContextManager[object]]
"""Times the block of ``with watch("stage"):`` as part of that stage."""


def unwatched(stage: str) -> AbstractContextManager[object]:
    """Time nothing; the default ``Watch``."""
    return nullcontext()
