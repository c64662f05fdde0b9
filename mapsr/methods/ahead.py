"""Work on chips that are needed one after another, some of it ahead, a core for each."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Done = TypeVar("Done")

_MOST = 8
"""Items under way at the most: each takes the memory of a chip."""


def chips_ahead(device: torch.device) -> int:
    """How many chips may be under way at once; to be asked before ``one_thread``."""
    return min(torch.get_num_threads(), _MOST) if device.type == "cpu" else 1


def in_order(
    work: Callable[[Item], Done], items: Iterable[Item], workers: int
) -> Iterator[tuple[Item, Done]]:
    """Yield items with what a function makes of them, in their order.

    To be used within ``one_thread``: a chip's networks are of so many short steps that threads
    which share each of them mostly wait for each other, the more so where other programs use the
    cores.

    Args:
        work: may be called in several threads at once.
        items: taken in the caller's thread, a few ahead.
        workers: how many are under way at once; ``chips_ahead`` says how many may be.
    """
    if workers == 1:
        for item in items:
            yield item, work(item)
        return
    under_way: deque[tuple[Item, Future[Done]]] = deque()
    pool = ThreadPoolExecutor(workers, "mapsr")
    try:
        for item in items:
            under_way.append((item, pool.submit(work, item)))
            if len(under_way) > workers:
                first, done = under_way.popleft()
                yield first, done.result()
        while under_way:
            first, done = under_way.popleft()
            yield first, done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
