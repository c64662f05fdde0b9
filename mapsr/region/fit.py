"""Fit a method for one region, on its coarse product, once."""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast

from safetensors import SafetensorError

import mapsr
from mapsr.changes import INPUTS, differences
from mapsr.contents import contents_of
from mapsr.data import SceneSource
from mapsr.errors import ConfigError, DataError, MapsrError
from mapsr.files import clear_partial
from mapsr.geo import overlap, source_files
from mapsr.geo.states import State
from mapsr.legends import Legends
from mapsr.locks import FolderLock, refuse_link
from mapsr.mapping.store import changed_files, file_states
from mapsr.methods import FittedMethod, ImageFacts, Method, Task, fit, load_fitted
from mapsr.progress import Progress
from mapsr.region.checks import scale_of
from mapsr.region.codes import require_codes
from mapsr.region.images import Image, Images
from mapsr.region.settings import MapSettings

logger = logging.getLogger(__name__)


def fit_region(
    images: Images, settings: MapSettings, path: Path, progress: Progress
) -> tuple[FittedMethod, Method | None]:
    """Fit a method on the coarse product of images, or take what an earlier attempt fitted.

    Args:
        images: those with an error are left out; the others are of one type and number of bands.
        settings: of the command.
        path: the fitted method's file; written as soon as it is fitted.
        progress: shows the work.

    Returns:
        The fitted method; and, where it was fitted now, the method itself.

    Raises:
        ConfigError: another method is at ``path``, it can't be written, or the method learns from
            truth.
        DataError: the coarse product overlaps none of the images.
        MapsrError: no image can be read, or nothing in the product can be fitted on.
    """
    if settings.learns_from_truth:
        raise ConfigError(
            "The method learns from truth, and mapsr map has none: choose another prompts= or "
            "method=, or use mapsr run."
        )
    good = [image for image in images.every if image.error is None]
    if not good:
        raise next(image.error for image in images.every if image.error)
    info = good[0].info
    assert info is not None, "an image without an error was seen"
    scale = scale_of(info, settings.scale)
    facts = ImageFacts(scale, settings.bands or info.bands, info.dtype)
    about = _about(good, settings, facts)
    if path.exists() and not (settings.overwrite or settings.restart):
        return _found(path, about), None
    with _work_folder(path, settings.restart) as folder:
        states = cast(dict[str, State], about[INPUTS])
        try:
            fitted, method = _fit(good, settings, facts, folder, progress)
        except MapsrError:
            _require_same(states, good, gone=False)  # then that is the cause
            raise
        _require_same(states, good, gone=True)
        with _writing(path):
            fitted = replace(fitted, about=about).save(path)
        method.settle()
    return fitted, method


def _require_same(states: Mapping[str, State], images: Sequence[Image], *, gone: bool) -> None:
    """Raise DataError where files of the images changed, or with ``gone`` are not there."""
    if changed := changed_files(states, _files(images), gone=gone):
        raise DataError(
            f"{', '.join(changed[:3])} changed while the method was fitted on it"
            f"{', or is gone' if gone else ''}: nothing is written; the same command begins again."
        )


def _fit(
    images: Sequence[Image],
    settings: MapSettings,
    facts: ImageFacts,
    folder: Path,
    progress: Progress,
) -> tuple[FittedMethod, Method]:
    legends = Legends.load(settings.legend, scored=False)
    source = SceneSource(facts.scale, legends.coarse, None, facts.bands)
    reached = _reached(source, images)
    require_codes(reached, legends.coarse.source)
    task = Task(
        source=source,
        scenes=tuple(image.scene for image in reached),
        coarse=legends.coarse,
        image=facts,
        chip=settings.windows.chip,
        folder=folder,
        seed=settings.seed,
        progress=progress,
        soft=settings.legend.soft,
        whole=settings.windows.last == "whole",
    )
    return fit(settings, task, settings.windows, settings.runtime())


@contextmanager
def _work_folder(path: Path, restart: bool) -> Iterator[Path]:
    """A hidden folder beside a fitted file for what a training keeps; one process has it."""
    folder = path.parent / f".{path.name}.work"
    refuse_link(folder)
    lock = FolderLock(folder)
    with _writing(path):  # else it would turn out after the fit
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=path.parent).close()
        clear_partial(path.parent)
        lock.acquire()
    kept = folder / "checkpoints"
    if restart:
        shutil.rmtree(kept, ignore_errors=True)
    try:
        yield folder
    finally:
        lock.release()
        if not kept.exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn a failure to write in the block into a ConfigError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"Can't write in {path.parent}: {reason}; choose another out=, or fix that."
        ) from error


def _reached(source: SceneSource, images: Sequence[Image]) -> list[Image]:
    """The images that a coarse product reaches; logs which it covers in part or not."""
    reached, missed = [], []
    without = sum(image.coarse is None for image in images)
    if without == len(images):
        raise DataError(
            f"None of {without} image(s) has a coarse product to fit on: give coarse=PRODUCT, or a "
            "column label_fn in the list."
        )
    if without:
        logger.warning("%d of %d images have no coarse product to fit on.", without, len(images))
    for image in images:
        if image.coarse is None:
            continue
        try:
            source.check(image.scene)
        except MapsrError as error:
            missed.append(error)
            continue
        reached.append(image)
        if image.coarse and (share := overlap(image.coarse, source.grid(image.scene))) < 1:
            logger.warning("%s covers %.0f %% of %s.", image.coarse, 100 * share, image.path)
    if not reached:
        raise missed[0]
    for failure in missed:
        logger.warning("%s", failure)
    return reached


def _about(images: Sequence[Image], settings: MapSettings, facts: ImageFacts) -> dict[str, object]:
    """All that the fit depends on."""
    parts: dict[str, Any] = {
        name: contents_of(getattr(settings, name), settings.weights_folder)
        for name in settings.used
        if name not in settings.method.adjustable
    }
    about = {
        "version": mapsr.__version__,
        INPUTS: file_states(_files(images)),
        "chip": settings.windows.chip,
        **({"whole": True} if settings.windows.last == "whole" else {}),
        "seed": settings.seed,
        "scale": facts.scale,
        "bands": facts.bands,
        "legend": contents_of(settings.legend),
        **parts,
    }
    about |= {"recipe": settings.recipe} if "recipe" in settings.method.uses else {}
    return cast(dict[str, object], json.loads(json.dumps(about)))  # as it is when read back


def _files(images: Sequence[Image]) -> list[Path]:
    """The files that a fit reads, each once."""
    files = [path for image in images if image.info for path in image.info.files]
    # one product may be that of all images, and its sources many
    for product in dict.fromkeys(image.coarse for image in images if image.coarse):
        files += source_files(product)
    return list(dict.fromkeys(files))


def _found(path: Path, about: dict[str, object]) -> FittedMethod:
    """What an earlier attempt fitted, if it is the same fit."""
    fitted = load_fitted(path)
    if fitted.about != about:
        reason = "; ".join(differences(fitted.about or {}, about))
        raise ConfigError(
            f"{path} holds a method that was fitted otherwise: {reason}. Map with it "
            f"(fitted={path}), set restart=true to fit again, or choose another out=."
        )
    return fitted
