"""How long-running work reports its progress, whatever displays it."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TypeVar

Item = TypeVar("Item")

PATIENCE_S = 2.0
"""What takes longer should say that it goes on, and how long it will take."""


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


def up_to(
    progress: Progress, numbered: Iterable[tuple[int, Item]], what: str, total: int
) -> Iterator[Item]:
    """Yield items some of which are missing, and show how far they are.

    Args:
        progress: shows the work.
        numbered: items, each with how many of ``total`` are behind once it is done, itself counted.
        what: the work is called.
        total: how many there would be if none were missing.
    """
    steps, done = progress.track(range(total), what, total), 0
    for end, item in numbered:
        for _ in range(done, end):
            next(steps)
        done = end
        yield item
    for _ in steps:  # to the end, whatever the last ones are
        pass


def slowly(
    progress: Progress,
    items: Iterable[Item],
    what: str,
    total: int,
    *,
    patience_s: float = PATIENCE_S,
) -> Iterator[Item]:
    """Yield ``items`` unchanged, and show those that are left once that has taken a while.

    For work that is over at once most of the time, and would then only be noise.

    Args:
        progress: shows the work.
        items: as of ``Progress.track``.
        what: the work is called.
        total: how many there are.
        patience_s: after so many seconds it is shown.
    """
    begin = time.monotonic()
    rest = iter(items)
    for done, item in enumerate(rest, start=1):
        yield item
        if time.monotonic() - begin >= patience_s and done < total:
            yield from progress.track(rest, what, total - done)


@contextmanager
def stage(progress: Progress, what: str) -> Iterator[None]:
    """Show a block of work that has no steps: that it began, and when it is over."""
    for _ in progress.track((None,), what, 1):
        yield


Watch = Callable[[str], AbstractContextManager[object]]
"""Times the block of ``with watch("stage"):`` as part of that stage."""


def unwatched(stage: str) -> AbstractContextManager[object]:
    """Time nothing; the default ``Watch``."""
    return nullcontext()
