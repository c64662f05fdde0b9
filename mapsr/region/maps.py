"""Map a region: any rasters, with a method that is given or fitted on a coarse product."""

from dataclasses import dataclass
from pathlib import Path

from mapsr.errors import ConfigError, MapsrError
from mapsr.geo.addresses import raster_path
from mapsr.geo.stac import pystac_package
from mapsr.mapping import (
    Engine,
    MapOptions,
    MapRequest,
    Output,
    Report,
    map_rasters,
    open_engine,
)
from mapsr.measure.answer import Record
from mapsr.methods import FittedMethod, Method, MethodParts, find_fitted, load_fitted
from mapsr.methods.fitted import FILE, SUFFIX
from mapsr.paths import local_path
from mapsr.progress import Progress
from mapsr.region.answers import Making, answer, logged, require_room
from mapsr.region.checks import log_path, out_paths, usable
from mapsr.region.fit import fit_region
from mapsr.region.images import Image, Images, find_images
from mapsr.region.product_report import write_product_report
from mapsr.region.settings import MapSettings
from mapsr.tracking.record import Stopwatch


@dataclass(frozen=True)
class Mapped:
    """What became of one image, or of the mosaic.

    Attributes:
        image: what was mapped.
        out: its map.
        error: why there is none, else None.
        fresh: made now; False: the same command had made it before.
        record: what was measured of it, and how it was made; see OUT_record.json.
    """

    image: Path
    out: Path | None
    error: MapsrError | None
    fresh: bool = True
    record: Record | None = None


@dataclass(frozen=True)
class Region:
    """What became of a region.

    Attributes:
        fitted: file of the method that was used.
        fresh: the method was fitted now; False: it was given, or fitted before.
        mapped: what became of each image, or of the mosaic and the images missing in it.
    """

    fitted: Path
    fresh: bool
    mapped: tuple[Mapped, ...]


def map_region(settings: MapSettings, progress: Progress, command: str = "") -> Region:
    """Load or fit a method, and map images with it; a record lies beside each map.

    Args:
        settings: of the command.
        progress: shows the work.
        command: as it was given, for the records.

    Raises:
        ConfigError: an output can't be.
        MapsrError: nothing can be mapped, for whatever reason.
    """
    watch = Stopwatch()
    images = find_images(
        settings.image,
        settings.coarse,
        settings.out,
        image_asset=settings.image_asset,
        coarse_asset=settings.coarse_asset,
    )
    if settings.place is not None and not (images.single or settings.mosaic):
        raise ConfigError(
            "window= and aoi= map a part of one raster, but image= may name several: name one, or "
            "set mosaic=true."
        )
    if settings.stac:
        pystac_package()  # that it is absent should be known before the work
    outs = out_paths(images, settings)  # a bad one should be known before anything is fitted
    for out in dict.fromkeys(outs.values()):
        require_room(out, settings)
    if images.single and (error := images.every[0].error):
        raise error
    if settings.place is not None and images.single and (info := images.every[0].info):
        settings.place.on(info.grid)  # a place beside the image should be known before, too
    log = log_path(images, settings, outs)
    with logged(log):
        live: Method | None = None
        with watch("fit"):
            if settings.fitted:
                path, fresh = find_fitted(local_path(settings.fitted, "fitted")), False
                fitted = given_method(settings)
                _check_report(settings, fitted.parts)
                images = usable(images, settings, fitted.image)
            else:
                _check_report(settings, settings)
                path = _fitted_path(images, settings, outs)
                images = usable(images, settings, None)
                fitted, live = fit_region(images, settings, path, progress)
                fresh = live is not None
        as_told = fresh or bool(settings.fitted)
        taken = {image.path: image.taken for image in images.every if image.taken}
        making = Making(settings, fitted, path, watch, log, command, progress, as_told, taken)
        return Region(path, fresh, _map(images, making, live, outs))


def given_method(settings: MapSettings) -> FittedMethod:
    """Load the method that the settings name, with what may still be changed of it.

    Raises:
        FittedError: it can't be loaded.
    """
    fitted = load_fitted(local_path(str(settings.fitted), "fitted"))
    parts = {name: getattr(settings, name) for name in fitted.parts.method.adjustable}
    return fitted.adjusted(parts, settings.windows)


def _map(
    images: Images, making: Making, live: Method | None, outs: dict[Path, Path]
) -> tuple[Mapped, ...]:
    """Map the images that can be used; the others are reported."""
    settings, fitted = making.settings, making.fitted
    failed = [Mapped(i.path, None, i.error) for i in images.every if i.error is not None]
    good = [image for image in images.every if image.error is None]
    if not good:
        return tuple(failed)
    options = _options(settings, probable=fitted.parts.gives_probabilities)
    requests = _requests(good, settings, outs)
    with making.watch("map"):
        runtime = settings.runtime()
        engine: Engine = open_engine(fitted, settings.engine, runtime, options.outputs, live)
        reports: list[Report] = map_rasters(fitted, requests, engine, making.progress, options)
    every = [image.path for image in good]
    names = [raster_path(settings.image, "image")] if settings.mosaic else every
    done = [
        _finished(name, report, request, making)
        for name, report, request in zip(names, reports, requests, strict=True)
    ]
    return tuple(done + failed)


def _finished(name: Path, report: Report, request: MapRequest, making: Making) -> Mapped:
    """Measure a map that is made; what goes wrong with that is the map's error."""
    out, error, record = report.job.out, report.error, None
    if error is None:
        try:
            if making.settings.product_error and (crosswalk := making.crosswalk()) is not None:
                with making.watch("product_error"):
                    write_product_report(report.job, crosswalk, making.progress)
            record = answer(report, request, making)
        except MapsrError as failure:
            error = failure
    return Mapped(name, out, error, report.fresh, record)


def _requests(good: list[Image], settings: MapSettings, outs: dict[Path, Path]) -> list[MapRequest]:
    infos = {image.path: image.info for image in good if image.info}
    if settings.mosaic:
        first = good[0].path
        products = tuple(dict.fromkeys(image.coarse for image in good if image.coarse))
        mosaic = tuple(infos.values())
        return [
            MapRequest(
                first.name,
                mosaic,
                outs[first],
                mosaic=True,
                products=products,
                place=settings.place,
            )
        ]
    return [
        MapRequest(
            one.path.name,
            (one.info,),
            outs[one.path],
            products=_product(one),
            place=settings.place,
        )
        for one in good
        if one.info
    ]


def _product(image: Image) -> tuple[Path, ...]:
    return (image.coarse,) if image.coarse else ()


def _check_report(settings: MapSettings, parts: MethodParts) -> None:
    """Refuse a report on the product that can't be made, before the work."""
    if settings.product_error and not (parts.gives_probabilities and settings.scores):
        raise ConfigError(
            "product_error=true needs probabilities: set scores=true, and take a method that gives "
            "them, such as method=mapsr_em."
        )


def _options(settings: MapSettings, *, probable: bool) -> MapOptions:
    surety = "probability" if probable else "confidence"
    kinds = {surety: settings.confidence, "scores": settings.scores}
    further = (Output(kind=kind) for kind, wanted in kinds.items() if wanted)
    return MapOptions(
        outputs=(Output(), *further),
        scale=settings.scale,
        bands=settings.bands,
        overwrite=settings.overwrite,
        restart=settings.restart,
    )


def _fitted_path(images: Images, settings: MapSettings, outs: dict[Path, Path]) -> Path:
    """Where a method that is fitted for these maps is kept."""
    first = next(iter(outs.values()))
    if settings.mosaic or images.single:
        return first.with_suffix(SUFFIX)
    return first.with_name(FILE)
