"""What a preview maps: the most varied place of an image, as much of it as a minute allows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

from mapsr.doctor.measure import Cost, measure
from mapsr.doctor.prediction import scoring_seconds
from mapsr.errors import ConfigError, DataError
from mapsr.findings import Finding, duration, evenly
from mapsr.geo import ImageInfo, ImageReader, Window
from mapsr.geo.examination import count_codes
from mapsr.legends import Crosswalk, Legends, code_table
from mapsr.mapping import MapPlan
from mapsr.mapping.plan import Unit
from mapsr.methods import FittedMethod, ImageFacts
from mapsr.methods.method import FitWork
from mapsr.region import Image, Images, MapSettings
from mapsr.region.checks import scale_of, usable
from mapsr.remote import RemotePath

MAP_S, FIT_S = 40.0, 30.0
"""Seconds that a preview's map and the features of its fit may take, as one chip foretells them."""
_SIDES = (4, 3, 2, 1)
"""Chips along a side of a preview, as many as there is time for."""
_FEWEST, _MOST = 4, 64
"""Chips that a preview is fitted on."""
_IMAGES, _PLACES = 8, 7
"""Images of many, and places along a side of each, that are looked at."""
_VALID = 0.9
"""Share of a place that should hold data."""


@dataclass(frozen=True)
class Preview:
    """What a preview is made with.

    Attributes:
        settings: of its map.
        findings: which place was chosen, why, and what it takes.
    """

    settings: MapSettings
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Place:
    """A work unit of an image: what the product has there."""

    image: Image
    info: ImageInfo
    unit: Unit
    classes: tuple[str, ...]
    variety: float


def plan_preview(
    images: Images, settings: MapSettings, fitted: FittedMethod | None, out: str
) -> Preview:
    """Choose a place, and settings that map it soon.

    Chips are those of the whole image, so that the map is the same there but for the fit, which
    sees fewer chips; they come from all of the image.

    Args:
        images: that were found.
        settings: of the whole map.
        fitted: the method; None: it is fitted on the product.
        out: the map of the preview.

    Raises:
        ConfigError: a place is given, or the fit's time can't be known.
        DataError: no place holds data.
        MapsrError: no chip can be scored, or a file can't be read.
    """
    if settings.place is not None:
        raise ConfigError(
            "mapsr preview chooses its place itself: leave window= and aoi= out, or give them to "
            "mapsr map."
        )
    every = usable(images, settings, fitted.image if fitted else None).every
    good = [one for one in every if one.error is None and one.info is not None]
    if not good or good[0].info is None:
        raise next(one.error for one in every if one.error)
    facts = fitted.image if fitted else _facts(good[0].info, settings)
    # a unit of one chip: fewer are scored around the place
    windows = replace(settings.windows, unit=settings.windows.chip)
    small = replace(settings, windows=windows, confidence=True, mosaic=False)
    place = _chosen(good, small, facts)
    cost = measure([place.info], small, facts, fitted, rehearses=False)
    if cost is None:
        raise DataError(f"No chip of {place.info.path} holds data, expected some to look at.")
    return _planned(place, small, cost, fitted, len(good), out)


def _facts(info: ImageInfo, settings: MapSettings) -> ImageFacts:
    return ImageFacts(scale_of(info, settings.scale), settings.bands or info.bands, info.dtype)


def _chosen(images: Sequence[Image], settings: MapSettings, facts: ImageFacts) -> _Place:
    """The place with data whose product has its classes most evenly; else the one in the middle."""
    crosswalk = Legends.load(settings.legend, scored=False).coarse
    places: list[_Place] = []
    for image in evenly(images, _IMAGES):
        if image.info is not None:
            plan = MapPlan((image.info.grid.height, image.info.grid.width), settings.windows)
            places += [_place(image, image.info, unit, crosswalk) for unit in _spread(plan)]
    # the middle comes first among equals
    order = sorted(range(len(places)), key=lambda n: (-places[n].variety, abs(2 * n - len(places))))
    fallback: _Place | None = None
    for number in order:
        place = places[number]
        reader = ImageReader(place.info, facts.bands, facts.scale)
        share = float(reader.read(place.unit.owned)[1].mean())
        if share >= _VALID:
            return place
        fallback = fallback or (place if share else None)
    if fallback is None:
        raise DataError("No place of the images that was looked at holds data, expected some.")
    return fallback


def _spread(plan: MapPlan) -> list[Unit]:
    """Units that lie evenly over an image, row by row."""
    units = list(plan)
    rows = sorted({unit.owned.row for unit in units})
    columns = sorted({unit.owned.col for unit in units})
    some = set(evenly(rows, _PLACES)), set(evenly(columns, _PLACES))
    return [unit for unit in units if unit.owned.row in some[0] and unit.owned.col in some[1]]


