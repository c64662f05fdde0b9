"""Run one experiment: fit, map and judge, into a run folder."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mapsr.data import Scenes, SceneSource
from mapsr.data.synthetic import SyntheticSettings
from mapsr.evaluation import Confusion, Scores, bootstrap
from mapsr.experiment.assemble import Legends, scenes_of
from mapsr.experiment.fitting import build_extractor, fit, image_facts, prompt_file
from mapsr.experiment.pictures import probe_map, read_labels, scene_picture
from mapsr.experiment.settings import RunSettings
from mapsr.geo import ImageReader, Window, image_info
from mapsr.mapping import LocalEngine, MapJob, Output, Plan, Raster, run_jobs
from mapsr.methods import MapSR
from mapsr.progress import Progress
from mapsr.prompts import save_prompts
from mapsr.settings import kind_of
from mapsr.tracking import RunFolder, Stopwatch, collect_record, open_logger, science_hash

logger = logging.getLogger(__name__)

# Settings that results do not depend on.
_NOT_SCIENCE = (
    *("output", "overwrite", "weights_folder", "logger", "engine", "cache", "trainer", "name"),
)
_PICTURES = 4
# Rows judged at once.
_BAND_PX = 1024
Plain = Mapping[str, object]


@dataclass
class Judgement:
    """Confusion matrices by scene: of the map, the probe alone and the coarse product."""

    map: dict[str, Confusion]
    probe: dict[str, Confusion]
    coarse: dict[str, Confusion]


def run_experiment(
    settings: RunSettings, config: Plain, progress: Progress
) -> tuple[Path, dict[str, object]]:
    """Run an experiment.

    Args:
        settings: everything the run needs.
        config: the same as plain containers, to be kept beside the results.
        progress: shows long work.

    Returns:
        The run folder and what stands in its metrics.json.

    Raises:
        MapsrError: with one sentence on what is wrong; the folder then holds failed.json.
    """
    science = {key: value for key, value in config.items() if key not in _NOT_SCIENCE}
    folder = RunFolder.open(_path(settings, science), config, science, settings.overwrite)
    watch = Stopwatch()
    with folder, open_logger(settings.logger, folder.path, settings.name, config) as mirror:
        legends = Legends.load(settings.legend)
        with watch("scenes"):
            scenes = scenes_of(settings, folder.path / "scenes")
            source = SceneSource(
                settings.data.scale, legends.coarse, legends.truth, _bands(settings)
            )
            for scene in dict.fromkeys((*scenes.fit, *scenes.score)):
                source.check(scene)
        logger.info("%d scene(s) to fit on, %d to map", len(scenes.fit), len(scenes.score))
        with watch("weights"):
            cache = settings.cache.open()
            extractor = build_extractor(settings, settings.weights_folder, watch, cache)
        method = MapSR(
            extractor,
            settings.refine,
            legends.target.names,
            batch=settings.engine.batch,
            seed=settings.seed,
            progress=progress,
            watch=watch,
        )
        with watch("fit"):
            fit(method, settings, source, scenes.fit, legends)
        logger.info("pixels behind the prompts: %s", _prompt_pixels(method))
        image = image_facts(scenes.fit, settings.data.scale, _bands(settings))
        save_prompts(folder.prompts, prompt_file(method, settings, config, legends, image))
        with watch("map"):
            paths = _map_scenes(method, settings, scenes, legends, folder, progress)
        if cache:
            found, asked = cache.hits, cache.hits + cache.misses
            logger.info("%d of %d chips came from the cache", found, asked)
        with watch("judge"):
            judgement = _judge(source, scenes, legends, paths)
            for scene in scenes.score[:_PICTURES]:
                picture = folder.figures / f"{scene.name}.png"
                scene_picture(picture, source, scene, paths[scene.name], legends)
        names = legends.target.names
        metrics = _metrics(judgement, names, method.trained_parameters, settings)
        folder.write_confusion(judgement.map, names)
        folder.write_record(_record(method, settings, scenes, source, legends, watch))
        metrics["seconds"] = {stage: round(s, 3) for stage, s in watch.seconds.items()}
        mirror.metrics(metrics)
        for picture in sorted(folder.figures.glob("*.png")):
            mirror.picture(picture.stem, picture)
        if judgement.map:
            mirror.confusion(_pooled(judgement.map).counts, names)
        logger.info("mIoU %s, OA %s", metrics["miou"], metrics["oa"])
        folder.write_metrics(metrics)
    return folder.path, metrics


def _map_scenes(
    method: MapSR,
    settings: RunSettings,
    scenes: Scenes,
    legends: Legends,
    folder: RunFolder,
    progress: Progress,
) -> dict[str, Path]:
    """Map the scenes that are to be scored; return the map's path by scene."""
    outputs = (Output(), Output("probe")) if method.probe else (Output(),)
    tags = {"MAPSR_RUN": settings.name, "MAPSR_CROSSWALK": settings.legend.crosswalk}
    jobs = []
    for scene in scenes.score:
        reader = ImageReader(image_info(scene.image), _bands(settings), settings.data.scale)
        plan = Plan((reader.grid.height, reader.grid.width), settings.windows)
        raster = Raster(scene.name, reader, plan, outputs)
        path = folder.maps / f"{scene.name}.tif"
        # nothing of an earlier attempt is taken over: prompts may have been others
        jobs.append(MapJob(raster, path, legends.target, {}, tags, overwrite=True, restart=True))
    engine = LocalEngine(
        [partial(method.score, probe=True)],
        settings.trainer.device.type,
        settings.engine.workers,
        settings.engine.batch,
    )
    for report in run_jobs(jobs, engine, progress):
        if report.error:
            raise report.error
    return {job.raster.name: job.out for job in jobs}


