"""`mapsr score`: hold a map against truth, a raster or a sample of points."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import ConfigError, DataError, RasterError, near_match, require_choice
from mapsr.evaluation import Confusion, Scores
from mapsr.geo import read_grid
from mapsr.geo.points import Points, read_points
from mapsr.geo.stac import is_stac, one_raster
from mapsr.geo.zones import open_zones, require_column
from mapsr.legends import NODATA, Legend, load_crosswalk, load_legend
from mapsr.measure.answer import Record
from mapsr.measure.areas import measure_areas
from mapsr.measure.drawing import HECTARES, PIXELS, STRATUM, TRUTH
from mapsr.measure.estimates import CONFIDENT, Estimate, Sample, Stratum
from mapsr.measure.labels import BLOCK_PX, Labels, block_count, blocks, onto, open_labels
from mapsr.progress import Progress
from mapsr.redaction import redact
from mapsr.remote import is_remote

DESIGNS = ("drawn", "map", "simple")


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """What `mapsr score` takes."""

    map: str
    """A raster of labels."""
    truth: str
    """A raster of labels, or a layer of points: FILE, or FILE|layername=LAYER."""
    map_legend: str | None = None
    """Legend of the map, a name or YAML file; "codes"; null: the map says it."""
    legend: str | None = None
    """Legend of the truth; null: a raster says it, and points hold names of the map's classes."""
    crosswalk: str = "paraformer"
    """Which class of the map each class of the truth stands for."""
    column: str = TRUTH
    """Column of the points with the true class: its name, or its code with legend=."""
    design: str | None = None
    """How points were drawn: "drawn" (by `mapsr sample`: columns stratum, stratum_pixels and
    stratum_hectares), "map" (at random in each class of this map) or "simple" (at random in all of
    the map); null: "drawn", where there are these columns."""
    out: str | None = None
    """JSON file of the record; null: none."""

    def __post_init__(self) -> None:
        if self.design is not None:
            require_choice(self.design, DESIGNS, "design")


def score_map(settings: ScoreSettings, progress: Progress) -> Record:
    """Hold a map against truth.

    Returns:
        What both are, the confusion matrix, and scores: of a raster as they are counted, of points
        as they are estimated for the ground, with standard errors.

    Raises:
        MapsrError: a file can't be read, or does not say what it is asked for.
    """
    labels = open_labels([one_raster(settings.map, "map")], settings.map_legend)
    record: Record = {"map": redact(settings.map), "truth": redact(settings.truth)}
    if _is_raster(settings.truth):
        return record | _against_raster(labels, settings, progress)
    return record | _against_points(labels, settings, progress)


def _is_raster(text: str) -> bool:
    if is_remote(text) or is_stac(text):
        return True
    path = Path(text)
    if not path.exists():
        return False  # the message of vectors names the file, whatever layer it has
    try:
        read_grid(path)
    except RasterError:
        return path.suffix.lower() in (".tif", ".tiff", ".vrt", ".img")
    return True


def _against_raster(labels: Labels, settings: ScoreSettings, progress: Progress) -> Record:
    truth = open_labels([one_raster(settings.truth, "truth")], settings.legend)
    truth = onto(truth, labels.legend, settings.crosswalk)
    grid, classes = labels.grid, len(labels.legend)
    total = Confusion.zeros(classes)
    unknown: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
    for window in progress.track(blocks(grid), "score", block_count(grid)):
        found = labels.read(grid, window, unknown[0])
        total += Confusion.of(truth.read(grid, window, unknown[1]), found, classes)
    labels.require_known(unknown[0], grid.window.area)
    truth.require_known(unknown[1], grid.window.area)
    if not total.counts.any():
        raise DataError(
            f"{settings.truth} has no class at any pixel of {settings.map}, so there is nothing to "
            "score: check where both lie, and the legend."
        )
    names = labels.legend.names
    return {
        "kind": "raster",
        "confusion": _counts(total.counts, names),
        "scores": Scores.of(total).as_dict(names),
    }