def _place(image: Image, info: ImageInfo, unit: Unit, crosswalk: Crosswalk) -> _Place:
    if image.coarse is None:
        return _Place(image, info, unit, (), 0.0)
    counts = count_codes(image.coarse, info.grid.crop(unit.owned), 64)
    shares: dict[str, float] = {}
    for row in code_table(crosswalk, counts):
        if row.target:
            shares[row.target] = shares.get(row.target, 0.0) + row.share
    return _Place(image, info, unit, tuple(shares), variety(list(shares.values())))


def variety(shares: Sequence[float]) -> float:
    """How evenly a place is shared: the entropy of its classes in nats, times the share they have.

    Args:
        shares: of the place, by class; they sum to 1 where all of it has a class.
    """
    total = sum(shares)
    return -sum(share * log(share / total) for share in shares if share > 0)


def _planned(
    place: _Place,
    settings: MapSettings,
    cost: Cost,
    fitted: FittedMethod | None,
    images: int,
    out: str,
) -> Preview:
    window, scored = _window(place, settings, cost)
    work = FitWork(0, 0) if fitted else cost.method.work(_MOST)
    changes: dict[str, Any] = {}
    if not fitted:
        most = max(_FEWEST, min(_MOST, int(FIT_S / max(cost.encode_seconds, 1e-3))))
        changes, work = _few_chips(settings, cost, most)
    if work.passes is None:
        raise ConfigError(
            "How long this method takes to fit is not known, so it can't be previewed: give "
            "fitted=RUN, or another method, such as method=mapsr_em."
        )
    text = ",".join(str(one) for one in (window.row, window.col, window.height, window.width))
    image = _address(place.info.path)
    made = replace(settings, image=image, image_asset=None, window=text, out=out, **changes)
    if place.image.coarse is not None:
        made = replace(made, coarse=_address(place.image.coarse), coarse_asset=None)
    findings = [_why(place, window, images)]
    if work.chips:
        text = f"{work.words} fitted on {work.chips} chip(s) at most, drawn from all of the image"
        findings.append(Finding("fit", text))
    text = f"{scored} chip(s) around it are scored, in about "
    text += duration(scoring_seconds(cost, scored))
    return Preview(made, (*findings, Finding("preview", text)))


def _address(path: Path) -> str:
    """A path as a setting takes it, with what an address needs to be read."""
    return path.address if isinstance(path, RemotePath) else str(path)


def _few_chips(settings: MapSettings, cost: Cost, most: int) -> tuple[dict[str, Any], FitWork]:
    """Settings with which a method is fitted on few chips, and the work that this is."""
    for name in ("prompts", "method"):
        part: Any = getattr(settings, name)
        if name in settings.used and hasattr(part, "chips"):
            few = most if part.chips is None else min(most, part.chips)
            return {name: replace(part, chips=few)}, cost.method.work(few)
    return {}, cost.method.work(most)


def _window(place: _Place, settings: MapSettings, cost: Cost) -> tuple[Window, int]:
    """The pixels that are mapped, and how many chips that takes: as many as there is time for."""
    info = place.info
    plan = MapPlan((info.grid.height, info.grid.width), settings.windows)
    speed = cost.at_once * cost.seconds / (cost.round_seconds or cost.seconds)
    window, scored = place.unit.owned, 0
    for side in _SIDES:
        window = _grown(place.unit.owned, side, info.grid.window)
        near = {
            one.number
            for unit in plan
            if unit.owned.intersect(window)
            for one in plan.touching(unit)
        }
        scored = len(near)
        if scored * cost.seconds / max(speed, 1.0) <= MAP_S:
            break
    return window, scored


def _grown(middle: Window, times: int, whole: Window) -> Window:
    """A window so many times as high and wide around another one, moved to lie within the whole."""
    height = min(times * middle.height, whole.height)
    width = min(times * middle.width, whole.width)
    row = middle.row - (height - middle.height) // 2
    col = middle.col - (width - middle.width) // 2
    row, col = max(0, min(row, whole.height - height)), max(0, min(col, whole.width - width))
    return Window(row, col, height, width)


def _why(place: _Place, window: Window, images: int) -> Finding:
    where = f"{window.height} x {window.width} px from row {window.row}, column {window.col}"
    of = f" of {place.info.path}" if images > 1 else ""
    if place.classes:
        listed = ", ".join(sorted(place.classes))
        why = f"where the product's classes are most evenly mixed ({listed})"
    else:
        why = "the middle of what holds data, as no product says where it is varied"
    return Finding("place", f"{where}{of}: {why}")
