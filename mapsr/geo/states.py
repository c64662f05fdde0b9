"""What tells whether a file is the same as before, without reading all of it."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

import rasterio

from mapsr.findings import evenly
from mapsr.geo.opening import open_raster
from mapsr.geo.vsi import facts
from mapsr.remote import RemotePath

State = list[int | str]
"""Of a file of this machine: size in bytes, time of change in nanoseconds. Of one on the network:
size, what the server says of its version ("" where nothing), a hash over its header."""

_ASKED: ContextVar[dict[RemotePath, State] | None] = ContextVar("asked", default=None)
"""What servers said within ``asking_once``."""
_BLOCKS = 16
"""Blocks whose place and length are looked at, where the server says nothing of a version."""


@contextmanager
def asking_once() -> Iterator[None]:
    """Within it each server is asked once for each file: many maps may name one product."""
    token = _ASKED.set({})
    try:
        yield
    finally:
        _ASKED.reset(token)


def state_of(path: Path) -> State:
    """Return what tells whether a file was changed; nothing of the network is fetched as a whole.

    Raises:
        OSError: there is no such file of this machine.
        RasterError: what lies on the network can't be read.
    """
    if isinstance(path, RemotePath):
        if path.archive is None:
            known = _ASKED.get()
            if known is None:
                return _asked(path)
            if path not in known:
                known[path] = _asked(path)
            return known[path]
        path = path.archive
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def describe_state(state: Sequence[int | str]) -> Mapping[str, int | str]:
    """Name what a state consists of, for records."""
    if len(state) == 2:
        changed = datetime.fromtimestamp(int(state[1]) / 1e9, UTC)
        return {"bytes": state[0], "changed": changed.isoformat(timespec="seconds")}
    return dict(zip(("bytes", "version", "header"), state, strict=True))


def _asked(path: RemotePath) -> State:
    found = facts(path)
    with open_raster(path) as dataset:
        header = _header(dataset)
        if not found.version:
            header |= {"places": _blocks(dataset)}
    text = json.dumps(header, sort_keys=True, default=str)
    return [found.size, found.version, hashlib.sha256(text.encode()).hexdigest()[:16]]


def _header(dataset: rasterio.DatasetReader) -> dict[str, object]:
    return {
        "driver": dataset.driver,
        "shape": [dataset.count, dataset.height, dataset.width],
        "types": list(dataset.dtypes),
        "crs": dataset.crs and dataset.crs.to_wkt(),
        "transform": list(dataset.transform),
        "nodata": repr(dataset.nodata),
        "blocks": list(dataset.block_shapes),
        "overviews": dataset.overviews(1),
        "tags": dataset.tags(),
    }


def _blocks(dataset: rasterio.DatasetReader) -> list[object]:
    """Place and length in the file of some blocks; None where the format does not say."""
    high, wide = dataset.block_shapes[0]
    rows, columns = -(-dataset.height // high), -(-dataset.width // wide)
    names = [f"{number % columns}_{number // columns}" for number in _some(rows * columns)]
    return [
        dataset.get_tag_item(f"BLOCK_{what}_{name}", "TIFF", bidx=1)
        for name in names
        for what in ("OFFSET", "SIZE")
    ]


def _some(count: int) -> list[int]:
    """Numbers below a count, evenly apart, the last among them."""
    return sorted({*evenly(range(count), _BLOCKS), count - 1})
