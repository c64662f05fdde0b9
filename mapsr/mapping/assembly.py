"""From finished units to the files of a map."""

import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

import numpy as np

from mapsr.errors import RasterError
from mapsr.files import publish
from mapsr.geo import (
    Window,
    WindowWriter,
    clear_sidecars,
    read_values,
    window_writer,
    write_cog,
    write_sidecars,
)
from mapsr.geo.sidecars import write_ramp
from mapsr.geo.styles import CONFIDENCE
from mapsr.legends import Legend
from mapsr.mapping.blend import UnitResult, join
from mapsr.mapping.engines import Raster
from mapsr.mapping.outputs import Output, Values
from mapsr.mapping.store import WorkFolder
from mapsr.progress import Progress, slowly

_ENDS = {"probability": (0.0, 1.0), "confidence": None}
"""Kinds of outputs that get a style with a ramp, and its end values where they are known."""
_KEPT = 4
"""Units kept in memory: a unit needs itself and its neighbours above and to the left."""


def output_paths(out: Path, outputs: Sequence[Output]) -> dict[str, Path]:
    """The file of each output, by key, the label map last: it is what marks a finished job."""
    paths = {}
    for output in sorted(outputs, key=_is_main):
        name = out.name
        if not _is_main(output):
            kind = output.shown if output.layer == "map" else output.layer
            name = f"{out.stem}_{kind}{out.suffix}"
        paths[output.key] = out.with_name(name)
    return paths


def assemble(
    raster: Raster,
    work: WorkFolder,
    out: Path,
    legend: Legend,
    tags: Mapping[str, str],
    progress: Progress,
    *,
    overwrite: bool,
) -> None:
    """Write a raster's outputs from its units; each appears whole or not at all.

    Memory: a few units, and GDAL's block cache.

    Args:
        raster: whose units are all done.
        work: holds the units, and takes what is half done.
        out: the label map.
        legend: of the labels.
        tags: provenance, written into the files.
        progress: shows the work, where it takes a while.
        overwrite: whether files beside a map that others made may be replaced.

    Raises:
        RasterError: a unit's file is damaged, or the files can't be written.
    """
    steps = _written(raster, work, out, legend, tags, overwrite)
    total = len(raster.written) * (1 + len(raster.outputs)) + len(raster.outputs)
    try:
        for _ in slowly(progress, steps, f"write {out.name}", total):
            pass
    except OSError as error:
        raise RasterError(
            f"Can't write {out}: {os.strerror(error.errno or 0)}; what is done is kept: fix that, "
            "and the same command goes on from there."
        ) from error


def _written(
    raster: Raster,
    work: WorkFolder,
    out: Path,
    legend: Legend,
    tags: Mapping[str, str],
    overwrite: bool,
) -> Iterator[None]:
    """Write the outputs, and yield after each unit written, read back, and each file."""
    plain = {output.key: work.path / f".{output.key}.plain.tif" for output in raster.outputs}
    yield from _join_units(raster, work.load, plain, len(legend))
    by_key = {output.key: output for output in raster.outputs}
    for key, path in output_paths(out, raster.outputs).items():
        output = by_key[key]
        cog = work.path / f".{key}.tif"
        labels = output.kind == "labels"
        names = legend.names if output.kind == "scores" else (output.shown,)
        shown = legend if labels else None
        how = output.overviews
        write_cog(plain[key], cog, tags=tags, names=names, legend=shown, overviews=how)
        if labels:
            write_sidecars(path, legend, overwrite=overwrite)
        else:
            clear_sidecars(path, overwrite=overwrite)
        publish(cog, path)
        if output.kind in _ENDS:
            write_ramp(path, CONFIDENCE, _ENDS[output.kind], overwrite=overwrite)
        plain[key].unlink()
        yield


def _is_main(output: Output) -> bool:
    return output == Output()


def _join_units(
    raster: Raster,
    load: Callable[[int], UnitResult],
    paths: Mapping[str, Path],
    classes: int,
) -> Iterator[None]:
    """Write the plain rasters of all outputs unit by unit, and read them back to be sure of them.

    Yields after each unit, and after each window that is read back: GDAL writes blocks when it
    needs room, and a disk that was full then may have room later.
    """
    plan, grid = raster.plan, raster.grid
    kept = lru_cache(_KEPT)(load)
    sums: dict[tuple[str, Window], int] = {}
    with ExitStack() as stack:
        writers: dict[str, WindowWriter] = {}
        for output in raster.outputs:
            bands = output.bands(classes)
            path = paths[output.key]
            writers[output.key] = stack.enter_context(
                window_writer(path, grid, bands, output.dtype, output.nodata)
            )
        for unit in raster.written:
            results = [kept(near.number) for near in plan.touching(unit)]
            values = join(plan, unit, results, raster.outputs, classes, raster.channels)
            window, values = _part_of(raster, unit.owned, values or {})
            for key, array in values.items():
                writers[key](window, array)
                sums[key, window] = zlib.crc32(np.ascontiguousarray(array).data)
            yield
    for (key, window), wanted in sums.items():
        if _sum_of(paths[key], window) != wanted:
            raise RasterError(
                f"Can't write {paths[key]}: it does not hold what was written to it. Is the disk "
                "full? What is done is kept, and the same command goes on from there."
            )
        yield


def _part_of(raster: Raster, owned: Window, values: Values) -> tuple[Window, Values]:
    """What of a unit's values is written, and where, counted from the first pixel written."""
    part = raster.part
    if part is None:
        return owned, values
    common = owned.intersect(part.window)
    assert common is not None, "only units with pixels of the part are written"
    rows, columns = common.relative_to(owned).slices
    inside = part.inside(raster.reader.grid, common)
    nodata = {output.key: output.nodata for output in raster.outputs}
    cut = {key: array[:, rows, columns].copy() for key, array in values.items()}
    for key, array in cut.items():
        array[:, ~inside] = nodata[key]
    return common.relative_to(part.window), cut


def _sum_of(path: Path, window: Window) -> int | None:
    """A checksum of a window's values; None where they can't be read."""
    try:
        return zlib.crc32(read_values(path, window).data)
    except RasterError:  # torn
        return None
