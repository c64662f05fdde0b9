"""From finished units to the files of a map."""

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
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
from mapsr.legends import Legend
from mapsr.mapping.blend import UnitResult, join
from mapsr.mapping.engines import Raster
from mapsr.mapping.outputs import Output
from mapsr.mapping.store import WorkFolder

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
        overwrite: whether files beside a map that others made may be replaced.

    Raises:
        RasterError: a unit's file is damaged, or the files can't be written.
    """
    try:
        plain = {output.key: work.path / f".{output.key}.plain.tif" for output in raster.outputs}
        _join_units(raster, work.load, plain, len(legend))
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
            plain[key].unlink()
    except OSError as error:
        raise RasterError(
            f"Can't write {out}: {os.strerror(error.errno or 0)}; what is done is kept: fix that, "
            "and the same command goes on from there."
        ) from error


def _is_main(output: Output) -> bool:
    return output == Output()


def _join_units(
    raster: Raster,
    load: Callable[[int], UnitResult],
    paths: Mapping[str, Path],
    classes: int,
) -> None:
    """Write the plain rasters of all outputs unit by unit, and read them back to be sure of them.

    GDAL writes blocks when it needs room, and a disk that was full then may have room later.
    """
    plan, grid = raster.plan, raster.reader.grid
    kept = lru_cache(_KEPT)(load)
    sums: dict[tuple[str, int], int] = {}
    with ExitStack() as stack:
        writers: dict[str, WindowWriter] = {}
        for output in raster.outputs:
            bands = output.bands(classes)
            path = paths[output.key]
            writers[output.key] = stack.enter_context(
                window_writer(path, grid, bands, output.dtype, output.nodata)
            )
        for unit in plan:
            results = [kept(near.number) for near in plan.touching(unit)]
            values = join(plan, unit, results, raster.outputs, classes, raster.channels)
            for key, array in (values or {}).items():
                writers[key](unit.owned, array)
                sums[key, unit.number] = zlib.crc32(np.ascontiguousarray(array).data)
    for (key, number), wanted in sums.items():
        if _sum_of(paths[key], plan[number].owned) != wanted:
            raise RasterError(
                f"Can't write {paths[key]}: it does not hold what was written to it. Is the disk "
                "full? What is done is kept, and the same command goes on from there."
            )


def _sum_of(path: Path, window: Window) -> int | None:
    """A checksum of a window's values; None where they can't be read."""
    try:
        return zlib.crc32(read_values(path, window).data)
    except RasterError:  # torn
        return None
