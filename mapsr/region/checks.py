"""Which images fit together, and where their maps go."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mapsr.errors import ConfigError, RasterError, said_by_system
from mapsr.geo import ImageInfo
from mapsr.geo.drivers import shown
from mapsr.methods import ImageFacts
from mapsr.paths import local_path, true_path
from mapsr.region.images import Image, Images
from mapsr.region.settings import MapSettings

_BYTE_SCALE = 255.0


def usable(images: Images, settings: MapSettings, facts: ImageFacts | None) -> Images:
    """Give a reason to images that don't fit: too few bands, or values of another type.

    Args:
        images: that were found.
        settings: of the command.
        facts: what images a fitted method wants; None: those that the first one is like.
    """
    first = next((image.info for image in images.every if image.info), None)
    if first is None:
        return images
    need = settings.bands or (facts and facts.bands) or first.bands
    kind = (facts and facts.dtype) or first.dtype
    fitting = (_fitting(one, need, kind, settings.scale) for one in images.every)
    return replace(images, every=tuple(fitting))


def scale_of(info: ImageInfo, scale: float | None) -> float:
    """The raw value that becomes 1, for images that a method is fitted on.

    Raises:
        ConfigError: the values are not bytes and the scale is not given.
    """
    if scale is None and info.dtype != "uint8":
        raise ConfigError(
            f"{info.path} holds {info.dtype} values; say which one becomes 1: scale=10000 for "
            "reflectance in ten-thousandths, scale=1 for values in [0, 1], scale=65535 for the "
            "whole range of uint16."
        )
    return scale or _BYTE_SCALE


def out_paths(images: Images, settings: MapSettings) -> dict[Path, Path]:
    """The map of each image by the image's path; with ``mosaic``, one for all.

    Raises:
        ConfigError: ``out`` is not a file name for one map or not a folder for several, is an image
            itself, or a file of one map would take the place of another one's or of an input.
    """
    out = local_path(settings.out, "out")
    _require_name(out)
    if settings.mosaic or images.single:
        if images.single and out.is_dir():
            out = out / f"{images.every[0].name}.tif"
        if out.suffix.lower() not in (".tif", ".tiff"):
            raise ConfigError(f"out={out} is one map, expected a name that ends in .tif.")
        paths = {image.path: out for image in images.every}
    else:
        if out.is_file() or out.suffix.lower() in (".tif", ".tiff"):
            raise ConfigError(
                f"out={out} is one file, but image={settings.image} may name several rasters: "
                "give a folder, or set mosaic=true."
            )
        paths = {image.path: out / f"{image.name}.tif" for image in images.every}
        path, times = Counter(paths.values()).most_common(1)[0]
        if times > 1:
            raise ConfigError(
                f"{times} images would have the map {path}: rename them, or map them in turn."
            )
    inputs = {true_path(image.path): "the image" for image in images.every}
    products = (image.coarse for image in images.every if image.coarse)
    inputs |= {true_path(path): "the product" for path in products}
    for path in paths.values():
        if what := inputs.get(true_path(path)):
            raise ConfigError(f"out={path} is {what} itself; choose another path.")
    _check_distinct(dict.fromkeys(paths.values()), inputs, settings)
    return paths


def _require_name(out: Path) -> None:
    """Check that a file or folder can be called so.

    Raises:
        ConfigError: it can't.
    """
    try:
        out.is_dir()
        out.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise ConfigError(f"out={shown(out)[:200]} can't be: {said_by_system(error)}") from error


def log_path(images: Images, settings: MapSettings, outs: Mapping[Path, Path]) -> Path:
    """The file of the messages: beside the one map, or in the folder of several."""
    first = next(iter(outs.values()))
    single = settings.mosaic or images.single
    return first.with_name(f"{first.stem}_log.txt" if single else "log.txt")


def _check_distinct(
    outs: Iterable[Path], inputs: Mapping[Path, str], settings: MapSettings
) -> None:
    """Check that no file of a map takes the place of another one's, or of an input.

    Raises:
        ConfigError: one would.
    """
    written: dict[Path, Path] = {}
    for out in outs:
        for path in _written(out, settings):
            if what := inputs.get(true_path(path)):
                raise ConfigError(
                    f"{path}, which is written beside {out}, is {what} itself; choose another out=."
                )
            if (other := written.setdefault(path, out)) != out:
                raise ConfigError(
                    f"{path} would be written for both {other} and {out}: rename an image, or map "
                    "them in turn."
                )


def _written(out: Path, settings: MapSettings) -> list[Path]:
    """A map, what is written beside it, and the side files of both."""
    kinds = {
        "confidence": settings.confidence,
        "scores": settings.scores,
        "product_error": settings.product_error,
    }
    beside = [out.with_name(f"{out.stem}_{kind}{out.suffix}") for kind, on in kinds.items() if on]
    beside += [path.with_suffix(".qml") for path in beside if not path.stem.endswith("_scores")]
    tables = [out.with_name(f"{out.stem}_composition.csv")] if settings.product_error else []
    tables.append(out.with_name(f"{out.stem}_record.json"))
    tables += [out.with_name(f"{out.stem}_mmu{out.suffix}")] if settings.mmu else []
    tables += [out.with_suffix(".gpkg")] if settings.vectors else []
    tables += [out.with_suffix(".json")] if settings.stac else []
    return [out, out.with_name(f"{out.name}.aux.xml"), out.with_suffix(".qml"), *beside, *tables]


def _fitting(image: Image, bands: int, dtype: str, scale: float | None) -> Image:
    info = image.info
    if info is None:
        return image
    if info.bands < bands:
        error = RasterError(
            f"{info.path} has {info.bands} band(s), expected at least {bands}: give images with "
            "these bands, or fit a method on fewer (bands=)."
        )
        return replace(image, error=error)
    if info.dtype != dtype and scale is None:
        error = RasterError(
            f"{info.path} holds {info.dtype} values, the others {dtype}: say which value of "
            "these images becomes 1 (scale=), or map them apart."
        )
        return replace(image, error=error)
    return image
