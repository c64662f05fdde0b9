"""`mapsr change`: where and how a map differs from a product."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mapsr
from mapsr.errors import DataError
from mapsr.geo import Window
from mapsr.geo.stac import one_raster
from mapsr.legends import NODATA, LandClass, Legend
from mapsr.measure.answer import Record, product_warnings
from mapsr.measure.areas import measure_areas
from mapsr.measure.files import write_file
from mapsr.measure.joint import Joint
from mapsr.measure.labels import Labels, blocks, onto, open_labels
from mapsr.measure.writing import require_new, write_labels
from mapsr.progress import Progress
from mapsr.quoting import csv_text
from mapsr.redaction import redact

_SAME = LandClass(0, "as the product", (230, 230, 230))


@dataclass(frozen=True, kw_only=True)
class ChangeSettings:
    """What `mapsr change` takes."""

    map: str
    """A raster of labels."""
    product: str
    """What it is held against: a product, or another map."""
    out: str = "change.tif"
    """The raster to write; the matrix lies beside it as .csv."""
    map_legend: str | None = None
    """Legend of the map, a name or YAML file; "codes"; null: the map says it."""
    legend: str | None = None
    """Legend of the product; null: the product says it."""
    crosswalk: str = "paraformer"
    """Which class of the map each class of the product stands for."""
    overwrite: bool = False
    """Replace files that are there."""


def map_change(settings: ChangeSettings, progress: Progress) -> Record:
    """Write where a map differs from a product, and from what to what.

    The raster has a class for each change that there is, and one for none, with nodata where either
    has no class. Memory: some windows.

    Raises:
        DataError: there is nothing to compare, or there are more than 254 different changes.
        MapsrError: a file can't be read or written.
    """
    paths = one_raster(settings.map, "map"), one_raster(settings.product, "product")
    out = Path(settings.out)
    require_new(out, paths, overwrite=settings.overwrite, suffix=".tif")
    labels = open_labels(paths[:1], settings.map_legend)
    product = onto(open_labels(paths[1:], settings.legend), labels.legend, settings.crosswalk)
    joint = measure_areas(labels, product, progress).joint
    if not joint.both.any():
        raise DataError(
            f"{settings.product} has no class where {settings.map} has one: check where both lie, "
            "and the legends."
        )
    legend, table = _changes(joint, labels.legend)
    tags = {
        "MAPSR_VERSION": mapsr.__version__,
        "MAPSR_MAP": paths[0].name,
        "MAPSR_PRODUCT": paths[1].name,
    }
    parts = _values(labels, product, table)
    write_labels(out, labels.grid, legend, parts, tags, overwrite=settings.overwrite)
    matrix = out.with_suffix(".csv")
    write_file(str(matrix), _csv(joint, labels.legend))
    return _record(settings, joint, labels.legend, matrix)


def _changes(joint: Joint, legend: Legend) -> tuple[Legend, NDArray[np.uint8]]:
    """The classes of the raster, and which (map + 1, product + 1) stands for which of them."""
    count = len(legend)
    table = np.full((count + 1, count + 1), NODATA, np.uint8)
    table[range(count), range(count)] = 0
    classes = [_SAME]
    for given in range(count):
        for mapped in range(count):
            if given == mapped or not joint.pixels[mapped, given]:
                continue
            if len(classes) == NODATA:
                raise DataError(
                    f"There are more than {NODATA - 1} different changes among {count} classes, "
                    "expected fewer: hold the map against a product of fewer classes."
                )
            table[mapped, given] = len(classes)
            name = f"{legend.names[given]} to {legend.names[mapped]}"
            classes.append(LandClass(len(classes), name, legend.colors[mapped]))
    title = "Where a map differs from a product"
    return Legend("change", title, "mapsr change", tuple(classes)), table


def _values(
    labels: Labels, product: Labels, table: NDArray[np.uint8]
) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    none, grid = len(labels.legend), labels.grid
    for window in blocks(grid):
        mapped = np.minimum(labels.read(grid, window), none)
        given = np.minimum(product.read(grid, window), none)
        yield window, table[mapped, given]


def _csv(joint: Joint, legend: Legend) -> str:
    """Hectares: a row for each class of the product, a column for each of the map."""
    rows = [["product \\ map", *legend.names]]
    for name, row in zip(legend.names, joint.both.T, strict=True):
        rows.append([name, *(f"{value:.4f}" for value in row)])
    return csv_text(rows)


def _record(settings: ChangeSettings, joint: Joint, legend: Legend, matrix: Path) -> Record:
    both, names = joint.both, legend.names
    moved = [
        {
            "from": names[given],
            "to": names[mapped],
            "hectares": round(float(both[mapped, given]), 4),
            "per_cent": round(100 * float(both[mapped, given] / both.sum()), 3),
        }
        for given in range(len(names))
        for mapped in range(len(names))
        if given != mapped and joint.pixels[mapped, given]
    ]
    return {
        "map": redact(settings.map),
        "product": redact(settings.product),
        "raster": settings.out,
        "matrix": str(matrix),
        "compared_hectares": round(float(both.sum()), 4),
        "same_hectares": round(float(np.diagonal(both).sum()), 4),
        "changes": sorted(moved, key=lambda one: -float(str(one["hectares"]))),
        "hectares_by_product_and_map": {
            name: dict(zip(names, np.round(row, 4).tolist(), strict=True))
            for name, row in zip(names, both.T, strict=True)
        },
        "warnings": product_warnings(joint, names),
    }
