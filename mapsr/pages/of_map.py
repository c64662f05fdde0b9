"""The page of a map: of `mapsr map`, or any raster of labels that names its classes."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import mapsr
from mapsr.errors import ConfigError, FittedError, MapsrError
from mapsr.geo import ImageInfo, read_grid, read_tags
from mapsr.geo.addresses import raster_path
from mapsr.geo.palettes import read_legend
from mapsr.legends import Crosswalk, Legend, load_crosswalk, load_legend
from mapsr.mapping.jobs import JOB_TAG
from mapsr.methods.fitted import FILE, SUFFIX, FittedMethod, load_fitted
from mapsr.pages.areas import measured_areas
from mapsr.pages.settings import PageSettings
from mapsr.paths import is_there
from mapsr.progress import Progress, stage
from mapsr.redaction import HIDDEN
from mapsr.region import find_images
from mapsr.region.answers import read_record, record_path
from mapsr.remote import is_remote
from mapsr.report.page import Areas, Facts, Page, shares_of
from mapsr.report.views import ImageLayer, LabelLayer, Layer, SureLayer, view_of
from mapsr.weights import is_offline

_CONFIGURATION = "MAPSR_CONFIGURATION"


def map_page(settings: PageSettings, progress: Progress) -> Page:
    """Gather the page of a map.

    Raises:
        ConfigError: the raster names no classes, or a product is given whose legend is not known.
        MapsrError: a file can't be read.
    """
    path = Path(settings.source)
    legend = read_legend(path)
    if legend is None:
        raise ConfigError(
            f"{path} does not name its classes, expected a map of mapsr or the folder of a run."
        )
    grid, tags = read_grid(path), read_tags(path)
    configuration = _json(tags.get(_CONFIGURATION, "{}"))
    record = read_record(record_path(path)) or {}
    labels = {"map": LabelLayer("map", (path,), grid, legend)}
    layers: list[Layer] = []
    warnings = list(map(str, record.get("warnings") or ()))
    image = settings.image or _own_image(record)
    asset = None if settings.image else _own_asset(record)
    infos = _infos(image, asset, required=bool(settings.image)) if image else ()
    if infos:
        scale = configuration.get("scale") or _scale(infos[0])
        layers.append(ImageLayer(infos, grid, scale))
    else:
        warnings.append("No image is shown: name it with image=FILE.")
    products = [settings.product] if settings.product else _own_products(record)
    if products:
        crosswalk = _crosswalk(settings, path, tags, record, legend)
        files = tuple(raster_path(one, "product") for one in products)
        labels["product"] = LabelLayer("product", files, grid, legend, crosswalk)
    layers += [labels[name] for name in ("product", "map") if name in labels]
    sure = _sure(path, tags, configuration)
    layers += [sure] if sure else []
    with stage(progress, "pictures"):
        view = view_of(path.name, grid, layers, labels["map"])
    counted = _recorded_areas(record, legend, labels) or measured_areas([labels], legend, progress)
    return Page(
        title=f"Map {path.name}",
        summary=(f"{grid.height} x {grid.width} pixels, {len(legend)} classes.",),
        warnings=tuple(warnings),
        views=(view,),
        legend=legend,
        sure=(*sure.ends, "confidence") if sure else None,
        errors=False,
        areas=(counted,),
        accuracy=(),
        accuracy_note="",
        facts=_facts(path, tags, configuration, record),
        command=_command(path, image, products, record),
        version=mapsr.__version__,
    )


def _recorded_areas(
    record: Mapping[str, Any], legend: Legend, labels: Mapping[str, LabelLayer]
) -> Areas | None:
    """Areas as a map's record has them; None where it has not those of what is shown."""
    areas = record.get("areas")
    rows = areas.get("classes", []) if isinstance(areas, dict) else []
    if not isinstance(areas, dict) or [row.get("class") for row in rows] != list(legend.names):
        return None
    sources = {"map": ("per_cent", "hectares")}
    if any("product_per_cent" in row for row in rows):
        sources["product"] = ("product_per_cent", "product_hectares")
    if sources.keys() != labels.keys():
        return None
    per_cent = {name: [row.get(keys[0]) for row in rows] for name, keys in sources.items()}
    hectares = {name: [row.get(keys[1]) for row in rows] for name, keys in sources.items()}
    note = f"Measured {areas.get('measured', 'by mapsr map')}."
    return Areas("Area of each class", tuple(sources), shares_of(legend, per_cent, hectares), note)


def _own_image(record: Mapping[str, Any]) -> str | None:
    """The image of a map as its record says it, where it is still there."""
    made = record.get("settings") or {}
    files = [one["path"] for one in (record.get("inputs") or {}).get("images", ())]
    image = made.get("image") if made.get("mosaic") else next(iter(files), None)
    return image if files and all(map(_is_there, files)) else None


