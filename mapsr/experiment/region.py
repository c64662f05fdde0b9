"""Map a region: any rasters, with prompts that are given or fitted on a coarse product."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import mapsr
from mapsr.errors import ConfigError, MapsrError, RasterError
from mapsr.experiment.fitting import Applied
from mapsr.experiment.images import Image, Images
from mapsr.experiment.settings import TrainerSettings
from mapsr.geo import ImageInfo, ImageReader, MosaicReader
from mapsr.mapping import (
    Engine,
    LocalEngine,
    LocalSettings,
    MapJob,
    Output,
    Plan,
    Raster,
    RayEngine,
    RaySettings,
    Score,
    WindowSettings,
    run_jobs,
)
from mapsr.mapping.store import file_states
from mapsr.progress import Progress
from mapsr.weights import sha256_of

_BYTE_SCALE = 255.0


@dataclass(frozen=True, kw_only=True)
class RegionSettings:
    """What `mapsr map` takes besides groups."""

    image: str = "???"
    """A raster (a VRT is one), a pattern such as tiles/*.tif, or a CSV list (column image_fn)."""
    out: str = "???"
    """The map to write; the folder of the maps where image names several."""
    prompts: str | None = None
    """A finished run's folder, or a prompt file; instead of coarse."""
    coarse: str | None = None
    """The coarse product of the area: prompts are fitted on it first, with the groups' choices."""
    mosaic: bool = False
    """One map over all images, on the grid of the first, rather than one of each."""
    confidence: bool = False
    """Also write OUT_confidence.tif: the best class's score less the second best's."""
    scores: bool = False
    """Also write OUT_scores.tif: every class's score."""
    scale: float | None = None
    """Raw image value that becomes 1; null: as the prompts were fitted, 255 for bytes."""
    bands: int | None = None
    """How many leading bands to read; null: as the prompts were fitted, else all."""
    seed: int = 0
    """Of the fitting."""
    overwrite: bool = False
    """Replace maps that are there."""
    restart: bool = False
    """Give up the beginning of a map that was made from other inputs or settings."""
    weights_folder: str | None = None
    """Folder searched for weights before all others."""


@dataclass(frozen=True)
class Mapped:
    """What became of one image, or of the mosaic.

    Attributes:
        image: what was mapped.
        out: its map.
        error: why there is none, else None.
        fresh: made now; False: the same command had made it before.
    """

    image: Path
    out: Path | None
    error: MapsrError | None
    fresh: bool = True


def usable(images: Images, bands: int | None, dtype: str | None, scale: float | None) -> Images:
    """Give a reason to images that don't fit: too few bands, or values of another type.

    Args:
        images: that were found.
        bands: how many are needed; None: as many as the first readable image has.
        dtype: of the images that prompts were fitted on; None: that of the first.
        scale: that was given for these images; None: types must agree.
    """
    first = next((image.info for image in images.every if image.info), None)
    if first is None:
        return images
    need, kind = bands or first.bands, dtype or first.dtype
    return replace(images, every=tuple(_fitting(one, need, kind, scale) for one in images.every))


def scale_of(info: ImageInfo, scale: float | None) -> float:
    """The raw value that becomes 1, for images that prompts are fitted on.

    Raises:
        ConfigError: the values are no bytes and the scale is not given.
    """
    if scale is None and info.dtype != "uint8":
        raise ConfigError(
            f"{info.path} holds {info.dtype} values; say which one becomes 1: scale=10000 for "
            "reflectance in ten-thousandths, scale=1 for values in [0, 1], scale=65535 for the "
            "whole range of uint16."
        )
    return scale or _BYTE_SCALE


def out_paths(images: Images, settings: RegionSettings) -> dict[Path, Path]:
    """The map of each image by the image's path; with ``mosaic``, one for all.

    Raises:
        ConfigError: ``out`` is no file name for one map or no folder for several, is an image
            itself, or two images would have the same map.
    """
    out = Path(settings.out)
    if settings.mosaic or images.single:
        if images.single and out.is_dir():
            out = out / f"{images.every[0].path.stem}.tif"
        if out.suffix.lower() not in (".tif", ".tiff"):
            raise ConfigError(f"out={out} is one map, expected a name that ends in .tif.")
        paths = {image.path: out for image in images.every}
    else:
        if out.is_file() or out.suffix.lower() in (".tif", ".tiff"):
            raise ConfigError(
                f"out={out} is one file, but image={settings.image} may name several rasters: "
                "give a folder, or set mosaic=true."
            )
        paths = {image.path: out / f"{image.path.stem}.tif" for image in images.every}
        path, times = Counter(paths.values()).most_common(1)[0]
        if times > 1:
            raise ConfigError(
                f"{times} images would have the map {path}: rename them, or map them in turn."
            )
    inputs = {image.path.resolve(): "the image" for image in images.every}
    inputs |= {image.coarse.resolve(): "the product" for image in images.every if image.coarse}
    for path in paths.values():
        if what := inputs.get(path.resolve()):
            raise ConfigError(f"out={path} is {what} itself; choose another path.")
    return paths


def map_images(
    images: Images,
    settings: RegionSettings,
    applied: Applied,
    prompts: Path,
    windows: WindowSettings,
    engine: Engine,
    progress: Progress,
) -> list[Mapped]:
    """Map images with fitted prompts.

    Args:
        images: those with an error are reported, the others mapped.
        settings: of the command.
        applied: the fitted method.
        prompts: its file, whose hash is noted.
        windows: chips and work units.
        engine: does the work.
        progress: shows it.

    Returns:
        What became of each image, or of the mosaic and the images that are missing in it.
    """
    outs = out_paths(images, settings)
    good = [image for image in images.every if image.error is None]
    failed = [Mapped(i.path, None, i.error) for i in images.every if i.error is not None]
    groups = [good] if settings.mosaic and good else [[image] for image in good]
    jobs, names = [], []
    for group in groups:
        try:
            jobs.append(_job(group, outs[group[0].path], settings, applied, prompts, windows))
            names.append(Path(settings.image) if settings.mosaic else group[0].path)
        except MapsrError as error:
            failed.append(Mapped(group[0].path, None, error))
    reports = run_jobs(jobs, engine, progress)
    return [
        Mapped(name, report.job.out, report.error, report.fresh)
        for name, report in zip(names, reports, strict=True)
    ] + failed


def local_engine(
    applied: Applied, trainer: TrainerSettings, settings: LocalSettings
) -> LocalEngine:
    """The engine of this machine, with one copy of the method for each device.

    Raises:
        WeightsError: weights are absent or damaged.
        PromptError: the weights found here are not those of the prompts.
    """
    kind = trainer.device.type
    count = torch.cuda.device_count() if kind == "cuda" else 1
    devices = [
        torch.device(kind, index) if kind == "cuda" else trainer.device for index in range(count)
    ]
    scorers = [applied.build(device).score for device in devices]
    return LocalEngine(scorers, kind, settings.workers, settings.batch)


def engine_of(
    applied: Applied, trainer: TrainerSettings, settings: LocalSettings | RaySettings
) -> Engine:
    """The engine that the settings choose.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
        WeightsError: weights are absent or damaged.
        PromptError: the weights found here are not those of the prompts.
    """
    if isinstance(settings, LocalSettings):
        return local_engine(applied, trainer, settings)
    return RayEngine(partial(_scorer, applied), settings)


def _scorer(applied: Applied, device: torch.device) -> Score:
    """Build the method where an actor is; sent there, so no closure."""
    return applied.build(device).score


def _job(
    group: Sequence[Image],
    out: Path,
    settings: RegionSettings,
    applied: Applied,
    prompts: Path,
    windows: WindowSettings,
) -> MapJob:
    facts: Any = applied.file.settings["image"]
    scale = settings.scale or facts["scale"]
    bands = settings.bands or facts["bands"]
    infos = [image.info for image in group if image.info]
    reader: ImageReader | MosaicReader
    if settings.mosaic:
        reader = MosaicReader(infos, bands, scale)
    else:
        reader = ImageReader(infos[0], bands, scale)
    outputs = [Output()]
    outputs += [Output(kind="confidence")] if settings.confidence else []
    outputs += [Output(kind="scores")] if settings.scores else []
    plan = Plan((reader.grid.height, reader.grid.width), windows)
    science = {
        "windows": vars(windows),
        "refine": vars(applied.refine),
        "scale": scale,
        "bands": bands,
        "mosaic": settings.mosaic,
        "outputs": [output.key for output in outputs],
    }
    about = {
        "version": mapsr.__version__,
        "prompts": sha256_of(prompts),
        "weights": applied.file.weights,
        "inputs": file_states(file for info in infos for file in info.files),
        **science,
    }
    tags = {
        "MAPSR_VERSION": mapsr.__version__,
        "MAPSR_PROMPTS": sha256_of(prompts),
        "MAPSR_CROSSWALK": applied.file.crosswalk,
        "MAPSR_CONFIGURATION": json.dumps({**applied.file.settings, **science}, sort_keys=True),
    }
    raster = Raster(infos[0].path.name, reader, plan, tuple(outputs))
    return MapJob(
        raster, out, applied.file.target, about, tags, settings.overwrite, settings.restart
    )


def _fitting(image: Image, bands: int, dtype: str, scale: float | None) -> Image:
    info = image.info
    if info is None:
        return image
    if info.bands < bands:
        error = RasterError(
            f"{info.path} has {info.bands} band(s), expected at least {bands}: give images with "
            "these bands, or fit prompts on fewer (bands=)."
        )
        return replace(image, error=error)
    if info.dtype != dtype and scale is None:
        error = RasterError(
            f"{info.path} holds {info.dtype} values, the others {dtype}: say which value of "
            "these images becomes 1 (scale=), or map them apart."
        )
        return replace(image, error=error)
    return image
