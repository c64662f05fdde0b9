"""Vector files: features of any format and CRS, read by window."""

import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform_bounds

from mapsr.errors import RasterError, near_match
from mapsr.files import whole_file
from mapsr.geo.burning import Geometries, true_metres, utm_zones, whole_blocks
from mapsr.geo.drivers import reading, require_present
from mapsr.geo.grids import Grid
from mapsr.geo.projections import epsg
from mapsr.geo.windows import Window
from mapsr.weights import cache_folder

_FAST = ("GPKG", "FlatGeobuf")
"""Drivers with a spatial index in the file: a window is read in milliseconds."""
_AROUND_PX = 2
"""Pixels around a window in which features are read too."""


@dataclass(frozen=True)
class VectorLayer:
    """A layer of a vector file that can be read by window."""

    path: Path
    """The file."""
    copy: Path
    """What is read: the file, or its copy in a format with a spatial index."""
    name: str
    """Name of the layer in ``copy``."""
    crs: CRS
    """Coordinate reference system."""
    columns: tuple[str, ...]
    """Names of the attributes."""
    bounds: tuple[float, float, float, float] | None
    """Least x, least y, greatest x and greatest y; None: no feature."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a layer, with valid geometries.

    Attributes:
        geometries: (N,) in the layer's CRS.
        flat: bool (N,), lines and points, which have no area of their own.
        tags: values by column, object (N,): text, or None where there is none.
        ids: int64 (N,), number of each feature in the layer, the same in every window.
        repaired: how many geometries were broken and are repaired.
        skipped: how many were beyond repair, and are left out.
    """

    geometries: Geometries
    flat: NDArray[np.bool_]
    tags: dict[str, NDArray[Any]]
    ids: NDArray[np.int64]
    repaired: int
    skipped: int


def vector_cache() -> Path:
    """Return the folder that indexed copies of vector files go to, below the user's cache."""
    return cache_folder().with_name("vectors")


def open_layer(path: Path, name: str | None, cache: Path | None = None) -> VectorLayer:
    """Open a layer of a vector file of any OGR format and CRS.

    GeoPackage and FlatGeobuf are read as they are. Another format is converted once to FlatGeobuf:
    without a spatial index each window would read the whole file. Memory: that of the whole file,
    once.

    Args:
        path: the file.
        name: of the layer; None: its only one.
        cache: folder of converted copies; None: ``vector_cache()``.

    Raises:
        RasterError: the file is missing or not a vector file, has no such layer, several but none
            is named, or no CRS.
    """
    require_present(path)
    with reading_vectors(path):
        layer = _layer_name([str(row[0]) for row in pyogrio.list_layers(path)], name, path)
        info = pyogrio.read_info(path, layer=layer, force_total_bounds=True)
    crs = _crs(info["crs"], path)
    copy = path
    if info["driver"] not in _FAST:
        copy = (cache or vector_cache()) / f"{_fingerprint(path, layer)}.fgb"
        if not copy.exists():
            _convert(path, layer, copy)
        with reading_vectors(copy):
            info = pyogrio.read_info(copy, force_total_bounds=True)
    bounds = info["total_bounds"] if info["features"] else None
    return VectorLayer(path, copy, info["layer_name"], crs, tuple(info["fields"]), bounds)


def touches(layer: VectorLayer, grid: Grid, window: Window, around_m: float = 0.0) -> bool:
    """Tell whether the extent of a layer's features, widened by metres, meets a window of a grid.

    Raises:
        RasterError: the layer's CRS is not defined where the window lies.
    """
    if layer.bounds is None:
        return False
    left, bottom, right, top = _seen(layer, grid, window, around_m)
    x0, y0, x1, y1 = layer.bounds
    return bool(left <= x1 and right >= x0 and bottom <= y1 and top >= y0)


def read_features(
    layer: VectorLayer, grid: Grid, window: Window | None, columns: Sequence[str], around_m: float
) -> Features:
    """Read the features that can reach into a window of a grid.

    Args:
        layer: opened by ``open_layer``.
        grid: the master grid.
        window: pixels (H, W) of the grid; None: read all features, wherever they lie.
        columns: attributes to read, all of the layer.
        around_m: metres by which features will be widened.

    Raises:
        RasterError: the file can't be read, or its CRS is not defined where the window lies.
    """
    box = None if window is None else _seen(layer, grid, whole_blocks(window), around_m)
    with reading_vectors(layer.path):
        meta, ids, wkb, values = pyogrio.raw.read(
            layer.copy,
            layer=layer.name,
            columns=list(columns),
            bbox=box,
            force_2d=True,
            return_fids=True,
        )
    geometries, repaired = _valid(shapely.from_wkb(wkb, on_invalid="fix"))
    good = np.array([one is not None for one in geometries], bool)
    read = dict(zip(meta["fields"], values, strict=True))
    tags = {column: as_text(read[column])[good] for column in columns}
    kept = geometries[good]
    flat = np.asarray(shapely.get_dimensions(kept) < 2, bool)
    return Features(kept, flat, tags, ids[good], repaired, int((~good).sum()))


