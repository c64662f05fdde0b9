"""Points of vector layers, and writing layers that QGIS opens."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError

from mapsr.errors import RasterError
from mapsr.files import publish
from mapsr.geo.burning import Geometries, project
from mapsr.geo.grids import Grid
from mapsr.geo.vectors import VectorLayer, as_text, reading_vectors

VectorWriter = Callable[[Geometries, Mapping[str, NDArray[Any]]], None]
"""Adds features: geometries (N,) and the values (N,) of each column."""


@dataclass(frozen=True, eq=False)
class Points:
    """Points on the pixels of a grid.

    Attributes:
        rows: int64 (N,), row of the pixel that a point lies in; may lie outside the grid.
        columns: int64 (N,), its column.
        tags: values by attribute, object (N,): text, or None where there is none.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    tags: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.rows)


def read_points(layer: VectorLayer, grid: Grid, columns: Sequence[str]) -> Points:
    """Read all points of a layer. Memory: all of them.

    Args:
        layer: opened by ``open_layer``.
        grid: whose pixels they lie in.
        columns: attributes to read.

    Raises:
        RasterError: the file can't be read, a feature is not a point, or it can't be projected.
    """
    with reading_vectors(layer.path):
        meta, _, wkb, values = pyogrio.raw.read(
            layer.copy, layer=layer.name, columns=list(columns), force_2d=True
        )
    points = np.array(shapely.from_wkb(wkb), object)
    kinds = shapely.get_type_id(points)
    if (kinds != shapely.GeometryType.POINT).any() or shapely.is_empty(points).any():
        raise RasterError(
            f"{layer.path} holds features that are not points, expected a layer of points: convert "
            "it with QGIS's 'Multipart to singleparts' or 'Centroids'."
        )
    placed = project(points, layer.crs, grid.crs)
    if any(one is None for one in placed):
        raise RasterError(f"{layer.path} holds points that have no place in {grid.crs}.")
    x, y = shapely.get_x(placed), shapely.get_y(placed)
    across, down = ~grid.transform @ (x, y)
    read = dict(zip(meta["fields"], values, strict=True))
    return Points(
        np.floor(down).astype(np.int64),
        np.floor(across).astype(np.int64),
        {column: as_text(read[column]) for column in columns},
    )


def pixel_centres(grid: Grid, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Geometries:
    """Points (N,) at the centres of pixels of a grid, in its CRS."""
    place = grid.transform
    centres: Geometries = shapely.points(
        place.c + place.a * (columns + 0.5), place.f + place.e * (rows + 0.5)
    )
    return centres


@contextmanager
def vector_writer(path: Path, grid: Grid, layer: str, kind: str) -> Iterator[VectorWriter]:
    """Write a GeoPackage part by part; it appears whole or not at all.

    Args:
        path: the file, replaced if it is there.
        grid: whose CRS the geometries have.
        layer: name of the layer.
        kind: of its geometries: "Point", "MultiPolygon" and so on.

    Yields:
        A function that adds features; its columns are the same in each call.

    Raises:
        RasterError: the file can't be written, or nothing was added to it.
    """
    try:
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
            made = Path(folder) / "layer.gpkg"

            def add(geometries: Geometries, columns: Mapping[str, NDArray[Any]]) -> None:
                pyogrio.raw.write(
                    made,
                    shapely.to_wkb(geometries),
                    list(columns.values()),
                    list(columns),
                    driver="GPKG",
                    layer=layer,
                    geometry_type=kind,
                    crs=grid.crs.to_wkt(),
                    append=made.exists(),
                )

            yield add
            if not made.exists():
                raise RasterError(f"There is nothing to write to {path}.")
            publish(made, path)
    except (DataSourceError, DataLayerError, FeatureError, GeometryError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        raise RasterError(
            f"Can't write {path}: {reason}; check the space and the rights there."
        ) from error
