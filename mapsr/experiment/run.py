"""Run one experiment: fit, map and judge, into a run folder."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mapsr.data import Scene, Scenes, SceneSource
from mapsr.errors import DataError, MapsrError
from mapsr.evaluation.judging import (
    COARSE,
    MAP,
    Judgement,
    judge,
    judge_confidence,
    metrics_of,
    pooled,
)
from mapsr.experiment.scenes import check_scenes, legends_of, scenes_of, source_of
from mapsr.experiment.settings import RunSettings
from mapsr.extras import require_extra
from mapsr.geo import image_info
from mapsr.legends import Legends
from mapsr.mapping import MapOptions, MapRequest, Output, map_rasters, open_engine
from mapsr.mapping.assembly import output_paths
from mapsr.methods import FittedMethod, ImageFacts, Method, Runtime, Task, fit
from mapsr.methods.fitted import FILE
from mapsr.progress import Progress
from mapsr.redaction import redact_all
from mapsr.report.pictures import scene_picture
from mapsr.report.reliability import reliability_figure
from mapsr.settings import kind_of, plain
from mapsr.tracking import Logger, RunFolder, Stopwatch, collect_record, finished_metrics
from mapsr.tracking.logger import guarded

logger = logging.getLogger(__name__)

_PICTURES = 4
_LAYERS = (MAP, COARSE, "probe")
_SURE = Output(kind="probability")
Metrics = dict[str, object]


def run_experiment(settings: RunSettings, progress: Progress) -> tuple[Path, Metrics]:
    """Run an experiment.

    Args:
        settings: everything the run needs.
        progress: shows long work.

    Returns:
        The run folder and what stands in its metrics.json.

    Raises:
        MapsrError: with one sentence on what is wrong; the folder then holds failed.json.
    """
    require_extra("matplotlib", "mapsr run draws figures, which")
    found = settings.data.find()
    fingerprint = settings.fingerprint(found)
    config = redact_all(plain(settings))
    path = settings.path(fingerprint)
    folder = RunFolder.open(path, config, fingerprint, settings.overwrite)
    watch = Stopwatch()
    with folder, guarded(settings.logger.open(folder.path, settings.name, config)) as mirror:
        legends = legends_of(settings)
        with watch("scenes"):
            scenes = scenes_of(settings, folder.path / "scenes", found)
            source = source_of(settings, legends)
            check_scenes(source, scenes)
        run = Run(
            settings, folder, watch, mirror, progress, legends, scenes, source, found, fingerprint
        )
        try:
            return folder.path, run.results()
        except MapsrError:
            run.require_same_inputs()  # where they changed, that is the cause
            raise


def finished_run(settings: RunSettings) -> tuple[Path, Metrics] | None:
    """Return the folder of a run that is finished already, and its metrics; None where it is not.

    Raises:
        DataError: the scenes are not there.
        ConfigError: the folder holds another run, or foreign files.
    """
    fingerprint = settings.fingerprint()
    path = settings.path(fingerprint)
    if settings.overwrite:
        return None
    metrics = finished_metrics(path, fingerprint)
    return None if metrics is None else (path, metrics)


@dataclass(frozen=True)
class Run:
    """A run under way: what its stages share."""

    settings: RunSettings
    folder: RunFolder
    watch: Stopwatch
    mirror: Logger
    progress: Progress
    legends: Legends
    scenes: Scenes
    source: SceneSource
    found: Scenes | None
    fingerprint: Mapping[str, object]

    def results(self) -> Metrics:
        """Fit, map, judge and record; return what stands in metrics.json."""
        runtime = self.settings.runtime(self.watch)
        fitted, method = self.fitted(runtime)
        with self.watch("map"):
            maps, sure = self.maps(fitted, method, runtime)
        with self.watch("judge"):
            judgement = judge(self.source, maps, self.legends)
            pairs = {scene: (maps[scene][MAP], path) for scene, path in sure.items()}
            metrics = self.metrics(judgement, method) | self.calibration(pairs)
            if found := method.facts().get("product_calibration"):
                metrics["product_calibration"] = found
            self.show(judgement, maps)
        self.folder.write_record(self.record(method, runtime))
        metrics["seconds"] = {stage: round(s, 3) for stage, s in self.watch.seconds.items()}
        self.mirror.metrics(metrics)
        for picture in sorted(self.folder.figures.glob("*.png")):
            self.mirror.picture(picture.stem, picture)
        self.require_same_inputs()
        logger.info("mIoU %s, OA %s", metrics["miou"], metrics["oa"])
        self.folder.write_metrics(metrics)
        return metrics

    def require_same_inputs(self) -> None:
        """Raise DataError where files changed on the way: results would be of both."""
        if self.found and self.settings.fingerprint(self.found) != self.fingerprint:
            raise DataError(
                "Images, labels or files of the settings changed while the run was under way, so "
                "that its results would be of both: run it again."
            )

    def fitted(self, runtime: Runtime) -> tuple[FittedMethod, Method]:
        """Fit the method and keep what was fitted."""
        settings = self.settings
        info = image_info(self.scenes.fit[0].image)
        bands = self.source.bands or info.bands
        task = Task(
            source=self.source,
            scenes=self.scenes.fit,
            coarse=self.legends.coarse,
            image=ImageFacts(settings.data.scale, bands, info.dtype),
            chip=settings.windows.chip,
            folder=self.folder.path,
            seed=settings.seed,
            progress=self.progress,
            on_step=self.mirror.step,
            soft=settings.legend.soft,
            whole=settings.windows.last == "whole",
        )
        fitted, method = fit(settings, task, settings.windows, runtime)
        fitted = fitted.save(self.folder.path / FILE)
        method.settle()
        return fitted, method

    def maps(
        self, fitted: FittedMethod, method: Method, runtime: Runtime
    ) -> tuple[dict[Scene, dict[str, Path]], dict[Scene, Path]]:
        """Map the scenes that are to be scored.

        Returns:
            The label maps by scene and layer, and the probabilities of the map's labels by scene,
            where the method gives some.
        """
        settings = self.settings
        labels = tuple(Output(layer) for layer in method.layers)
        outputs = (*labels, *((_SURE,) if settings.gives_probabilities else ()))
        requests = [
            MapRequest(
                scene.name,
                (image_info(scene.image),),
                self.folder.maps / f"{scene.name}.tif",
                products=(scene.coarse,) if scene.coarse else (),
            )
            for scene in self.scenes.score
        ]
        # nothing of an earlier attempt is taken over: the fit may have been another
        tags = {"MAPSR_RUN": settings.name}
        options = MapOptions(outputs, tags=tags, overwrite=True, restart=True)
        engine = open_engine(fitted, settings.engine, runtime, outputs, method)
        for report in map_rasters(fitted, requests, engine, self.progress, options):
            if report.error:
                raise report.error
        maps, sure = {}, {}
        for scene, request in zip(self.scenes.score, requests, strict=True):
            paths = output_paths(request.out, outputs)
            maps[scene] = {output.layer: paths[output.key] for output in labels}
            if _SURE in outputs:
                sure[scene] = paths[_SURE.key]
        return maps, sure

    def metrics(self, judgement: Judgement, method: Method) -> Metrics:
        """What metrics.json holds, but for the seconds."""
        settings = self.settings
        return metrics_of(judgement, self.legends.target.names, settings.seed, _LAYERS) | {
            "crosswalk": settings.legend.crosswalk,
            "transductive": settings.transductive,
            "trained_parameters": method.trained_parameters,
            "truth_pixels": self.truth_pixels(method),
            "product_prior": settings.product_prior,
        }

    def truth_pixels(self, method: Method) -> int:
        """Pixels of the scenes whose truth the method learned from: what had to be annotated."""
        names = {str(name) for name in method.facts().get("truth_scenes", ())}
        if self.settings.learns_from_truth and not names:  # a method that does not say which
            names = {scene.name for scene in self.scenes.fit}
        grids = (self.source.grid(scene) for scene in self.scenes.fit if scene.name in names)
        return sum(grid.height * grid.width for grid in grids)

    def calibration(self, maps: Mapping[Scene, tuple[Path, Path]]) -> Metrics:
        """How far the probabilities of maps can be believed, drawn and as metrics.json holds it."""
        found = judge_confidence(self.source, maps)
        if not found.counts.any():
            return {}
        picture = self.folder.figures / "reliability.png"
        reliability_figure(picture, found.diagram, found.error)
        return {"calibration": found.as_dict()}

    def show(self, judgement: Judgement, maps: dict[Scene, dict[str, Path]]) -> None:
        """Draw the first scenes, and write confusion.csv."""
        names = self.legends.target.names
        for scene, paths in list(maps.items())[:_PICTURES]:
            picture = self.folder.figures / f"{scene.name}.png"
            scene_picture(picture, self.source, scene, paths[MAP], self.legends)
        of_map = judgement.get(MAP, {})
        self.folder.write_confusion(of_map, names)
        if of_map:
            self.mirror.confusion(pooled(of_map).counts, names)

    def record(self, method: Method, runtime: Runtime) -> dict[str, object]:
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
            device=str(runtime.device),
            seeds={"run": settings.seed},
            weights=[one for one in method.weights.values() if one],
            inputs=files,
        )
        record |= {
            "method": kind_of(settings.method),
            "trained_parameters": method.trained_parameters,
            "transductive": settings.transductive,
            "product_prior": settings.product_prior,  # above 0: the scored scenes' product was read
            "crosswalk": {
                "name": settings.legend.crosswalk,
                "coarse": {str(code): name for code, name in legends.coarse.targets().items()},
                "truth": {str(code): name for code, name in legends.truth.targets().items()},
            },
            "scenes": {
                "fit": [scene.name for scene in scenes.fit],
                "score": [scene.name for scene in scenes.score],
            },
            "unknown_codes": self.source.labels.unknown_codes,
        }
        facts = method.facts()
        if isinstance(cache := facts.get("cache"), dict):
            asked = cache["hits"] + cache["misses"]
            logger.info("%d of %d chips came from the cache", cache["hits"], asked)
        return record | facts
