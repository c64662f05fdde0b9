"""Run one experiment: fit, map and judge, into a run folder."""

import logging
from collections.abc import Mapping
from pathlib import Path

from mapsr.data import Scenes
from mapsr.experiment.assemble import Legends, find, scenes_of, source_of
from mapsr.experiment.fitting import build_method, cutter, settings_kept
from mapsr.experiment.judge import judge, metrics_of, pooled
from mapsr.experiment.pictures import scene_picture
from mapsr.experiment.science import run_path, science_of
from mapsr.experiment.settings import RunSettings
from mapsr.geo import ImageReader, image_info
from mapsr.mapping import LocalEngine, MapJob, Output, Plan, Raster, run_jobs
from mapsr.methods import Method, Task
from mapsr.progress import Progress
from mapsr.settings import kind_of
from mapsr.tracking import Logger, RunFolder, Stopwatch, collect_record, open_logger

logger = logging.getLogger(__name__)

_PICTURES = 4
Plain = Mapping[str, object]


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
    found = find(settings)
    science = science_of(settings, config, found)
    folder = RunFolder.open(run_path(settings, science), config, science, settings.overwrite)
    watch = Stopwatch()
    with folder, open_logger(settings.logger, folder.path, settings.name, config) as mirror:
        legends = Legends.load(settings.legend)
        with watch("scenes"):
            scenes = scenes_of(settings, folder.path / "scenes", found)
            run = _Run(settings, config, folder, watch, mirror, progress, legends, scenes)
            run.check()
        method = run.fitted()
        with watch("map"):
            paths = run.map(method)
        with watch("judge"):
            metrics = run.judged(method, paths)
        folder.write_record(run.record(method))
        metrics["seconds"] = {stage: round(s, 3) for stage, s in watch.seconds.items()}
        mirror.metrics(metrics)
        for picture in sorted(folder.figures.glob("*.png")):
            mirror.picture(picture.stem, picture)
        logger.info("mIoU %s, OA %s", metrics["miou"], metrics["oa"])
        folder.write_metrics(metrics)
    return folder.path, metrics


class _Run:
    """A run under way: what its stages share."""

    def __init__(
        self,
        settings: RunSettings,
        config: Plain,
        folder: RunFolder,
        watch: Stopwatch,
        mirror: Logger,
        progress: Progress,
        legends: Legends,
        scenes: Scenes,
    ) -> None:
        self.settings = settings
        self.config = config
        self.folder = folder
        self.watch = watch
        self.mirror = mirror
        self.progress = progress
        self.legends = legends
        self.scenes = scenes
        self.source = source_of(settings, legends)

    def check(self) -> None:
        """Refuse scenes that can't be read before long work begins."""
        for scene in dict.fromkeys((*self.scenes.fit, *self.scenes.score)):
            self.source.check(scene)
        counts = len(self.scenes.fit), len(self.scenes.score)
        logger.info("%d scene(s) to fit on, %d to map", *counts)

    def fitted(self) -> Method:
        """Build the method, fit it and keep what was fitted."""
        settings = self.settings
        with self.watch("weights"):
            method = build_method(settings, self.legends, self.watch, settings.cache.open())
        info = image_info(self.scenes.fit[0].image)
        bands = self.source.bands or info.bands
        task = Task(
            source=self.source,
            scenes=self.scenes.fit,
            coarse=self.legends.coarse,
            cut=cutter(self.source, settings.windows),
            bands=bands,
            folder=self.folder.path,
            device=settings.trainer.device,
            precision=settings.trainer.precision,
            seed=settings.seed,
            progress=self.progress,
            watch=self.watch,
            seen=self.mirror.step,
            settings=settings_kept(self.config, settings.data.scale, info, bands),
        )
        with self.watch("fit"):
            method.fit(task)
        method.save(self.folder.path)
        return method

    def map(self, method: Method) -> dict[str, Path]:
        """Map the scenes that are to be scored; return the map's path by scene."""
        settings = self.settings
        outputs = tuple(Output(layer) for layer in method.layers)
        tags = {"MAPSR_RUN": settings.name, "MAPSR_CROSSWALK": settings.legend.crosswalk}
        jobs = []
        for scene in self.scenes.score:
            reader = ImageReader(image_info(scene.image), self.source.bands, settings.data.scale)
            plan = Plan((reader.grid.height, reader.grid.width), settings.windows)
            raster = Raster(scene.name, reader, plan, outputs)
            path = self.folder.maps / f"{scene.name}.tif"
            # nothing of an earlier attempt is taken over: the fit may have been another
            target = self.legends.target
            jobs.append(MapJob(raster, path, target, {}, tags, overwrite=True, restart=True))
        engine = LocalEngine(
            [method.score],
            settings.trainer.device.type,
            settings.engine.workers,
            settings.engine.batch,
        )
        for report in run_jobs(jobs, engine, self.progress):
            if report.error:
                raise report.error
        return {job.raster.name: job.out for job in jobs}

    def judged(self, method: Method, paths: Mapping[str, Path]) -> dict[str, object]:
        """Hold the maps against the truth, with pictures; return what metrics.json holds."""
        names, settings = self.legends.target.names, self.settings
        judgement = judge(self.source, self.scenes, self.legends, paths)
        for scene in self.scenes.score[:_PICTURES]:
            picture = self.folder.figures / f"{scene.name}.png"
            scene_picture(picture, self.source, scene, paths[scene.name], self.legends)
        self.folder.write_confusion(judgement.map, names)
        if judgement.map:
            self.mirror.confusion(pooled(judgement.map).counts, names)
        return metrics_of(judgement, names, settings.seed) | {
            "crosswalk": settings.legend.crosswalk,
            "transductive": settings.transductive,
            "trained_parameters": method.trained_parameters,
        }

    def record(self, method: Method) -> dict[str, object]:
        """What record.json holds."""
        settings, scenes, legends = self.settings, self.scenes, self.legends
        files = [
            path
            for scene in dict.fromkeys((*scenes.fit, *scenes.score))
            for path in (scene.image, scene.coarse, *scene.others, scene.truth)
            if path is not None
        ]
        record = collect_record(
            watch=self.watch,
            device=str(settings.trainer.device),
            seeds={"run": settings.seed},
            weights=method.weights,
            inputs=files,
        )
        record |= {
            "method": kind_of(settings.method),
            "trained_parameters": method.trained_parameters,
            "transductive": settings.transductive,
            "crosswalk": {
                "name": settings.legend.crosswalk,
                "coarse": {str(code): name for code, name in legends.coarse.targets().items()},
                "truth": {str(code): name for code, name in legends.truth.targets().items()},
            },
            "scenes": {
                "fit": [scene.name for scene in scenes.fit],
                "score": [scene.name for scene in scenes.score],
            },
            "unknown_codes": self.source.unknown_codes,
        }
        facts = method.facts()
        if isinstance(cache := facts.get("cache"), dict):
            asked = cache["hits"] + cache["misses"]
            logger.info("%d of %d chips came from the cache", cache["hits"], asked)
        return record | facts