def _against_points(labels: Labels, settings: ScoreSettings, progress: Progress) -> Record:
    layer = open_zones(settings.truth)
    require_column(layer, settings.column, "column")
    drawn = {STRATUM, PIXELS, HECTARES} <= set(layer.columns)
    design = settings.design or ("drawn" if drawn else None)
    if design is None or (design == "drawn" and not drawn):
        raise ConfigError(
            f"{layer.path} does not say how its points were drawn ({STRATUM}, {PIXELS} and "
            f"{HECTARES}, as `mapsr sample` writes them): say design=map (at random in each class "
            "of this map) or design=simple (at random in all of the map)."
        )
    columns = [settings.column, *([STRATUM, PIXELS, HECTARES] if design == "drawn" else [])]
    points = read_points(layer, labels.grid, columns)
    mapped = _at(labels, points)
    truth = _true(points.tags[settings.column], labels.legend, settings)
    inside = mapped >= 0 if design == "drawn" else (mapped >= 0) & (mapped < len(labels.legend))
    used = inside & (truth >= 0)
    if not used.any():
        raise DataError(
            f"{layer.path} has no labelled point on {settings.map}: fill in column "
            f"'{settings.column}', or check where both lie."
        )
    if design == "drawn":
        strata, stratum = _drawn_strata(points.tags, used)
    else:
        strata, stratum = _map_strata(labels, mapped[used], design, progress)
    sample = Sample(strata, stratum, mapped[used], truth[used], len(labels.legend))
    left_out = {
        "outside": int((~inside).sum()),
        "without_truth": int((inside & (truth < 0)).sum()),
    }
    return {"kind": "points", "design": design, "points": int(used.sum()), "left_out": left_out} | (
        estimates_record(sample, labels.legend.names)
    )


def estimates_record(sample: Sample, names: Sequence[str]) -> Record:
    """What a sample says of a map, for JSON.

    Args:
        sample: of the map.
        names: of its classes.
    """
    counts = np.zeros((sample.classes, sample.classes + 1), np.int64)
    np.add.at(counts, (sample.truth, sample.mapped), 1)
    shares = sample.matrix()
    found: Record = {
        "confusion": _counts(counts, names),
        "strata": [
            {"stratum": one.name, "points": points, "pixels": one.pixels, "hectares": one.hectares}
            for one, points in zip(sample.strata, sample.counts.tolist(), strict=True)
        ],
        "hectares": sample.hectares,
        "overall_accuracy": _shown(sample.overall()),
        "classes": [_class(sample, shares, index, name) for index, name in enumerate(names)],
        "shares_by_map_and_truth": {
            name: dict(zip(names, row, strict=True))
            for name, row in zip([*names, "nodata"], shares.round(6).tolist(), strict=True)
        },
    }
    known = [one["iou"] for one in found["classes"] if one["iou"] is not None]
    return found | {"miou": float(np.mean(known)) if known else None}


def _class(sample: Sample, shares: NDArray[np.float64], index: int, name: str) -> Record:
    hit, mapped = float(shares[index, index]), float(shares[index].sum())
    true = float(shares[:, index].sum())
    area = sample.area(index)
    whole = sample.hectares
    in_hectares = Estimate(
        None if area.value is None else area.value * whole,
        None if area.error is None else area.error * whole,
    )
    return {
        "class": name,
        "hectares": _shown(in_hectares),
        "mapped_hectares": mapped * whole,
        "users_accuracy": _shown(sample.users(index)),
        "producers_accuracy": _shown(sample.producers(index)),
        # as in the scores of rasters: a class that is nowhere in truth has none
        "f1": 2 * hit / (mapped + true) if true else None,
        "iou": hit / (mapped + true - hit) if true else None,
    }


def _shown(one: Estimate) -> Record:
    """An estimate with its error and its interval of 95 %."""
    if one.value is None or one.error is None:
        return {"estimate": one.value, "standard_error": one.error, "interval": None}
    half = CONFIDENT * one.error
    ends = [one.value - half, one.value + half]
    return {"estimate": one.value, "standard_error": one.error, "interval": ends}


