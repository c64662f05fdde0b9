"""What is made of a map beside it: one with a minimum mapping unit, polygons, a STAC item."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from mapsr.errors import ConfigError
from mapsr.geo.stac_items import Span
from mapsr.mapping.jobs import JOB_TAG, MapJob
from mapsr.measure.answer import Record, areas_record
from mapsr.measure.areas import measure_areas
from mapsr.measure.labels import open_labels
from mapsr.measure.unit import MinimumUnit
from mapsr.progress import Progress
from mapsr.region.catalogue import write_map_item
from mapsr.region.settings import MapSettings


def derived_paths(out: Path, settings: MapSettings) -> dict[str, Path]:
    """What is made of a map besides: its file by key of the settings."""
    paths = {}
    if settings.mmu:
        paths["mmu"] = out.with_name(f"{out.stem}_mmu{out.suffix}")
    if settings.vectors:
        paths["vectors"] = out.with_suffix(".gpkg")
    if settings.stac:
        paths["stac"] = out.with_suffix(".json")
    return paths


def require_derived(out: Path, record: Record | None, settings: MapSettings) -> None:
    """Refuse to take the place of files that were not made of the map, before the work.

    Args:
        out: the map.
        record: that lies beside it, None where none does.
        settings: of the command.

    Raises:
        ConfigError: there is such a file.
    """
    ours = {one["file"] for one in ((record or {}).get("derived") or {}).values()}
    for path in derived_paths(out, settings).values():
        if path.exists() and str(path) not in ours and not settings.overwrite:
            raise ConfigError(
                f"{path}, which is written beside {out}, is there already: choose another out=, or "
                "set overwrite=true."
            )


def is_whole(record: Record, out: Path, settings: MapSettings) -> bool:
    """Whether all that is to be made of a map was made, as its record says, and is there."""
    derived = record.get("derived") or {}
    if settings.mmu != (derived.get("mmu") or {}).get("mmu") and settings.mmu:
        return False
    return all(
        key in derived and path.exists() for key, path in derived_paths(out, settings).items()
    )


def derive(
    job: MapJob,
    settings: MapSettings,
    confidence: Path | None,
    progress: Progress,
    times: Sequence[Span],
    started: datetime,
) -> Record:
    """Make of a map what the settings ask for.

    Args:
        job: that made the map.
        settings: of the command.
        confidence: of the map; None: it was not asked for.
        progress: shows the work.
        times: when the images were taken, as far as that is known.
        started: when the map was made.

    Returns:
        What was made, by key of the settings.

    Raises:
        MapsrError: the map can't be read, or a file not written.
    """
    paths, labels = derived_paths(job.out, settings), open_labels([job.out])
    made: Record = {}
    if "mmu" in paths and settings.mmu:
        tags = {**job.tags, JOB_TAG: job.hash, "MAPSR_MMU": settings.mmu}
        from mapsr.measure.sieving import write_sieved

        unit = MinimumUnit.read(settings.mmu)
        found = write_sieved(labels, unit, paths["mmu"], tags, progress, overwrite=True)
        labels = open_labels([paths["mmu"]])
        areas = areas_record(measure_areas(labels, None, progress), labels, None, None)["areas"]
        counts = {key: found[key] for key in ("least_pixels", "patches", "patches_left", "islands")}
        made["mmu"] = {"file": str(paths["mmu"]), "mmu": settings.mmu, **counts, "areas": areas}
    if "vectors" in paths:
        from mapsr.measure.outlining import write_outlines  # seconds, which other maps need not

        polygons = write_outlines(labels, confidence, paths["vectors"], progress)["polygons"]
        made["vectors"] = {"file": str(paths["vectors"]), "polygons": polygons}
    if "stac" in paths:
        error = settings.product_error
        write_map_item(job, paths, times, started, product_error=error)
        made["stac"] = {"file": str(paths["stac"])}
    return made
