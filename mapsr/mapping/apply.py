"""Map rasters with a fitted method: the one way from a fit to files."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import mapsr
from mapsr.changes import INPUTS
from mapsr.geo import Grid, ImageInfo, ImageReader, MosaicReader, source_files
from mapsr.geo.places import Place
from mapsr.geo.states import asking_once
from mapsr.mapping.engines import Engine, EngineSettings, Raster, Score
from mapsr.mapping.jobs import PRODUCTS, MapJob, Report, run_jobs
from mapsr.mapping.outputs import Channels, Output
from mapsr.mapping.plan import MapPlan
from mapsr.mapping.products import ProductLayer
from mapsr.mapping.store import file_states
from mapsr.methods import FittedMethod, Method, Runtime
from mapsr.progress import Progress, unwatched
from mapsr.settings import content_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MapRequest:
    """A map that is wanted.

    Attributes:
        name: of what is mapped, for messages.
        infos: of the images; with ``mosaic`` one map over all of them, else there is one.
        out: the label map.
        mosaic: whether the grid is one over all images.
        products: files of the coarse product, for methods whose maps it has a say in.
        place: what of it is mapped, as it would be in the map of all; None: all.
    """

    name: str
    infos: tuple[ImageInfo, ...]
    out: Path
    mosaic: bool = False
    products: tuple[Path, ...] = ()
    place: Place | None = None


@dataclass(frozen=True)
class MapOptions:
    """How maps are written.

    Attributes:
        outputs: what is written of each.
        scale: raw value of these images that becomes 1; None: as fitted.
        bands: how many leading bands are read; None: as fitted.
        tags: provenance, written into the files beside what they always hold.
        overwrite: replace files that are there.
        restart: give up the beginning of another job on the same output.
    """

    outputs: tuple[Output, ...] = (Output(),)
    scale: float | None = None
    bands: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    restart: bool = False


def open_engine(
    fitted: FittedMethod,
    settings: EngineSettings,
    runtime: Runtime,
    outputs: Sequence[Output],
    live: Method | None = None,
) -> Engine:
    """Make the engine that scores with a fitted method.

    Args:
        fitted: the method.
        settings: which engine.
        runtime: where it computes.
        outputs: what is wanted of the scores.
        live: the method as it was just fitted, used in place of a second copy where it can be.

    Raises:
        ConfigError: what the engine needs is not here.
        WeightsError: weights are absent or damaged.
        FittedError: the weights found here are not those of the fit.
    """
    layers = tuple(dict.fromkeys(output.layer for output in outputs))
    # in other processes nobody looks at this one's watch
    elsewhere = replace(runtime, memory_mib=0, watch=unwatched)
    build = _Build(fitted, elsewhere, layers, live, runtime.device)
    return settings.open(build, runtime.device, runtime.batch)


class _Build:
    """Builds scorers of a fitted method; sent to another process, it leaves the live one behind."""

    def __init__(
        self,
        fitted: FittedMethod,
        runtime: Runtime,
        layers: tuple[str, ...],
        live: Method | None,
        home: torch.device,
    ) -> None:
        self._parts = fitted, runtime, layers
        self._live, self._home = live, home

    def __reduce__(self) -> tuple[object, ...]:
        return _Build, (*self._parts, None, self._home)

    def __call__(self, device: torch.device) -> Score:
        fitted, runtime, layers = self._parts
        at_home = device == self._home or (device.type == "cuda" and device.index == 0)
        method = self._live if self._live is not None and at_home else None
        method = method or fitted.build(runtime.on(device))
        return partial(method.score, layers=layers)


def map_rasters(
    fitted: FittedMethod,
    requests: Sequence[MapRequest],
    engine: Engine,
    progress: Progress,
    options: MapOptions | None = None,
) -> list[Report]:
    """Map rasters of any size.

    Args:
        fitted: the method, with the windows that its maps have.
        requests: which maps are wanted.
        engine: scores with the method; see ``open_engine``.
        progress: shows the work.
        options: how they are written; None: the label map alone, and nothing is replaced.

    Returns:
        What became of each request, in their order.

    Raises:
        RasterError: the images of a request make no mosaic.
        DataError: a product is not of the place, or not of the legend of the fit.
    """
    with asking_once():
        jobs = [_job(fitted, request, options or MapOptions()) for request in requests]
    return run_jobs(jobs, engine, progress)


def _job(fitted: FittedMethod, request: MapRequest, options: MapOptions) -> MapJob:
    scale = options.scale or fitted.image.scale
    bands = options.bands or fitted.image.bands
    reader = _reader(request, bands, scale)
    windows = fitted.windows
    plan = MapPlan((reader.grid.height, reader.grid.width), windows)
    product = _product(fitted, request, reader.grid)
    adjustable = fitted.parts.method.adjustable
    applied = {
        "windows": content_of(windows),
        **{name: _content(getattr(fitted.parts, name)) for name in adjustable},
        "scale": scale,
        "bands": bands,
        "mosaic": request.mosaic,
        "outputs": [output.key for output in options.outputs],
    }
    images = [file for info in request.infos for file in info.files]
    about: dict[str, Any] = {
        "version": mapsr.__version__,
        "fitted": fitted.sha256,
        "weights": dict(fitted.weights),
        INPUTS: file_states(images),
        **applied,
    }
    files = () if product is None else product.tiles.paths
    sources = [one for path in files for one in source_files(path)]
    if product is not None:
        about[PRODUCTS] = file_states(sources)
    part = None if request.place is None else request.place.on(reader.grid)
    if part is not None and request.place is not None:
        window = part.window
        about["part"] = [window.row, window.col, window.height, window.width]
        about["aoi"] = file_states([file] if (file := request.place.file) else ())
    tags = {
        "MAPSR_VERSION": mapsr.__version__,
        "MAPSR_FITTED": fitted.sha256,
        "MAPSR_CROSSWALK": fitted.crosswalk,
        **({"MAPSR_PRODUCT": ", ".join(path.name for path in files)} if files else {}),
        "MAPSR_CONFIGURATION": json.dumps({**fitted.parts.plain(), **applied}, sort_keys=True),
        **options.tags,
    }
    channels = Channels(fitted.channels, len(fitted.target)) if fitted.channels else None
    raster = Raster(request.name, reader, plan, options.outputs, product, channels, part)
    inputs, (again, anew) = (*images, *sources), (options.overwrite, options.restart)
    return MapJob(raster, request.out, fitted.target, about, tags, again, anew, inputs)


def _reader(request: MapRequest, bands: int | None, scale: float) -> ImageReader | MosaicReader:
    if request.mosaic:
        return MosaicReader(request.infos, bands, scale)
    return ImageReader(request.infos[0], bands, scale)


def _content(part: object) -> object:
    return None if part is None else content_of(part)  # files of earlier versions lack some


def _product(fitted: FittedMethod, request: MapRequest, grid: Grid) -> ProductLayer | None:
    """The product at a place, where there is one and the method reads it."""
    if not fitted.parts.product_prior or fitted.product is None:
        return None
    layer = ProductLayer.of(request.products, fitted.product, grid)
    if layer is None:
        logger.warning(
            "%s is mapped without a coarse product: one of its place (coarse=) would make the map "
            "better",
            request.name,
        )
    return layer
