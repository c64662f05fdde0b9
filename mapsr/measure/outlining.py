"""`mapsr vectors`: the patches of a map as polygons with class, area and confidence."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.geo import Grid, Window, read_grid, read_values
from mapsr.geo.ground import pixel_areas
from mapsr.geo.points import VectorWriter, vector_writer
from mapsr.geo.polygons import Outline, joined, outlines, placed, without_seams
from mapsr.geo.stac import one_raster
from mapsr.measure.answer import Record
from mapsr.measure.joint import HECTARE_M2
from mapsr.measure.labels import Labels, open_labels
from mapsr.measure.of_map import confidence_beside
from mapsr.measure.patches import Patches, Read, find_patches, parts_of
from mapsr.measure.writing import require_new
from mapsr.progress import Progress

LAYER = "map"
_BATCH = 20_000
"""Polygons that are written at once."""


@dataclass(frozen=True, kw_only=True)
class VectorSettings:
    """What `mapsr vectors` takes."""

    map: str
    """A raster of labels."""
    out: str
    """GeoPackage to write."""
    legend: str | None = None
    """Legend of the map, a name or YAML file; "codes"; null: the map says it."""
    confidence: str | None = None
    """Raster of the map's confidence; null: MAP_confidence.tif, where it is of the same map."""
    overwrite: bool = False
    """Replace a file that is there."""


@dataclass
class _Sums:
    """What is known so far of a patch that reaches into several strips."""

    parts: list[Outline] = field(default_factory=list)
    area: float = 0.0
    confidence: float = 0.0
    seen: int = 0


def outline_map(settings: VectorSettings, progress: Progress) -> Record:
    """Write the patches of a map as polygons.

    Raises:
        DataError: the map has no pixel with a class, or the confidence is on another grid.
        MapsrError: a file can't be read or written.
    """
    path, out = one_raster(settings.map, "map"), Path(settings.out)
    require_new(out, [path], overwrite=settings.overwrite, suffix=".gpkg")
    labels = open_labels([path], settings.legend)
    given = settings.confidence
    confidence = one_raster(given, "confidence") if given else confidence_beside(path)
    return write_outlines(labels, confidence, out, progress)


def write_outlines(
    labels: Labels, confidence: Path | None, out: Path, progress: Progress
) -> Record:
    """Write the patches of a map as polygons, strip by strip, without seams.

    Memory: a strip, and the outlines of patches that reach into a later one.

    Args:
        labels: the map.
        confidence: on its grid; None: it is not told.
        out: GeoPackage, with the columns class, code, pixels, hectares and confidence (the mean).
        progress: shows the work.

    Returns:
        How many polygons there are.

    Raises:
        DataError: the map has no pixel with a class, or the confidence is on another grid.
        RasterError: a file can't be read or written.
    """
    grid = labels.grid
    if confidence is not None and read_grid(confidence) != grid:
        raise DataError(f"{confidence} does not lie on the grid of {labels.shown}: is it its?")

    def read(window: Window) -> NDArray[np.uint8]:
        return labels.read(grid, window)

    patches = find_patches(read, grid, progress)
    if not len(patches):
        raise DataError(f"{labels.shown} has no pixel with a class, so there is no polygon.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with vector_writer(out, grid, LAYER, "MultiPolygon") as write:
        batch = _Batch(labels, patches, grid, write, told=confidence is not None)
        strips = progress.track(patches.strips(), "polygons", len(patches.numbers))
        for number, window in strips:
            for one, sums in _ended(patches, number, window, read, confidence, batch.open):
                batch.add(one, sums)
        batch.flush()
    return {"map": labels.shown, "polygons": len(patches), "vectors": str(out)}


def _ended(
    patches: Patches,
    number: int,
    window: Window,
    read: Read,
    confidence: Path | None,
    waiting: dict[int, _Sums],
) -> Iterator[tuple[int, _Sums]]:
    """The patches that end with a strip, those that go on being kept in ``waiting``."""
    parts = parts_of(read(window))
    of_part, flat = patches.numbers[number], parts.ravel()
    area = np.bincount(flat, pixel_areas(patches.grid, window).ravel(), len(of_part))
    values = np.full(flat.shape, np.nan)
    if confidence is not None:
        values = read_values(confidence, window)[0].astype(np.float64).ravel()
    known = np.isfinite(values)
    sums = np.bincount(flat[known], values[known], len(of_part))
    seen = np.bincount(flat[known], minlength=len(of_part))
    for part, outline in outlines(parts, window.row):
        one = int(of_part[part])
        found = waiting.setdefault(one, _Sums())
        found.parts.append(outline)
        found.area += float(area[part])
        found.confidence += float(sums[part])
        found.seen += int(seen[part])
    here = np.unique(of_part[1:])
    for one in here[patches.last[here] == number].tolist():
        yield one, waiting.pop(one)


class _Batch:
    """Finished patches on their way to the file, and those that are open."""

    def __init__(
        self, labels: Labels, patches: Patches, grid: Grid, write: VectorWriter, *, told: bool
    ) -> None:
        self.open: dict[int, _Sums] = {}
        self._labels, self._patches, self._grid = labels, patches, grid
        self._write, self._told = write, told
        self._done: list[tuple[int, _Sums, Outline]] = []

    def add(self, one: int, sums: _Sums) -> None:
        several = len(sums.parts) > 1
        outline = joined(sums.parts) if several else without_seams(sums.parts[0])
        sums.parts.clear()
        self._done.append((one, sums, outline))
        if len(self._done) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        if not self._done:
            return
        numbers = np.array([one for one, _, _ in self._done])
        classes, legend = self._patches.classes[numbers], self._labels.legend
        columns: dict[str, NDArray[Any]] = {
            "class": np.array([legend.names[index] for index in classes], object),
            "code": np.array([legend.codes[index] for index in classes], np.int32),
            "pixels": self._patches.pixels[numbers],
            "hectares": np.array([sums.area / HECTARE_M2 for _, sums, _ in self._done]),
        }
        if self._told:
            columns["confidence"] = np.array(
                [sums.confidence / sums.seen if sums.seen else np.nan for _, sums, _ in self._done]
            )
        self._write(placed([outline for _, _, outline in self._done], self._grid), columns)
        self._done.clear()