def value_counts(layer: VectorLayer, column: str) -> Counter[str]:
    """Return how many features have each value of an attribute, as text.

    Memory: the attribute of all features.

    Raises:
        RasterError: the file can't be read.
    """
    with reading_vectors(layer.path):
        _, _, _, values = pyogrio.raw.read(
            layer.copy, layer=layer.name, columns=[column], read_geometry=False
        )
    return Counter(text for text in as_text(values[0]) if text is not None)


@contextmanager
def reading_vectors(path: Path) -> Iterator[None]:
    """Turn every failure of pyogrio in the block into a RasterError."""
    try:
        yield
    except (DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError) as error:
        reason = str(error).split("; It might help")[0].rstrip(".")
        raise RasterError(
            f"Can't read {path}: {reason}; expected a whole vector file that OGR can open, so "
            "fetch or make the file again."
        ) from error


def _layer_name(names: list[str], name: str | None, path: Path) -> str:
    listed = ", ".join(names)
    if name is None:
        if len(names) != 1:
            raise RasterError(f"{path} has the layers {listed}, expected one: name the layer.")
        return names[0]
    if name not in names:
        raise RasterError(
            f"{path} has no layer '{name}', expected one of {listed}.{near_match(name, names)}"
        )
    return name


def _crs(text: str | None, path: Path) -> CRS:
    try:
        return CRS.from_user_input(text or "")
    except CRSError as error:
        raise RasterError(
            f"{path} has no coordinate reference system that PROJ knows ({text}), expected one; "
            "set it with ogr2ogr -a_srs EPSG:CODE."
        ) from error


def _fingerprint(path: Path, layer: str) -> str:
    """A name for the converted copy, another one when any of the files of ``path`` changes."""
    inside = sorted(path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.stem}.*"))
    state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in inside]
    text = repr((os.fspath(path.resolve()), layer, state))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _convert(path: Path, layer: str, copy: Path) -> None:
    """Copy a layer to FlatGeobuf, with all attributes as text; without features of no geometry."""
    with reading_vectors(path):
        meta, _, wkb, values = pyogrio.raw.read(path, layer=layer, force_2d=True)
        some = np.array([one is not None for one in wkb], bool)
        with whole_file(copy) as temporary, TemporaryDirectory(dir=copy.parent) as folder:
            # by any other suffix the driver makes a folder of layers
            made = Path(folder) / "copy.fgb"
            pyogrio.raw.write(
                made,
                wkb[some],
                [as_text(column)[some] for column in values],
                list(meta["fields"]),
                driver="FlatGeobuf",
                layer="features",
                geometry_type="Unknown",
                crs=meta["crs"],
            )
            made.replace(temporary)


def as_text(values: NDArray[Any]) -> NDArray[Any]:
    """Attributes as text, whole numbers without a point; None where there is none."""
    text = np.full(len(values), None, object)
    for index, value in enumerate(values.tolist()):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        text[index] = f"{value:g}" if isinstance(value, float) else str(value)
    return text


def _valid(geometries: Geometries) -> tuple[Geometries, int]:
    """Repair what can be repaired and drop the rest to None; and how many were repaired."""
    geometries = np.array(geometries, object)
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    geometries[owner[~np.isfinite(coordinates).all(axis=1)]] = None
    broken = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
    geometries[broken] = shapely.make_valid(
        geometries[broken], method="structure", keep_collapsed=False
    )
    geometries[shapely.is_empty(geometries)] = None
    return geometries, int((broken & ~shapely.is_missing(geometries)).sum())


def _seen(
    layer: VectorLayer, grid: Grid, window: Window, around_m: float
) -> tuple[float, float, float, float]:
    """Bounds, in the layer's CRS, of a window and some metres and pixels around it."""
    wide = Window(
        window.row - _AROUND_PX,
        window.col - _AROUND_PX,
        window.height + 2 * _AROUND_PX,
        window.width + 2 * _AROUND_PX,
    )
    bounds, crs = grid.crop(wide).bounds, grid.crs
    with reading(layer.path):
        if around_m and not true_metres(crs):
            corners = shapely.box(*bounds)
            crs = epsg(int(utm_zones(np.array([corners], object), grid.crs)[0]))
            bounds = transform_bounds(grid.crs, crs, *bounds, densify_pts=21)
        left, bottom, right, top = bounds
        wide_m = 2 * around_m  # twice: away from its middle a zone stretches
        bounds = left - wide_m, bottom - wide_m, right + wide_m, top + wide_m
        left, bottom, right, top = transform_bounds(crs, layer.crs, *bounds, densify_pts=21)
    if not all(map(math.isfinite, (left, bottom, right, top))):
        raise RasterError(
            f"{layer.path} has the reference system {layer.crs}, which is not defined all over "
            f"{grid.crop(window).bounds} in {grid.crs}; check the reference systems of both."
        )
    if left > right:  # across the antimeridian
        left, right = -180.0, 180.0
    return left, bottom, right, top