def _own_asset(record: Mapping[str, Any]) -> str | None:
    """The asset that was the image, where ``_own_image`` names STAC items, not files."""
    made = record.get("settings") or {}
    return made.get("image_asset") if made.get("mosaic") else None


def _own_products(record: Mapping[str, Any]) -> list[str]:
    """The products of a map as its record says them, where they are still there."""
    files = (record.get("product") or {}).get("files") or ()
    return list(files) if all(map(_is_there, files)) else []


def _is_there(file: str) -> bool:
    """Whether an input of a record can be asked for: a file, or an address with all that it had."""
    if is_remote(file):
        return HIDDEN not in file and not is_offline()
    return is_there(Path(file))


def _infos(image: str, asset: str | None, *, required: bool) -> tuple[ImageInfo, ...]:
    """What is known of images; nothing where one can't be read and none is required."""
    try:
        found = find_images(image, None, image_asset=asset)
        for one in found.every:
            if one.error is not None:
                raise one.error
    except MapsrError:
        if required:
            raise
        return ()
    return tuple(one.info for one in found.every if one.info)


def _scale(info: ImageInfo) -> float:
    kind = np.dtype(info.dtype)
    return float(np.iinfo(kind).max) if kind.kind in "iu" else 1.0


def _crosswalk(
    settings: PageSettings,
    path: Path,
    tags: Mapping[str, str],
    record: Mapping[str, Any],
    legend: Legend,
) -> Crosswalk:
    """From the product's classes to the map's."""
    fitted = _fitted(path, tags)
    if settings.product_legend:
        source = load_legend(settings.product_legend)
    elif fitted and fitted.product:
        source = fitted.product
    else:
        raise ConfigError(
            f"The legend of the product of {path} is not known: name it with product_legend=NAME, "
            "such as nlcd."
        )
    made = record.get("settings") or {}
    # a file of one's own is known by its path alone, which only the command that fits has
    own = None if made.get("fitted") else (made.get("legend") or {}).get("crosswalk")
    named = settings.crosswalk or own or tags.get("MAPSR_CROSSWALK") or "paraformer"
    return load_crosswalk(named, source, legend)


def _fitted(path: Path, tags: Mapping[str, str]) -> FittedMethod | None:
    """The method that a map was made with, where it lies beside it."""
    for file in (path.with_suffix(SUFFIX), path.with_name(FILE)):
        try:
            found = load_fitted(file) if file.is_file() else None
        except FittedError:
            continue
        if found and found.sha256 == tags.get("MAPSR_FITTED"):
            return found
    return None


def _sure(
    path: Path, tags: Mapping[str, str], configuration: Mapping[str, Any]
) -> SureLayer | None:
    """How sure the map is, where that was written with it."""
    beside = path.with_name(f"{path.stem}_confidence{path.suffix}")
    job = tags.get(JOB_TAG)
    if job is None or not beside.exists() or read_tags(beside).get(JOB_TAG) != job:
        return None
    return SureLayer(beside, probable="map_probability" in configuration.get("outputs", []))


def _facts(
    path: Path, tags: Mapping[str, str], configuration: Mapping[str, Any], record: Mapping[str, Any]
) -> tuple[Facts, ...]:
    import yaml

    chosen = [
        (key, str(value.get("kind", "")) if isinstance(value, dict) else str(value))
        for key, value in configuration.items()
        if value is not None
    ]
    text = yaml.safe_dump(dict(configuration), sort_keys=True) if configuration else ""
    rows = [("file", str(path.resolve()))]
    rows += [(key, value) for key, value in tags.items() if key != _CONFIGURATION]
    rows += [
        (key, value) for key, value in record.items() if isinstance(value, str) and key != "map"
    ]
    settings = (Facts("Settings", chosen, text),) if chosen else ()
    return (*settings, Facts("Provenance", rows))


def _command(
    path: Path, image: str | None, products: Sequence[str], record: Mapping[str, Any]
) -> str:
    """The record's own command; else the one that maps the image with the fitted method beside."""
    if isinstance(record.get("command"), str):
        return str(record["command"])
    fitted = next(
        (one for one in (path.with_suffix(SUFFIX), path.with_name(FILE)) if one.is_file()), None
    )
    if image is None or fitted is None:
        return ""
    words = ["mapsr", "map", f"fitted={fitted}", f"image={image}", f"out={path}"]
    words += [f"coarse={products[0]}"] if len(products) == 1 else []
    return shlex.join([*words, "overwrite=true"])


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
