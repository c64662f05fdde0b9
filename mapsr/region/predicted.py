"""What a map was foretold to take: kept when it is foretold, and held against what it took."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from mapsr.files import write_json
from mapsr.measure.answer import Record
from mapsr.paths import local_path, true_path
from mapsr.redaction import redact_address
from mapsr.region.settings import MapSettings
from mapsr.remote import is_remote
from mapsr.settings import plain
from mapsr.weights import cache_folder

logger = logging.getLogger(__name__)

_MOST = 100
"""Estimates that are kept; the oldest go."""
# where a map goes, and what is done with what is there, changes nothing of the time
_ASIDE = ("out", "overwrite", "restart", "name", "low_confidence")


@dataclass(frozen=True)
class Estimate:
    """Seconds that the stages of a map are foretold to take.

    Attributes:
        start: until the first image is looked at.
        fit: of the method; 0 where it is given, None where it is not known beforehand.
        map: scoring chips and writing the maps.
        measure: the areas of the maps.
    """

    start: float
    fit: float | None
    map: float
    measure: float

    @property
    def total(self) -> float:
        """Of all stages that are known."""
        return self.start + (self.fit or 0.0) + self.map + self.measure


def keep_estimate(settings: MapSettings, estimate: Estimate) -> None:
    """Keep an estimate in the user's cache, for the record of the map that it is of."""
    folder = _folder()
    seconds = {stage: None if s is None else round(s, 3) for stage, s in asdict(estimate).items()}
    made = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        write_json(folder / f"{_key(settings)}.json", {"made": made, "seconds": seconds})
        every = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in every[:-_MOST]:
            path.unlink(missing_ok=True)
    except OSError as error:
        logger.info("the estimate is not kept for the map's record: %s", error)


def kept_estimate(settings: MapSettings) -> Record | None:
    """An estimate that was made of a map with these settings: when, and seconds by stage."""
    try:
        found = json.loads((_folder() / f"{_key(settings)}.json").read_text(encoding="utf-8"))
        stages = Estimate(**found["seconds"])
        return {"made": str(found["made"]), "seconds": asdict(stages) | {"total": stages.total}}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def compared(found: Record | None, took: Mapping[str, float], *, whole: bool) -> Record | None:
    """Hold an estimate against what a job took.

    Args:
        found: of ``kept_estimate``.
        took: seconds by stage, of which "fit" and "map" are compared: the others are counted
            otherwise for several maps.
        whole: the fit and the map were made now, with nothing left of an earlier attempt.

    Returns:
        The estimate with ``took_over_predicted``, None where the comparison would say nothing.
    """
    if found is None:
        return None
    seconds = found["seconds"]
    ratio = None
    if whole and seconds["fit"] is not None and seconds["fit"] + seconds["map"] > 0:
        actual = took.get("fit", 0.0) + took.get("map", 0.0)
        ratio = round(actual / (seconds["fit"] + seconds["map"]), 3)
    return found | {"took_over_predicted": ratio}


def _folder() -> Path:
    return cache_folder().with_name("estimates")


def _key(settings: MapSettings) -> str:
    """A name for all that the time depends on: what is mapped, and how."""
    chosen = {key: value for key, value in plain(settings).items() if key not in _ASIDE}
    for key in ("image", "coarse", "fitted", "aoi"):
        text = chosen.get(key)
        if text and is_remote(text):
            chosen[key] = redact_address(text)  # with another signature it is the same
        elif text:
            chosen[key] = str(true_path(local_path(text, key)))
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()
