"""Run one experiment: fit, map and judge, into a run folder."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mapsr.data import Scene, Scenes, SceneSource
from mapsr.data.synthetic import SyntheticSettings
from mapsr.evaluation import Confusion, Scores, bootstrap
from mapsr.experiment.assemble import Legends, fit_chips, scenes_of
from mapsr.experiment.pictures import scene_picture
from mapsr.experiment.settings import RunSettings
from mapsr.geo import label_writer
from mapsr.mapping import map_raster
from mapsr.methods import FeatureExtractor, MapSR
from mapsr.progress import Progress
from mapsr.prompts import PromptFile, TruthPromptSettings, save_prompts
from mapsr.settings import kind_of
from mapsr.tracking import RunFolder, Stopwatch, collect_record, open_logger, science_hash

logger = logging.getLogger(__name__)

# Settings that results do not depend on.
_NOT_SCIENCE = ("output", "overwrite", "weights_folder", "logger", "engine", "trainer", "name")
_PICTURES = 4
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
        method = build_method(settings, legends, progress, watch)
        with watch("fit"):
            fit(method, settings, source, scenes, legends)
        logger.info("pixels behind the prompts: %s", _prompt_pixels(method))
        save_prompts(folder.prompts, prompt_file(method, settings, config, legends))
        with watch("map"):
            judgement = _map_scenes(method, settings, source, scenes, legends, folder, progress)
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


def build_method(
    settings: RunSettings, legends: Legends, progress: Progress, watch: Stopwatch
) -> MapSR:
    """Build encoder, upsampler and method.

    Raises:
        WeightsError: weights are absent, damaged or of another architecture.
    """
    with watch("weights"):
        extractor = FeatureExtractor(
            settings.backbone.build(settings.weights_folder),
            settings.upsampler.build(settings.weights_folder),
            settings.trainer.device,
            settings.engine.memory_mib,
            watch,
        )
    return MapSR(
        extractor,
        settings.refine,
        legends.target.names,
        batch=settings.engine.batch,
        seed=settings.seed,
        progress=progress,
        watch=watch,
    )


def fit(
    method: MapSR, settings: RunSettings, source: SceneSource, scenes: Scenes, legends: Legends
) -> None:
    """Fit the method's prompts as the settings say."""
    prompts = settings.prompts
    if isinstance(prompts, TruthPromptSettings):
        chips = fit_chips(source, scenes.fit[: prompts.scenes], settings.windows, prompts.chips)
        method.fit_truth(chips)
        return
    chips = fit_chips(source, scenes.fit, settings.windows, prompts.chips)
    trainer = settings.trainer
    method.fit_coarse(chips, legends.coarse, prompts, trainer.device.type, trainer.precision)


def prompt_file(
    method: MapSR, settings: RunSettings, config: Plain, legends: Legends
) -> PromptFile:
    """Gather what the prompts need to be applied elsewhere."""
    if method.prompts is None:
        raise RuntimeError("the prompts are fitted before they are saved")
    kept = ("backbone", "upsampler", "refine", "windows")
    image = {"scale": settings.data.scale, "bands": _bands(settings)}
    return PromptFile(
        prompts=method.prompts,
        legend=asdict(legends.target) | {"nodata": sorted(legends.target.nodata)},
        settings={key: config[key] for key in kept} | {"image": image},
        weights={
            "backbone": method.extractor.encoder.weights,
            "upsampler": method.extractor.upsampler.weights,
        },
        crosswalk=settings.legend.crosswalk,
    )


def _map_scenes(
    method: MapSR,
    settings: RunSettings,
    source: SceneSource,
    scenes: Scenes,
    legends: Legends,
    folder: RunFolder,
    progress: Progress,
) -> Judgement:
    judgement = Judgement({}, {}, {})
    for number, scene in enumerate(progress.track(scenes.score, "scenes", len(scenes.score))):
        path = folder.maps / f"{scene.name}.tif"
        _map_scene(method, settings, source, scene, legends, path, judgement)
        if number < _PICTURES:
            scene_picture(folder.figures / f"{scene.name}.png", source, scene, path, legends)
    return judgement


def _map_scene(
    method: MapSR,
    settings: RunSettings,
    source: SceneSource,
    scene: Scene,
    legends: Legends,
    path: Path,
    judgement: Judgement,
) -> None:
    grid = source.grid(scene)
    tags = {"MAPSR_RUN": settings.name, "MAPSR_CROSSWALK": settings.legend.crosswalk}
    with label_writer(path, grid, legends.target, tags) as write:
        for band in map_raster(
            (grid.height, grid.width),
            lambda window: source.read(scene, window),
            lambda chips: method.score(chips, probe=True),
            settings.windows,
            method.progress,
            settings.engine.batch,
            scene.name,
            ("map", "probe") if method.probe else ("map",),
        ):
            write(band.window, band.labels["map"])
            seen = source.read(scene, band.window)
            if seen.truth is None:
                continue
            layers = dict(band.labels)
            if seen.coarse is not None:
                layers["coarse"] = legends.coarse.apply(seen.coarse.numpy())
            for layer, labels in layers.items():
                by_scene: dict[str, Confusion] = getattr(judgement, layer)
                one = Confusion.of(seen.truth.numpy(), labels, len(legends.target))
                by_scene[scene.name] = one + by_scene.get(
                    scene.name, Confusion.zeros(len(legends.target))
                )


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
