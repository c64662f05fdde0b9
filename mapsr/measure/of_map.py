"""Ask a map for its areas: from what a command takes to a record and its files."""

import json
from pathlib import Path

from mapsr.errors import ConfigError
from mapsr.geo import read_tags
from mapsr.geo.stac import one_raster
from mapsr.measure.answer import Record, areas_record
from mapsr.measure.areas import Sureness, measure_areas
from mapsr.measure.files import write_file, write_record
from mapsr.measure.labels import Labels, onto, open_labels
from mapsr.measure.settings import AreaSettings
from mapsr.progress import Progress
from mapsr.quoting import csv_text

_JOB = "MAPSR_JOB"
_CONFIGURATION = "MAPSR_CONFIGURATION"


def ask_areas(settings: AreaSettings, progress: Progress) -> Record:
    """Measure a map, write what the settings name, and return the record.

    Raises:
        MapsrError: a file can't be read or written, or a legend or crosswalk is not right.
    """
    path = one_raster(settings.map, "map")
    labels = open_labels([path], settings.legend)
    product = product_of(settings.product, settings.product_legend, settings.crosswalk, labels)
    zones = None
    if settings.zones:
        from mapsr.geo.zones import open_zones  # seconds, which maps without zones need not

        zones = open_zones(settings.zones)
    sureness = _sureness(path, settings)
    areas = measure_areas(labels, product, progress, zones=zones, sureness=sureness)
    record = {"map": str(path)} | areas_record(areas, labels, product, sureness)
    if zones is not None and not areas.zones:
        raise ConfigError(
            f"No polygon of zones={settings.zones} holds the centre of a pixel of {path}: check "
            "where both lie."
        )
    if settings.out:
        write_record(settings.out, record)
    if settings.csv:
        write_file(settings.csv, _as_csv(record))
    return record


def product_of(
    text: str | None, legend: str | None, crosswalk: str, labels: Labels
) -> Labels | None:
    """Open a product and ask it for the classes of a map; None where there is none.

    Args:
        text: its file.
        legend: its legend; None: the product says it.
        crosswalk: to the map's classes.
        labels: the map.

    Raises:
        MapsrError: see ``open_labels`` and ``onto``.
    """
    if text is None:
        return None
    return onto(open_labels([one_raster(text, "product")], legend), labels.legend, crosswalk)


def confidence_beside(path: Path) -> Path | None:
    """The confidence that lies beside a map and is of the same job; None where there is none."""
    beside = path.with_name(f"{path.stem}_confidence{path.suffix}")
    job = read_tags(path).get(_JOB)
    if job is None or not beside.exists() or read_tags(beside).get(_JOB) != job:
        return None
    return beside


def probable(path: Path) -> bool:
    """Whether the confidence of a map is a probability, as the map's tags say."""
    try:
        outputs = json.loads(read_tags(path).get(_CONFIGURATION, "{}")).get("outputs", [])
    except ValueError:
        return False
    return "map_probability" in outputs


def _sureness(path: Path, settings: AreaSettings) -> Sureness | None:
    if settings.confidence:
        return Sureness(one_raster(settings.confidence, "confidence"), low=settings.low)
    beside = confidence_beside(path)
    return None if beside is None else Sureness(beside, probable(path), settings.low)


def _as_csv(record: Record) -> str:
    """The areas as a table: rows of all of the map, then those of each zone."""
    keys = list(record["areas"]["classes"][0])
    zones = record.get("zones", [])
    columns = list(zones[0]["attributes"]) if zones else []
    rows: list[list[object]] = [["zone", *columns, *keys]]
    for row in record["areas"]["classes"]:
        rows.append(["", *("" for _ in columns), *(row[key] for key in keys)])
    for zone in zones:
        head = [zone["zone"], *(zone["attributes"][column] for column in columns)]
        for row in zone["classes"]:
            rows.append([*head, *(row[key] for key in keys)])
    return csv_text(rows)