def _counts(counts: NDArray[np.int64], names: Sequence[str]) -> Record:
    """A confusion matrix, by true class and class on the map."""
    return {
        name: dict(zip([*names, "nodata"], row, strict=True))
        for name, row in zip(names, counts.tolist(), strict=True)
    }


def _at(labels: Labels, points: Points) -> NDArray[np.int64]:
    """Class of the map at points, int64 (n,): C for none, -1 outside the map."""
    grid = labels.grid
    found = np.full(len(points), -1, np.int64)
    inside = (points.rows >= 0) & (points.rows < grid.height)
    inside &= (points.columns >= 0) & (points.columns < grid.width)
    wide = -(-grid.width // BLOCK_PX)
    block = points.rows // BLOCK_PX * wide + points.columns // BLOCK_PX
    wanted = set(block[inside].tolist())
    for number, window in enumerate(blocks(grid)):
        if number not in wanted:
            continue
        here = labels.read(grid, window)
        own = inside & (block == number)
        values = here[points.rows[own] - window.row, points.columns[own] - window.col]
        found[own] = np.where(values == NODATA, len(labels.legend), values)
    return found


def _true(values: NDArray[Any], target: Legend, settings: ScoreSettings) -> NDArray[np.int64]:
    """True class of points, int64 (n,): -1 where it is not filled in or left out.

    Raises:
        DataError: a value is not a class.
    """
    known: Mapping[str, int] = {name: index for index, name in enumerate(target.names)}
    if settings.legend is not None:
        legend = load_legend(settings.legend)
        table = load_crosswalk(settings.crosswalk, legend, target).table
        known = {name: index for name, index in zip(legend.names, table, strict=True)}
        known |= {str(code): index for code, index in zip(legend.codes, table, strict=True)}
    found = np.full(len(values), -1, np.int64)
    for place, value in enumerate(values):
        text = (value or "").strip()
        if not text:
            continue
        if text not in known:
            raise DataError(
                f"{settings.truth} has the class '{text}' in column '{settings.column}', expected "
                f"one of {', '.join(known)}.{near_match(text, known)}"
            )
        found[place] = -1 if known[text] == NODATA else known[text]
    return found


def _drawn_strata(
    tags: Mapping[str, NDArray[Any]], used: NDArray[np.bool_]
) -> tuple[list[Stratum], NDArray[np.int64]]:
    """The strata that a sample of `mapsr sample` says, and that of each point used.

    Raises:
        DataError: a point has no stratum, or those of one stratum differ in its size.
    """
    rows = list(zip(*(tags[key].tolist() for key in (STRATUM, PIXELS, HECTARES)), strict=True))
    sizes: dict[str, tuple[str, str]] = {}
    for name, pixels, hectares in rows:
        if not (name and pixels and hectares):
            raise DataError(f"A point has no {STRATUM}, {PIXELS} or {HECTARES}: draw it again.")
        if sizes.setdefault(name, (pixels, hectares)) != (pixels, hectares):
            raise DataError(
                f"Stratum '{name}' has {sizes[name][0]} and {pixels} pixels, expected one size: "
                "points of several samples can't be put together."
            )
    order = {name: index for index, name in enumerate(sorted(sizes))}
    strata = [Stratum(name, int(float(sizes[name][0])), float(sizes[name][1])) for name in order]
    own = np.array([order[row[0]] for row in rows], np.int64)[used]
    return strata, own


def _map_strata(
    labels: Labels, mapped: NDArray[np.int64], design: str, progress: Progress
) -> tuple[list[Stratum], NDArray[np.int64]]:
    """The map's classes as strata, or all of the map as one."""
    joint = measure_areas(labels, None, progress).joint
    pixels = joint.pixels[:-1].sum(1)
    if design == "simple":
        whole = Stratum("map", int(pixels.sum()), float(joint.mapped.sum()))
        return [whole], np.zeros(len(mapped), np.int64)
    names = labels.legend.names
    sizes = zip(names, pixels.tolist(), joint.mapped.tolist(), strict=True)
    return [Stratum(*one) for one in sizes], mapped
