"""The page of a finished run."""

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import mapsr
from mapsr.data import Scene
from mapsr.errors import MapsrError
from mapsr.experiment.scenes import legends_of
from mapsr.experiment.settings import RunSettings
from mapsr.geo import Grid, image_info, read_grid
from mapsr.legends import Legends
from mapsr.pages.accuracy import accuracy_note, accuracy_tables
from mapsr.pages.areas import measured_areas
from mapsr.pages.settings import PageSettings
from mapsr.plugins import load_choices
from mapsr.progress import Progress
from mapsr.report.page import Facts, Page, Table
from mapsr.report.views import (
    ErrorLayer,
    ImageLayer,
    LabelLayer,
    Layer,
    SureLayer,
    View,
    view_of,
)
from mapsr.settings import assembled
from mapsr.tracking import read_config
from mapsr.tracking.finished import read_confusion, read_metrics, read_record

logger = logging.getLogger(__name__)

_DRAWN = ("image", "coarse", "truth")


@dataclass(frozen=True)
class _Run:
    """A finished run as it lies there."""

    path: Path
    settings: RunSettings
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    record: Mapping[str, Any]
    legends: Legends


def run_page(settings: PageSettings, progress: Progress) -> Page:
    """Gather the page of a run.

    Raises:
        ConfigError: there is no finished run.
        MapsrError: what it made can't be read any more.
    """
    path = Path(settings.source)
    load_choices()
    config = read_config(path)
    made = assembled(RunSettings, config)
    run = _Run(path, made, config, read_metrics(path), read_record(path), legends_of(made))
    names = run.legends.target.names
    scenes, warnings = _scenes(run)
    shown = scenes[: settings.scenes]
    views = [_view(run, scene) for scene in progress.track(shown, "pictures", len(shown))]
    layers = [_label_layers(run, scene) for scene in scenes]
    confusions = read_confusion(path) if run.metrics.get("miou") is not None else {}
    left = f", {len(shown)} of them shown" if len(shown) < len(scenes) else ""
    return Page(
        title=f"Run {path.resolve().name}",
        summary=(_scores_in_words(run.metrics), f"{len(scenes)} scene(s) mapped{left}."),
        warnings=warnings,
        views=tuple(views),
        legend=run.legends.target,
        sure=(0.0, 1.0, "probability") if any(_sure(run, one) for one in shown) else None,
        errors=any(one.truth is not None for one in shown),
        areas=(measured_areas(layers, run.legends.target, progress),) if layers else (),
        accuracy=accuracy_tables(run.metrics, confusions, names, made.seed),
        accuracy_note=accuracy_note(run.metrics),
        facts=(_settings(run), _provenance(run)),
        command=f"mapsr run config={shlex.quote(str(path / 'config.yaml'))} output=ANOTHER_FOLDER",
        version=mapsr.__version__,
    )


def _scenes(run: _Run) -> tuple[list[Scene], tuple[str, ...]]:
    """The scenes that were mapped; those whose files are gone show the map alone."""
    names = (run.record.get("scenes") or {}).get("score") or []
    found: dict[str, Scene] = {}
    warnings: tuple[str, ...] = ()
    try:
        data = run.settings.data.find()
        found = {scene.name: scene for scene in (data.score if data else ())}
    except MapsrError as error:
        warnings = (f"The data are not where they were, so that maps are shown alone: {error}",)
    drawn = run.path / "scenes"  # of data that are drawn
    scenes = []
    for name in names:
        files = [drawn / name / f"{kind}.tif" for kind in _DRAWN]
        own = Scene(name, *files) if all(file.exists() for file in files) else None
        alone = Scene(name, _map(run, name), None, None)
        scenes.append(found.get(name) or own or alone)
    return scenes, warnings


def _map(run: _Run, name: str) -> Path:
    return run.path / "maps" / f"{name}.tif"


