"""Areas of a map's classes, in all and by zone, beside those of a product."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import DataError
from mapsr.geo import Window, read_grid, read_values
from mapsr.geo.ground import pixel_areas
from mapsr.geo.vectors import VectorLayer
from mapsr.geo.zones import zone_parts
from mapsr.legends import NODATA
from mapsr.measure.joint import HECTARE_M2, Joint
from mapsr.measure.labels import Labels, block_count, blocks
from mapsr.progress import Progress


@dataclass(frozen=True)
class Sureness:
    """Where a map says how sure it is.

    Attributes:
        path: its confidence, on the map's grid.
        probable: whether that is a probability, 0 to 1; else only means are told.
        low: below it a probability counts as low.
    """

    path: Path
    probable: bool = True
    low: float = 0.5


@dataclass(frozen=True, eq=False)
class SureAreas:
    """How sure a map is, by class; those of windows add up.

    Attributes:
        hectares: float64 (C,), where confidence is known.
        low: float64 (C,), hectares where it is low.
        sums: float64 (C,), of confidence times hectares.
    """

    hectares: NDArray[np.float64]
    low: NDArray[np.float64]
    sums: NDArray[np.float64]

    def __add__(self, more: "SureAreas") -> "SureAreas":
        return SureAreas(self.hectares + more.hectares, self.low + more.low, self.sums + more.sums)


@dataclass(frozen=True, eq=False)
class ZoneAreas:
    """Areas in one polygon.

    Attributes:
        zone: number of the feature in its layer.
        tags: its attributes, as text.
        joint: of its pixels.
    """

    zone: int
    tags: dict[str, str | None]
    joint: Joint


@dataclass(frozen=True, eq=False)
class Areas:
    """What was measured of a map.

    Attributes:
        joint: the map against the product; of the map alone where there is none.
        zones: the same in each polygon that meets the map, in the order of their numbers.
        sure: None where the map does not say how sure it is.
    """

    joint: Joint
    zones: tuple[ZoneAreas, ...] = ()
    sure: SureAreas | None = None


@dataclass
class _Sums:
    """What has been measured so far."""

    joint: Joint
    zones: dict[int, ZoneAreas] = field(default_factory=dict)
    sure: SureAreas | None = None

    def add_zone(self, zone: int, tags: dict[str, str | None], joint: Joint) -> None:
        before = self.zones.get(zone)
        self.zones[zone] = ZoneAreas(zone, tags, before.joint + joint if before else joint)


def measure_areas(
    labels: Labels,
    product: Labels | None,
    progress: Progress,
    *,
    zones: VectorLayer | None = None,
    sureness: Sureness | None = None,
) -> Areas:
    """Measure a map of any size, window by window.

    Memory: some windows of 1024 x 1024 pixels, and the polygons that meet one.

    Args:
        labels: the map.
        product: what it is held against, pixel by pixel; None: nothing.
        progress: shows the work.
        zones: polygons that are measured, too; they may overlap.
        sureness: where the map says how sure it is.

    Raises:
        RasterError: a file can't be read, or areas can't be measured in the map's CRS.
        DataError: a raster holds codes that are not in its legend, or the confidence does not lie
            on the map's grid.
    """
    grid = labels.grid
    if sureness is not None and read_grid(sureness.path) != grid:
        raise DataError(f"{sureness.path} does not lie on the grid of {labels.shown}: is it its?")
    classes, others = len(labels.legend), len(product.legend) if product else 0
    sums = _Sums(Joint.zeros(classes, others))
    unknown: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
    for window in progress.track(blocks(grid), "measure", block_count(grid)):
        found = labels.read(grid, window, unknown[0])
        other = product.read(grid, window, unknown[1]) if product else None
        areas = pixel_areas(grid, window)
        sums.joint += Joint.of(found, other, areas, classes, others)
        if zones is not None:
            for part in zone_parts(zones, grid, window, zones.columns):
                cut = part.window.relative_to(window).slices
                there = None if other is None else other[cut][part.inside]
                one = Joint.of(
                    found[cut][part.inside], there, areas[cut][part.inside], classes, others
                )
                sums.add_zone(part.zone, part.tags, one)
        if sureness is not None:
            sure = _sure(sureness, window, found, areas, classes)
            sums.sure = sure if sums.sure is None else sums.sure + sure
    labels.require_known(unknown[0], grid.window.area)
    if product is not None:
        product.require_known(unknown[1], grid.window.area)
    return Areas(sums.joint, tuple(sums.zones[zone] for zone in sorted(sums.zones)), sums.sure)


def _sure(
    sureness: Sureness,
    window: Window,
    labels: NDArray[np.uint8],
    areas: NDArray[np.float64],
    classes: int,
) -> SureAreas:
    values = read_values(sureness.path, window)[0].astype(np.float64)
    known = (labels != NODATA) & np.isfinite(values)
    which, value, area = labels[known], values[known], areas[known] / HECTARE_M2

    def by_class(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.bincount(which, weights, classes).astype(np.float64)
        return sums

    low = value < sureness.low if sureness.probable else np.zeros(len(value), bool)
    return SureAreas(by_class(area), by_class(area * low), by_class(area * value))
