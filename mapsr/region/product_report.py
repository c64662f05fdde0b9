"""Where the product is wrong, by the map: a layer, and what the product's classes really hold."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from mapsr.errors import RasterError
from mapsr.evaluation.composition import Composition, doubt_of
from mapsr.files import publish, write_text
from mapsr.geo import clear_sidecars, read_tags, read_values, tiles, window_writer, write_cog
from mapsr.geo.sidecars import write_ramp
from mapsr.geo.styles import ERROR
from mapsr.legends import Crosswalk
from mapsr.mapping.assembly import output_paths
from mapsr.mapping.jobs import JOB_TAG, MapJob
from mapsr.mapping.outputs import Output
from mapsr.progress import Progress, Quiet, slowly
from mapsr.quoting import csv_text

logger = logging.getLogger(__name__)

_SIDE_PX = 1024


def write_product_report(
    job: MapJob, crosswalk: Crosswalk, progress: Progress | None = None
) -> tuple[Path, ...]:
    """Write OUT_product_error.tif and OUT_composition.csv of a map whose scores are written.

    Args:
        job: that made the map, with probabilities and a product.
        crosswalk: says which target class each class of the product stands for.
        progress: shows the work where it takes long; None: nothing does.

    Returns:
        The files; none where there is no product at the place.

    Raises:
        RasterError: the scores or the product can't be read, or a file not written.
    """
    try:
        return _written(job, crosswalk, progress or Quiet())
    except OSError as error:
        raise RasterError(
            f"Can't write what the product's classes hold beside {job.out}: {error.strerror}; the "
            "map itself is whole, and the same command goes on from there."
        ) from error


def _written(job: MapJob, crosswalk: Crosswalk, progress: Progress) -> tuple[Path, ...]:
    product, out = job.raster.product, job.out
    if product is None:
        logger.warning("%s: no product at its place, so nothing is said of its errors", out)
        return ()
    layer = out.with_name(f"{out.stem}_product_error{out.suffix}")
    table = out.with_name(f"{out.stem}_composition.csv")
    if table.exists() and layer.exists() and read_tags(layer).get(JOB_TAG) == job.hash:
        return layer, table
    scores = output_paths(out, job.raster.outputs)[Output(kind="scores").key]
    grid, part = job.raster.grid, job.raster.part
    first = (part.window.row, part.window.col) if part else (0, 0)
    total: Composition | None = None
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.stem}") as folder:
        plain, cog = Path(folder) / "plain.tif", Path(folder) / "cog.tif"
        with window_writer(plain, grid, 1, "float32", float("nan")) as write:
            cut = tiles(grid.height, grid.width, _SIDE_PX)
            for window in slowly(progress, cut, "product error", len(cut)):
                probabilities = read_values(scores, window)  # (C, h, w)
                classes = product.read(window.shifted(*first))
                write(window, doubt_of(probabilities, classes, crosswalk.table)[None])
                found = Composition.of(probabilities, classes, crosswalk.table)
                total = found if total is None else total + found
        tags = {**job.tags, JOB_TAG: job.hash}
        write_cog(plain, cog, tags=tags, names=("product_error",))
        clear_sidecars(layer, overwrite=True)
        publish(cog, layer)
    write_ramp(layer, ERROR, (0.0, 1.0), overwrite=job.overwrite)
    assert total is not None, "a raster has pixels"
    write_text(table, _csv(total, crosswalk))
    return layer, table


def _csv(composition: Composition, crosswalk: Crosswalk) -> str:
    """The table as text: a row for each class of the product there, most pixels first."""
    source, targets = crosswalk.source, crosswalk.target.names
    code = {one.name: one.code for one in source.classes}
    rows: list[list[object]] = [["code", "class", "pixels", *targets, "not_its_class"]]
    for row in composition.as_rows(source.names, targets):
        shares = [f"{row[name]:.4f}" for name in targets]
        doubt = row["not_its_class"]
        ends = [None if doubt is None else f"{doubt:.4f}"]
        name = str(row["class"])
        rows.append([code[name], name, row["pixels"], *shares, *ends])
    return csv_text(rows)
