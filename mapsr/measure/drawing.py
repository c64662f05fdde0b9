"""`mapsr sample`: draw a stratified random sample of a map's pixels, to be labelled in QGIS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from mapsr.errors import ConfigError, require_choice
from mapsr.geo.points import pixel_centres, vector_writer
from mapsr.geo.stac import one_raster
from mapsr.measure.allocation import ALLOCATIONS, allocate, points_for
from mapsr.measure.answer import Record
from mapsr.measure.areas import measure_areas
from mapsr.measure.estimates import Stratum
from mapsr.measure.labels import Labels, blocks, open_labels
from mapsr.progress import Progress
from mapsr.redaction import redact

LAYER = "sample"
STRATUM, PIXELS, HECTARES, TRUTH = "stratum", "stratum_pixels", "stratum_hectares", "truth"
"""Columns of a sample: where a point was drawn, how large that is, and what is to be filled in."""


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """What `mapsr sample` takes."""

    map: str
    """A raster of labels; its classes are the strata."""
    out: str
    """GeoPackage of the points."""
    legend: str | None = None
    """Legend of the map, a name or YAML file; "codes"; null: the map says it."""
    points: int | None = None
    """How many points; null: as many as error= wants."""
    error: float = 0.01
    """Standard error of the overall accuracy that is aimed at, without points=."""
    expected: str = "0.8"
    """Share of right pixels that is expected, for that: of all strata, or {forest: 0.9, other: 0.7}
    by stratum, the others 0.8."""
    allocation: str = "minimum"
    """How points are shared out: minimum, proportional or equal."""
    minimum: int = 50
    """Points of a stratum at least, with allocation=minimum."""
    seed: int = 0
    """Of the draw."""
    overwrite: bool = False
    """Replace a file that is there: labels filled in would be lost."""

    def __post_init__(self) -> None:
        require_choice(self.allocation, ALLOCATIONS, "allocation")
        if Path(self.out).suffix.lower() != ".gpkg":
            raise ConfigError(f"out={self.out} is to be a GeoPackage, expected a name in .gpkg.")


def draw_sample(settings: SampleSettings, progress: Progress) -> Record:
    """Draw a sample and write it; the same settings and map give the same points.

    Memory: some windows of the map and the points.

    Raises:
        ConfigError: there is such a file, or there are too few points.
        MapsrError: the map can't be read, or the file not written.
    """
    out = Path(settings.out)
    if out.exists() and not settings.overwrite:
        raise ConfigError(
            f"{out} is there already, perhaps with labels: choose another out=, or set "
            "overwrite=true."
        )
    labels = open_labels([one_raster(settings.map, "map")], settings.legend)
    joint = measure_areas(labels, None, progress).joint
    strata = [
        Stratum(name, int(pixels), float(hectares))
        for name, pixels, hectares in zip(
            labels.legend.names, joint.pixels[:-1].sum(1), joint.mapped, strict=True
        )
    ]
    some = [index for index, one in enumerate(strata) if one.pixels]
    if not some:
        raise ConfigError(f"{settings.map} has no pixel with a class, so there is nothing to draw.")
    filled = [strata[index] for index in some]
    points = settings.points
    if points is None:
        points = points_for(filled, _expected(settings.expected, filled), settings.error)
    shares = allocate(filled, points, settings.allocation, settings.minimum)
    counts = dict(zip(some, shares, strict=True))
    which, rows, columns = _drawn(labels, strata, counts, settings.seed)
    _write(out, labels, strata, which, rows, columns)
    return {
        "map": redact(settings.map),
        "sample": str(out),
        "points": len(which),
        "allocation": settings.allocation,
        "seed": settings.seed,
        "strata": [
            {
                "class": strata[index].name,
                "pixels": strata[index].pixels,
                "hectares": round(strata[index].hectares, 4),
                "points": counts[index],
            }
            for index in some
        ],
    }


def _expected(text: str, strata: Sequence[Stratum]) -> list[float]:
    """The share of right pixels expected in each stratum."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"expected={text} can't be read, expected 0.8 or {{a: 0.9}}.") from error
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [float(value)] * len(strata)
    names = {one.name for one in strata}
    if not isinstance(value, Mapping) or not all(
        isinstance(one, int | float) for one in value.values()
    ):
        raise ConfigError(f"expected={text} can't be read, expected 0.8 or {{forest: 0.9}}.")
    if unknown := [str(key) for key in value if key not in names]:
        raise ConfigError(
            f"expected= names '{unknown[0]}', expected strata among {', '.join(sorted(names))}."
        )
    return [float(value.get(one.name, 0.8)) for one in strata]


def _drawn(
    labels: Labels, strata: Sequence[Stratum], counts: Mapping[int, int], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Stratum, row and column of each point, in an order that tells nothing.

    Each stratum has its own stream of random numbers: ranks of its pixels, in the order of blocks.
    """
    ranks = {
        index: np.sort(
            np.random.default_rng([seed, index]).choice(
                strata[index].pixels, count, replace=False, shuffle=False
            )
        )
        for index, count in counts.items()
    }
    seen, found = dict.fromkeys(ranks, 0), []
    for window in blocks(labels.grid):
        here = labels.read(labels.grid, window)
        for index, wanted in ranks.items():
            places = np.flatnonzero(here == index)
            first, last = np.searchsorted(wanted, [seen[index], seen[index] + len(places)])
            row, column = np.divmod(places[wanted[first:last] - seen[index]], window.width)
            which = np.full(len(row), index)
            found.append(np.stack([which, row + window.row, column + window.col]))
            seen[index] += len(places)
    every = np.concatenate(found, axis=1).astype(np.int64)
    order = np.random.default_rng([seed, len(strata)]).permutation(every.shape[1])
    which, rows, columns = every[:, order]
    return which, rows, columns


def _write(
    out: Path,
    labels: Labels,
    strata: Sequence[Stratum],
    which: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> None:
    empty = np.full(len(which), None, object)
    values = {
        "id": np.arange(1, len(which) + 1),
        TRUTH: empty,
        "note": empty.copy(),
        STRATUM: np.array([strata[index].name for index in which], object),
        PIXELS: np.array([strata[index].pixels for index in which]),
        HECTARES: np.array([strata[index].hectares for index in which]),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with vector_writer(out, labels.grid, LAYER, "Point") as add:
        add(pixel_centres(labels.grid, rows, columns), values)
