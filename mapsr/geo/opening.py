"""Opening rasters: for a moment, or from a pool that keeps few files open in the process."""

import itertools
import os
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rasterio

from mapsr.geo.drivers import open_allowed, reading, require_file
from mapsr.geo.network import network
from mapsr.geo.sources import check_sources

_SHARE = 8
"""The pool takes one in so many of the process's files: a raster may have overviews and masks
beside it, GDAL keeps sources of VRTs, and the rest of the process needs files too."""
_MOST = 128
"""Files that are open at most where the system allows any number."""


def files_allowed() -> int:
    """How many rasters the process keeps open at most, by the system's limit of open files."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return _MOST // 2
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST if limit == resource.RLIM_INFINITY else max(2, min(_MOST, limit // _SHARE))


def open_dataset(path: Path) -> rasterio.DatasetReader:
    """Open a raster; the caller closes it.

    Raises:
        RasterError: the file is missing, is not a raster of a kind that is opened, or has no bands;
            or it is a VRT of such files (see ``check_sources``).
    """
    require_file(path)
    check_sources(path)
    return open_allowed(path, files_allowed())


@contextmanager
def open_raster(path: Path) -> Iterator[rasterio.DatasetReader]:
    """Open a raster for reading and turn every failure in the block into a RasterError.

    Raises:
        RasterError: the file is missing, is not a raster, or breaks off.
    """
    with open_dataset(path) as dataset, reading(path), network(path):
        yield dataset


class Pool:
    """Rasters that stay open, a bounded number in all; each is lent to one thread at a time.

    The one that was not used for longest is closed for another. Where all are lent, a thread waits.

    Args:
        most: rasters that are open at once; None: by the system's limit when it matters.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._idle: OrderedDict[tuple[int, Path, int], rasterio.DatasetReader] = OrderedDict()
        self._lent = 0
        self._numbers = itertools.count()
        self._gone: deque[int] = deque()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    @contextmanager
    def lend(self, owner: int, path: Path) -> Iterator[rasterio.DatasetReader]:
        """Lend an open raster for the block; it is another thread's afterwards.

        Args:
            owner: number of the reader, so that its files can be closed with it.
            path: the raster.

        Raises:
            RasterError: it can't be opened.
        """
        dataset = self._take(owner, path)
        try:
            if dataset is None:
                dataset = open_dataset(path)
            yield dataset
        finally:
            self._give(owner, path, dataset)

    def close(self, owner: int) -> None:
        """Close the files of a reader that are not lent; never waits: a finalizer may call it."""
        self._gone.append(owner)
        if self._lock.acquire(blocking=False):  # else whoever holds it closes them later
            try:
                self._close_gone()
            finally:
                self._lock.release()

    def forget(self) -> None:
        """Begin empty, and leave all files as they are: they are those of the parent process."""
        self._lost = self._idle  # closing them would reach into the other process's state
        self._idle, self._lent, self._lock = OrderedDict(), 0, threading.Lock()
        self._changed = threading.Condition(self._lock)

    def _take(self, owner: int, path: Path) -> rasterio.DatasetReader | None:
        """Take the place of an open raster in the pool, or a free one for the caller to fill."""
        most = files_allowed() if self._most is None else self._most
        with self._changed:
            self._close_gone()
            for key in reversed(self._idle):
                if key[:2] == (owner, path):
                    self._lent += 1
                    return self._idle.pop(key)
            while self._lent >= most:
                self._changed.wait()
            self._lent += 1
            spare = max(0, self._lent + len(self._idle) - most)
            old = [self._idle.popitem(last=False)[1] for _ in range(spare)]
        for dataset in old:
            dataset.close()
        return None

    def _give(self, owner: int, path: Path, dataset: rasterio.DatasetReader | None) -> None:
        """Give a place back, with the raster that was opened in it, if any."""
        with self._changed:
            self._lent -= 1
            if dataset is not None:
                self._idle[owner, path, next(self._numbers)] = dataset
            self._close_gone()
            self._changed.notify()

    def _close_gone(self) -> None:
        """Close what readers that went away had open; the lock is held."""
        gone = set()
        while self._gone:
            gone.add(self._gone.popleft())
        for key in [key for key in self._idle if key[0] in gone]:
            self._idle.pop(key).close()


POOL = Pool()
"""The pool of the process."""
_OWNERS = itertools.count()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)


class Handles:
    """What a reader has open in ``POOL`` while it lives; it arrives empty in another process."""

    def __init__(self) -> None:
        self._owner = next(_OWNERS)
        weakref.finalize(self, POOL.close, self._owner)

    def __reduce__(self) -> tuple[Any, ...]:
        return Handles, ()

    @contextmanager
    def open(self, path: Path) -> Iterator[rasterio.DatasetReader]:
        """Lend the open raster, and turn every failure in the block into a RasterError.

        Raises:
            RasterError: see ``reading``.
        """
        with POOL.lend(self._owner, path) as dataset, reading(path), network(path):
            yield dataset
