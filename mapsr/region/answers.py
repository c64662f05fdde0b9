"""The answer beside a map: one record of its areas, the product's, and how it was made."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapsr.changes import INPUTS
from mapsr.errors import ConfigError, DataError, LegendError, RasterError
from mapsr.files import write_json, write_text
from mapsr.geo import overlap
from mapsr.geo.mosaic_tiles import open_tiles
from mapsr.geo.stac_items import Span, taken
from mapsr.geo.states import describe_state
from mapsr.legends import Crosswalk, load_crosswalk
from mapsr.mapping import MapRequest, Report
from mapsr.mapping.assembly import output_paths
from mapsr.mapping.outputs import Output
from mapsr.measure.answer import Record, areas_record
from mapsr.measure.areas import Sureness, measure_areas
from mapsr.measure.labels import Labels, open_labels
from mapsr.memory import peak_memory_mib
from mapsr.methods import FittedMethod
from mapsr.methods.speed import pace_of
from mapsr.progress import Progress
from mapsr.redaction import RedactingFormatter, redact, redact_all
from mapsr.region.derived import derive, is_whole, require_derived
from mapsr.region.predicted import compared, kept_estimate
from mapsr.region.settings import MapSettings
from mapsr.settings import plain
from mapsr.tracking.record import Stopwatch, versions

logger = logging.getLogger(__name__)

_KIND = "map of mapsr"
"""What a record calls itself, by which it is told from a file of somebody else."""


def record_path(out: Path) -> Path:
    """The record beside a map."""
    return out.with_name(f"{out.stem}_record.json")


def read_record(path: Path) -> Record | None:
    """Return a record beside a map; None where there is none, or another file of that name."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("kind") == _KIND else None


def require_room(out: Path, settings: MapSettings) -> None:
    """Refuse to take the place of somebody else's file, before the work.

    Raises:
        ConfigError: there is a file where the record of a map would be, which is none; or where
            something would be that is made of the map, which was not.
    """
    path = record_path(out)
    record = read_record(path)
    require_derived(out, record, settings)
    if path.exists() and not settings.overwrite and record is None:
        raise ConfigError(
            f"{path}, which is written beside {out}, is there already and is not a record of a "
            "map: choose another out=, or set overwrite=true."
        )


@dataclass(frozen=True)
class Making:
    """How maps are made: what their records say besides what is measured.

    Attributes:
        settings: of the command.
        fitted: the method.
        path: its file.
        watch: times the stages.
        log: file of the messages.
        command: as it was given.
        progress: shows the work.
        fresh: the method was fitted now, or is given.
        taken: when images were taken, as the STAC items say that name them.
    """

    settings: MapSettings
    fitted: FittedMethod
    path: Path
    watch: Stopwatch
    log: Path
    command: str
    progress: Progress
    fresh: bool = True
    taken: Mapping[Path, Span] = field(default_factory=dict)

    def times(self, request: MapRequest) -> list[Span]:
        """When the images of a map were taken, as far as STAC items or their own tags say."""
        if not self.settings.stac:
            return []
        paths = [info.path for info in request.infos]
        found = (self.taken.get(path) or taken(path) for path in paths)
        return [one for one in found if one is not None]

    def crosswalk(self) -> Crosswalk | None:
        """From the product of the fit to the classes of the map; None where it is not known."""
        if self.fitted.product is None:
            return None
        # a file of one's own is known by its path alone, which only the command that fits has
        name = self.fitted.crosswalk if self.settings.fitted else self.settings.legend.crosswalk
        try:
            return load_crosswalk(name, self.fitted.product, self.fitted.target)
        except LegendError as error:
            logger.warning("Maps are not held against the product: %s", error)
            return None