def _judge(
    source: SceneSource, scenes: Scenes, legends: Legends, paths: Mapping[str, Path]
) -> Judgement:
    """Hold maps and coarse products against the truth, where there is any, band by band."""
    judgement = Judgement({}, {}, {})
    for scene in scenes.score:
        layers = {"map": paths[scene.name], "probe": probe_map(paths[scene.name])}
        grid = source.grid(scene)
        for top in range(0, grid.height, _BAND_PX):
            window = Window(top, 0, min(_BAND_PX, grid.height - top), grid.width)
            seen = source.read_labels(scene, window)
            if seen["truth"] is None:
                break
            labels = {
                layer: read_labels(path, grid, window)
                for layer, path in layers.items()
                if path.exists()
            }
            if seen["coarse"] is not None:
                labels["coarse"] = legends.coarse.apply(seen["coarse"].numpy())
            for layer, found in labels.items():
                by_scene: dict[str, Confusion] = getattr(judgement, layer)
                one = Confusion.of(seen["truth"].numpy(), found, len(legends.target))
                before = by_scene.get(scene.name, Confusion.zeros(len(legends.target)))
                by_scene[scene.name] = before + one
    return judgement


def _metrics(
    judgement: Judgement, names: tuple[str, ...], trained: int, settings: RunSettings
) -> dict[str, object]:
    """What metrics.json holds; scores are None where no scene has truth."""
    metrics: dict[str, object] = {"miou": None, "oa": None, "iou": None}
    metrics |= _scores(judgement.map, names)
    spread = bootstrap(list(judgement.map.values()), generator=np.random.default_rng(settings.seed))
    metrics["intervals"] = None if spread is None else spread.as_dict()
    for layer in ("coarse", "probe"):
        found = _scores(getattr(judgement, layer), names)
        metrics[layer] = found or {"miou": None, "oa": None, "iou": None}
    metrics["crosswalk"] = settings.legend.crosswalk
    metrics["transductive"] = settings.transductive
    metrics["trained_parameters"] = trained
    return metrics


def _scores(confusions: dict[str, Confusion], names: tuple[str, ...]) -> dict[str, object]:
    pooled = _pooled(confusions) if confusions else None
    if pooled is None or not pooled.counts.any():
        return {}
    return Scores.of(pooled).as_dict(names)


def _pooled(confusions: dict[str, Confusion]) -> Confusion:
    first, *others = confusions.values()
    return sum(others, first)


def _record(
    method: MapSR,
    settings: RunSettings,
    scenes: Scenes,
    source: SceneSource,
    legends: Legends,
    watch: Stopwatch,
) -> dict[str, object]:
    files = [
        path
        for scene in dict.fromkeys((*scenes.fit, *scenes.score))
        for path in (scene.image, scene.coarse, scene.truth)
        if path is not None
    ]
    weights = (method.extractor.encoder.weights, method.extractor.upsampler.weights)
    record = collect_record(
        watch=watch,
        device=str(method.extractor.device),
        seeds={"run": settings.seed},
        weights=[one for one in weights if one],
        inputs=files,
    )
    return record | {
        "trained_parameters": method.trained_parameters,
        "transductive": settings.transductive,
        "prompts_from": kind_of(settings.prompts),
        "crosswalk": {
            "name": settings.legend.crosswalk,
            "coarse": {str(code): name for code, name in legends.coarse.targets().items()},
            "truth": {str(code): name for code, name in legends.truth.targets().items()},
        },
        "scenes": {
            "fit": [scene.name for scene in scenes.fit],
            "score": [scene.name for scene in scenes.score],
        },
        "unknown_codes": source.unknown_codes,
        "prompt_pixels": _prompt_pixels(method),
        "cache": cached.cache.facts() if (cached := method.extractor.cached) else None,
    }


def _prompt_pixels(method: MapSR) -> dict[str, int]:
    counts = method.prompts.counts.tolist() if method.prompts else []
    return dict(zip(method.class_names, counts, strict=bool(counts)))


def _bands(settings: RunSettings) -> int | None:
    return None if isinstance(settings.data, SyntheticSettings) else settings.data.bands


def _path(settings: RunSettings, science: Plain) -> Path:
    if settings.output:
        return Path(settings.output)
    return Path("outputs/runs") / f"{settings.name}-{science_hash(science)[:8]}-s{settings.seed}"
