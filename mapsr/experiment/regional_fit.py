"""Fit prompts for one region, on its coarse product, once."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import cast

from safetensors import SafetensorError

import mapsr
from mapsr.data import SceneSource
from mapsr.errors import ConfigError, MapsrError
from mapsr.experiment.assemble import Legends
from mapsr.experiment.fitting import Plain, build_extractor, cutter, settings_kept
from mapsr.experiment.images import Image
from mapsr.experiment.region import RegionSettings, scale_of
from mapsr.experiment.settings import MethodSettings
from mapsr.geo import ImageInfo, overlap
from mapsr.mapping.store import differences, file_states
from mapsr.methods import MapSR, Task
from mapsr.progress import Progress
from mapsr.prompts import PromptFile, TruthPromptSettings, load_prompts, save_prompts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """Prompts of a region.

    Attributes:
        file: the prompts.
        fresh: fitted now; False: found as an earlier attempt had left them.
    """

    file: PromptFile
    fresh: bool


def fit_region(
    images: Sequence[Image],
    settings: RegionSettings,
    method_settings: MethodSettings,
    config: Plain,
    path: Path,
    progress: Progress,
) -> Fitted:
    """Fit prompts on the coarse product of images, or take those of an earlier attempt.

    Args:
        images: readable ones, of one type and number of bands.
        settings: of the command.
        method_settings: of the method.
        config: the same as plain containers, by group.
        path: the prompt file; written as soon as the prompts are there.
        progress: shows the work.

    Raises:
        ConfigError: other prompts are at ``path``, it can't be written, or the settings take
            prompts from truth.
        DataError: the coarse product overlaps none of the images.
        MapsrError: the coarse product can't be read, or nothing in it can be fitted on.
    """
    if isinstance(method_settings.prompts, TruthPromptSettings):
        raise ConfigError("prompts=truth needs truth, and mapsr map has none: use mapsr run.")
    info = images[0].info
    assert info is not None
    scale = scale_of(info, settings.scale)
    bands = settings.bands or info.bands
    about = _about(images, method_settings, config, {"scale": scale, "bands": bands}, settings.seed)
    if path.exists() and not (settings.overwrite or settings.restart):
        return Fitted(_found(path, about), fresh=False)
    with _writing(path):  # else it would turn out after the fit
        path.parent.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=path.parent).close()
    legends = Legends.load(method_settings.legend)
    source = SceneSource(scale, legends.coarse, None, bands)
    reached = _reached(source, images)
    method = MapSR(
        build_extractor(method_settings, settings.weights_folder),
        method_settings.refine,
        legends.target.names,
        method_settings.prompts,
        batch=method_settings.engine.batch,
    )
    trainer = method_settings.trainer
    method.fit(
        Task(
            source=source,
            scenes=tuple(image.scene for image in reached),
            coarse=legends.coarse,
            cut=cutter(source, method_settings.windows),
            bands=bands,
            folder=path.parent,
            device=trainer.device,
            precision=trainer.precision,
            seed=settings.seed,
            progress=progress,
            settings=settings_kept(config, scale, info, bands),
        )
    )
    file = replace(method.prompt_file(), about=about)
    with _writing(path):
        save_prompts(path, file)
    return Fitted(file, fresh=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn a failure to write in the block into a ConfigError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"Can't write in {path.parent}: {reason}; choose another out=, or mend that."
        ) from error


def _reached(source: SceneSource, images: Sequence[Image]) -> list[Image]:
    """The images that a coarse product reaches; logs which it covers in part or not."""
    reached, missed = [], []
    for image in images:
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


def _about(
    images: Sequence[Image],
    settings: MethodSettings,
    config: Plain,
    facts: Mapping[str, object],
    seed: int,
) -> dict[str, object]:
    """All that the prompts depend on."""
    files: list[Path] = []
    for image in images:
        info: ImageInfo | None = image.info
        files += [*(info.files if info else ()), *([image.coarse] if image.coarse else [])]
    science = {group: config[group] for group in ("legend", "backbone", "upsampler", "prompts")}
    about = {
        "version": mapsr.__version__,
        "inputs": file_states(dict.fromkeys(files)),
        "chip": settings.windows.chip,
        "seed": seed,
        **facts,
        **science,
    }
    return cast(dict[str, object], json.loads(json.dumps(about)))  # as it is when read back


def _found(path: Path, about: dict[str, object]) -> PromptFile:
    file = load_prompts(path)
    if file.about != about:
        reason = "; ".join(differences(file.about or {}, about))
        raise ConfigError(
            f"{path} holds prompts that were fitted otherwise: {reason}. Map with them "
            f"(prompts={path}), set restart=true to fit them again, or choose another out=."
        )
    return file