def _label_layers(run: _Run, scene: Scene) -> dict[str, LabelLayer]:
    """Map, product and truth of a scene, in the map's classes."""
    path, legends = _map(run, scene.name), run.legends
    grid = read_grid(path)
    found = {"map": LabelLayer("map", (path,), grid, legends.target)}
    if scene.coarse is not None:
        found["product"] = LabelLayer(
            "product", (scene.coarse,), grid, legends.target, legends.coarse
        )
    if scene.truth is not None:
        found["truth"] = LabelLayer("truth", (scene.truth,), grid, legends.target, legends.truth)
    return found


def _view(run: _Run, scene: Scene) -> View:
    labels = _label_layers(run, scene)
    grid: Grid = labels["map"].grid
    layers: list[Layer] = []
    if scene.image != _map(run, scene.name):
        layers.append(ImageLayer((image_info(scene.image),), grid, run.settings.data.scale))
    layers += [labels[name] for name in ("product", "map") if name in labels]
    if sure := _sure(run, scene):
        layers.append(SureLayer(sure, probable=True))
    if "truth" in labels:
        layers += [labels["truth"], ErrorLayer(labels["map"], labels["truth"])]
    return view_of(scene.name, grid, layers, labels["map"])


def _sure(run: _Run, scene: Scene) -> Path | None:
    path = run.path / "maps" / f"{scene.name}_confidence.tif"
    return path if path.exists() else None


def _scores_in_words(metrics: Mapping[str, Any]) -> str:
    if metrics.get("miou") is None:
        return "No scene has truth, so that nothing was scored."
    words = f"Mean IoU {metrics['miou']:.3f}, overall accuracy {metrics['oa']:.3f}"
    coarse = metrics.get("coarse") or {}
    if coarse.get("miou") is not None:
        words += f"; the coarse product itself {coarse['miou']:.3f} and {coarse['oa']:.3f}"
    return f"{words}."


def _settings(run: _Run) -> Facts:
    rows = []
    for key, value in run.config.items():
        if isinstance(value, dict):
            rows.append((key, str(value.get("kind", ""))))
        elif value is not None:
            rows.append((key, str(value)))
    return Facts("Settings", rows, yaml.safe_dump(dict(run.config), sort_keys=False))


def _provenance(run: _Run) -> Facts:
    record = run.record
    rows = [("folder", str(run.path.resolve()))]
    for key in ("started", "command", "directory", "device", "platform", "cpus"):
        if record.get(key) is not None:
            rows.append((key, str(record[key])))
    if git := record.get("git"):
        rows.append(("commit", f"{git['commit']}{', with changes' if git['dirty'] else ''}"))
    rows += [("crosswalk", str(run.metrics.get("crosswalk")))]
    rows += [("trained parameters", f"{run.metrics.get('trained_parameters'):,}")]
    return Facts("Provenance", rows, tables=_record_tables(record))


def _state(file: Mapping[str, Any]) -> str:
    """What tells the content of a file: its hash; on the network what the server says of it."""
    return str(file["sha256"]) if "sha256" in file else " ".join(map(str, file.get("state", ())))


def _record_tables(record: Mapping[str, Any]) -> tuple[Table, ...]:
    seconds = tuple((stage, f"{value:.1f}") for stage, value in record.get("seconds", {}).items())
    versions = tuple((name, str(value)) for name, value in record.get("versions", {}).items())
    inputs = tuple(
        (str(one["path"]), f"{one['size_bytes']:,}", _state(one))
        for one in record.get("inputs", ())
    )
    weights = tuple((str(one["name"]), str(one["sha256"])) for one in record.get("weights", ()))
    tables = (
        Table("Time by stage", ("stage", "seconds"), seconds),
        Table("Versions", ("package", "version"), versions),
        Table("Inputs", ("file", "bytes", "SHA-256 or version"), inputs),
        Table("Weights", ("name", "SHA-256"), weights),
    )
    return tuple(one for one in tables if one.rows)
