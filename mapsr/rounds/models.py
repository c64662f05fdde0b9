"""The model of a round: fitted on voted labels, mapped, and judged."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import mapsr
from mapsr.contents import contents_of
from mapsr.data import Scene, SceneSource
from mapsr.errors import ConfigError, DataError, FittedError
from mapsr.evaluation import Confusion
from mapsr.geo import ImageInfo, read_values
from mapsr.labelling.units import LEARN, held_out, judge_window
from mapsr.legends import NODATA, Crosswalk, LandClass, Legend
from mapsr.mapping import MapOptions, MapRequest, Output, map_rasters, open_engine
from mapsr.mapping.assembly import output_paths
from mapsr.methods import FittedMethod, ImageFacts, Method, Runtime, State, Task, fit, load_fitted
from mapsr.methods.fitted import FILE
from mapsr.rounds.region import patches_of
from mapsr.rounds.votes import Counted, Polls
from mapsr.settings import kind_of

_BYTE_SCALE = 255.0
_LABELS = Output()


@dataclass(frozen=True, eq=False)
class Judged:
    """What a model's maps are worth.

    Attributes:
        confusion: all truth against them; empty without truth.
        validation: truth for validation against them.
        held: pixels held out at which it agrees with round 0, and all of them.
    """

    confusion: Confusion
    validation: Confusion
    held: tuple[int, int]

    @property
    def value(self) -> float | None:
        """Overall accuracy on validation truth, else agreement on held-out pixels; None: neither.

        It is what the stop rule compares.
        """
        counts = self.validation.counts
        if counts.any():
            return float(counts.diagonal().sum() / counts.sum())
        return self.agreement

    @property
    def agreement(self) -> float | None:
        """Share of the held-out pixels at which the model agrees; None without any."""
        same, total = self.held
        return same / total if total else None


@dataclass(frozen=True, eq=False)
class Model:
    """A model that learnt from the labels of a round.

    Attributes:
        fitted: what is kept of the fit.
        method: as it was fitted now; None where it was found fitted.
        folder: of its file and maps.
        seconds: that the fit took.
    """

    fitted: FittedMethod
    method: Method | None
    folder: Path
    seconds: float

    def maps(self, polls: Polls) -> tuple[Path, ...]:
        """Paths of its maps, there or not."""
        return tuple(self.folder / f"{image.name}.tif" for image in polls.region.images)


def fit_model(
    polls: Polls, labels: Counted, number: int, runtime: Runtime, start: State | None
) -> Model:
    """Fit the method on the labels of a round, or take what an earlier attempt fitted.

    The labels are given as product and as truth, so that a method learns from them whatever it
    learns from.

    Args:
        polls: the labelling.
        labels: undetermined pixels are nodata in them.
        number: of the round that the model is for.
        runtime: where it computes.
        start: what the model before came to, to go on from; None: from the beginning.

    Raises:
        DataError: fewer than two classes have trusted pixels.
        MapsrError: the method can't be fitted; a training that diverged, say.
    """
    folder = polls.folder / "models" / f"round_{number}"
    folder.mkdir(parents=True, exist_ok=True)
    task = _task(polls, labels, folder, start)
    about = _about(polls, labels, task)
    found = _found(folder / FILE, about)
    if found is not None:
        return Model(found, None, folder, 0.0)
    begin = time.perf_counter()
    fitted, method = fit(polls.settings, task, polls.settings.windows, runtime)
    fitted = replace(fitted, about=about).save(folder / FILE)
    method.settle()
    return Model(fitted, method, folder, time.perf_counter() - begin)


def map_model(
    polls: Polls, labels: Counted, model: Model, runtime: Runtime, places: Sequence[int]
) -> dict[int, str]:
    """Map some of the images.

    Args:
        polls: the labelling.
        labels: that the model learnt from, for methods that read a product where maps are made.
        model: the model.
        runtime: where it computes.
        places: which images.

    Returns:
        By place, the hash of all that the map depends on.

    Raises:
        MapsrError: an image can't be mapped; what is done is kept.
    """
    outs = model.maps(polls)
    images = polls.region.images
    requests = [
        MapRequest(images[i].name, (images[i].info,), outs[i], products=(labels.paths[i],))
        for i in places
    ]
    options = MapOptions((_LABELS,), overwrite=False)
    settings = polls.settings
    engine = open_engine(model.fitted, settings.engine, runtime, (_LABELS,), model.method)
    hashes = {}
    for place, report in zip(
        places, map_rasters(model.fitted, requests, engine, polls.progress, options), strict=True
    ):
        if report.error is not None:
            raise report.error
        hashes[place] = report.job.hash
    return hashes


def judge_model(polls: Polls, first: Counted, maps: dict[int, Path]) -> Judged:
    """Hold maps against the truth, and against the labels of round 0 that were held out.

    Args:
        polls: the labelling.
        first: labels of round 0.
        maps: by place of the image.
    """
    region = polls.region
    classes = len(region.plan.target)
    whole, part, same, total = Confusion.zeros(classes), Confusion.zeros(classes), 0, 0
    for place, path in maps.items():
        image = region.images[place]
        grid = image.info.grid
        windows = patches_of(grid, polls.settings.patch)
        if region.held is not None:
            found = held_out(region.held, first.paths[place], path, windows, image.name)
            same, total = same + found[0], total + found[1]
        if not region.judges.any:
            continue
        for window in windows:
            labels = read_values(path, window)[0]
            counts = judge_window(region.judges, grid, window, labels, classes, image.name)
            whole += Confusion(counts["confusion"])
            part += Confusion(counts["validation"])
    return Judged(whole, part, (same, total))


def _task(polls: Polls, labels: Counted, folder: Path, start: State | None) -> Task:
    settings, region = polls.settings, polls.region
    target = region.plan.target
    present = labels.statistics.trusted.sum(axis=0) > 0
    if present.sum() < 2:
        shown = ", ".join(n for n, there in zip(target.names, present, strict=True) if there)
        raise DataError(
            f"{int(present.sum())} class(es) have trusted pixels ({shown or 'none'}), expected "
            "two at least for a model to learn: add products, or lower thresholds (voting=)."
        )
    info = region.images[0].info
    crosswalk = label_crosswalk(target)
    facts = ImageFacts(_scale(info, settings.scale), settings.bands or info.bands, info.dtype)
    learn = labels.paths
    if region.held is not None:
        learn = tuple(output_paths(path, (_LABELS, LEARN))[LEARN.key] for path in labels.paths)
    scenes = tuple(
        Scene(image.name, image.info.path, path, path)
        for image, path in zip(region.images, learn, strict=True)
    )
    return Task(
        source=SceneSource(facts.scale, crosswalk, crosswalk, facts.bands),
        scenes=scenes,
        coarse=crosswalk,
        image=facts,
        chip=settings.windows.chip,
        folder=folder,
        seed=settings.seed,
        progress=polls.progress,
        soft="hard",
        start=start,
    )


def label_crosswalk(target: Legend) -> Crosswalk:
    """From label maps, which hold class indices, to the target legend: one to one."""
    classes = tuple(
        LandClass(index, one.name, one.color, one.name) for index, one in enumerate(target.classes)
    )
    source = Legend(
        name=f"labels of {target.name}",
        title="Labels that products voted",
        source="mapsr label",
        classes=classes,
        nodata=frozenset({NODATA}),
    )
    return Crosswalk("labels", source, target, tuple(range(len(target))))


def _scale(info: ImageInfo, scale: float | None) -> float:
    if scale is None and info.dtype != "uint8":
        raise ConfigError(
            f"{info.path} holds {info.dtype} values; say which one becomes 1: scale=10000 for "
            "reflectance in ten-thousandths, scale=65535 for the whole range of uint16."
        )
    return scale or _BYTE_SCALE


def _about(polls: Polls, labels: Counted, task: Task) -> dict[str, object]:
    """All that the fit depends on."""
    settings = polls.settings
    parts = {
        name: contents_of(getattr(settings, name), settings.weights_folder)
        for name in settings.used
    }
    about = {
        "version": mapsr.__version__,
        "labels": list(labels.hashes),
        "chip": task.chip,
        "seed": task.seed,
        "scale": task.image.scale,
        "bands": task.image.bands,
        "recipe": settings.recipe,
        "start": settings.expansion.start,
        "method": kind_of(settings.method),
        "parts": parts,
    }
    return cast(dict[str, object], json.loads(json.dumps(about)))  # as it is when read back


def _found(path: Path, about: dict[str, object]) -> FittedMethod | None:
    """What an earlier attempt fitted, if it is the same fit."""
    if not path.exists():
        return None
    try:
        fitted = load_fitted(path)
    except FittedError:
        return None  # damaged: fitted again
    return fitted if fitted.about == about else None
