"""How long work reports where it is, without knowing what it is shown on."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """Shows how far a loop has come; the command line gives one that draws."""

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """Yield ``items`` unchanged, showing ``what`` and how many of ``total`` are done."""
        ...


class Quiet:
    """Shows nothing."""

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """Yield ``items`` unchanged."""
        yield from items


Watch = Callable[[str], AbstractContextManager[object]]
"""Times the stage that a ``with watch("stage"):`` block belongs to."""


def unwatched(stage: str) -> AbstractContextManager[object]:
    """Time nothing."""
    return nullcontext()