def answer(report: Report, request: MapRequest, making: Making) -> Record:
    """Measure a map that is made and write its record; an earlier one of the same job stays.

    Args:
        report: of the map, without an error.
        request: what was asked for.
        making: how it was made.

    Raises:
        RasterError: the map or the product can't be read, or the record not written.
    """
    path = record_path(report.job.out)
    found = None if report.fresh else read_record(path)
    if found is not None and found.get("job") == report.job.hash:
        if is_whole(found, report.job.out, making.settings):
            return found
        logger.info("%s is made before: %s", report.job.out, making.command)
    with making.watch("measure"):
        measured = _measured(report, request, making)
    with making.watch("derive"):
        sureness = _sureness(report, making.settings)
        confidence = None if sureness is None else sureness.path
        derived = derive(
            report.job,
            making.settings,
            confidence,
            making.progress,
            making.times(request),
            making.watch.started,
        )
    seconds = ", ".join(f"{stage} {s:.1f} s" for stage, s in making.watch.seconds.items())
    logger.info("%s is made by: %s; %s", report.job.out, making.command, seconds)
    for warning in measured["warnings"]:
        logger.warning("%s: %s", report.job.out, warning)
    record = {"kind": _KIND} | _made(report, making) | measured | {"derived": derived}
    try:
        write_json(path, record)
    except OSError as error:
        raise RasterError(
            f"Can't write {path}: {error.strerror}; the map itself is whole, and the same command "
            "goes on from there."
        ) from error
    return record


def _measured(report: Report, request: MapRequest, making: Making) -> Record:
    job = report.job
    labels = open_labels([job.out])
    product, sureness = _product(request, labels, making), _sureness(report, making.settings)
    try:
        areas = measure_areas(labels, product, making.progress, sureness=sureness)
    except DataError as error:
        if product is None:
            raise
        logger.warning("%s is not held against the product: %s", job.out, error)
        product = None
        areas = measure_areas(labels, None, making.progress, sureness=sureness)
    return areas_record(areas, labels, product, sureness)


def _product(request: MapRequest, labels: Labels, making: Making) -> Labels | None:
    """The product at the place of a map, in the map's classes."""
    crosswalk = making.crosswalk() if request.products else None
    if crosswalk is None:
        return None
    here = [path for path in request.products if overlap(path, labels.grid) > 0]
    return Labels(open_tiles(here), crosswalk.source, crosswalk) if here else None


def _sureness(report: Report, settings: MapSettings) -> Sureness | None:
    outputs = report.job.raster.outputs
    for output in outputs:
        if output.layer == Output().layer and output.shown == "confidence":
            file = output_paths(report.job.out, outputs)[output.key]
            return Sureness(file, output.kind == "probability", settings.low_confidence)
    return None


def _made(report: Report, making: Making) -> Record:
    """How a map was made."""
    job, fitted = report.job, making.fitted
    states: Mapping[str, Any] = {"images": job.about[INPUTS]} | (
        {"products": job.about["products"]} if "products" in job.about else {}
    )
    inputs = {
        kind: [{"path": path, **describe_state(state)} for path, state in files.items()]
        for kind, files in states.items()
    }
    return {
        "map": str(job.out),
        "job": job.hash,
        "command": redact(making.command),
        "started": making.watch.started.isoformat(timespec="seconds"),
        "seconds": {stage: round(s, 3) for stage, s in making.watch.seconds.items()},
        "resumed_units": report.resumed,
        "predicted": compared(
            kept_estimate(making.settings),
            making.watch.seconds,
            whole=making.fresh and report.fresh and not report.resumed,
        ),
        "log": str(making.log),
        "peak_memory_mib": peak_memory_mib(),
        "versions": versions(),
        "fitted": {
            "path": str(making.path),
            "sha256": fitted.sha256,
            "crosswalk": fitted.crosswalk,
            "weights": dict(fitted.weights),
            "fit": fitted.state.facts.get("fit"),
        },
        "inputs": inputs,
        **_speed(making),
        "settings": redact_all(plain(making.settings)),
    }


def _speed(making: Making) -> Record:
    """How features were made, where the method has some."""
    parts = making.fitted.parts
    if parts.backbone is None or parts.speed is None:
        return {}
    compute = making.settings.compute
    return {"speed": pace_of(parts, compute.find(), compiled=compute.compile).facts()}


class _Lines(logging.Handler):
    """Keeps messages until there is a map that they may lie beside."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Add what the package logs in the block to a file, where the block comes to its end.

    Args:
        path: the file; what an earlier attempt wrote there stays before it.

    Raises:
        RasterError: it can't be written.
    """
    lines, package = _Lines(), logging.getLogger("mapsr")
    package.addHandler(lines)
    try:
        yield
    finally:
        package.removeHandler(lines)
    if not lines.lines:
        return
    try:
        earlier = path.read_text(encoding="utf-8") if path.exists() else ""
        write_text(path, earlier + "\n".join([*lines.lines, ""]))
    except (OSError, UnicodeDecodeError) as error:
        raise RasterError(f"Can't write {path}: {error}; the maps themselves are whole.") from error
