"""STAC items of maps: where and when they are, what lies beside them, and what their codes mean."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from rasterio.warp import transform_geom

from mapsr.errors import RasterError
from mapsr.files import write_json
from mapsr.geo.drivers import reading
from mapsr.geo.examination import bounds_deg
from mapsr.geo.grids import Grid
from mapsr.geo.opening import open_raster
from mapsr.geo.projections import epsg
from mapsr.geo.stac import pystac_package
from mapsr.legends import NODATA, Legend

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
"""Media type of a Cloud Optimized GeoTIFF."""
_EDGE_POINTS = 20
"""Points along each edge of an outline: a straight edge of a map is none in degrees."""
_DIGITS = 7
"""Of degrees: a centimetre."""
_ACQUIRED = (("IMAGERY", "ACQUISITIONDATETIME"), (None, "TIFFTAG_DATETIME"))
"""Domain and name of tags in which GDAL tells when an image was taken, the best first."""
_FORMS = ("%Y:%m:%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y:%m:%d", "%Y-%m-%d")

Span = tuple[datetime, datetime]
"""From when to when, UTC; twice the same for a moment."""


@dataclass(frozen=True)
class StacAsset:
    """A file beside an item.

    Attributes:
        path: the file; its address in the item is relative to it.
        title: for people.
        media_type: such as ``COG``.
        roles: what it is for, such as "data" or "metadata".
        legend: of a raster of labels; None: it is none.
        facts: further fields.
    """

    path: Path
    title: str
    media_type: str
    roles: tuple[str, ...]
    legend: Legend | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


def write_item(
    path: Path,
    grid: Grid,
    assets: Mapping[str, StacAsset],
    times: Sequence[Span],
    made: datetime,
    facts: Mapping[str, object],
) -> None:
    """Write a STAC item beside a map.

    Args:
        path: the item, a .json file; its name without that is the item's id.
        grid: of the map.
        assets: by key.
        times: when each image was taken, as far as it is known.
        made: when the map was made: in place of the other times where none is known.
        facts: further properties.

    Raises:
        ConfigError: pystac is not installed.
        RasterError: the place of the map is not defined in degrees, or the file can't be written.
    """
    pystac = pystac_package()
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.projection import ProjectionExtension

    item = pystac.Item(
        id=path.stem,
        geometry=_outline(grid, path),
        bbox=[round(value, _DIGITS) for value in bounds_deg(grid, path)],
        properties={"created": _text(made), **facts},
        **_when(times, made),
    )
    projection = ProjectionExtension.ext(item, add_if_missing=True)
    code = grid.crs.to_epsg()
    projection.apply(
        code=f"EPSG:{code}" if code else None,
        wkt2=None if code else grid.crs.to_wkt(version="WKT2_2019"),
        bbox=list(grid.bounds),
        shape=[grid.height, grid.width],
        transform=[float(value) for value in grid.transform[:6]],
    )
    for key, one in assets.items():
        asset = pystac.Asset(
            href=f"./{one.path.name}",
            title=one.title,
            media_type=one.media_type,
            roles=list(one.roles),
            extra_fields=dict(one.facts),
        )
        item.add_asset(key, asset)
        if one.legend is not None:
            ClassificationExtension.ext(asset, add_if_missing=True).apply(_classes(one.legend))
    try:
        write_json(path, item.to_dict(include_self_link=False, transform_hrefs=False))
    except OSError as error:
        raise RasterError(
            f"Can't write {path}: {error.strerror}; the map itself is whole, and the same command "
            "goes on from there."
        ) from error


def taken(path: Path) -> Span | None:
    """When an image was taken, as its tags say; None where they don't, or it can't be read.

    Times without a zone are taken for UTC.
    """
    try:
        with open_raster(path) as dataset:
            for domain, name in _ACQUIRED:
                text = dataset.tags(ns=domain).get(name) if domain else dataset.tags().get(name)
                moment = _moment(str(text)) if text else None
                if moment is not None:
                    return moment, moment
    except RasterError:
        return None
    return None


def _moment(text: str) -> datetime | None:
    for form in _FORMS:
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _when(times: Sequence[Span], made: datetime) -> dict[str, Any]:
    """When what the map shows was: a moment, or null with a start and an end."""
    if not times:
        return {"datetime": made}
    start, end = min(one[0] for one in times), max(one[1] for one in times)
    if start == end:
        return {"datetime": start}
    return {"datetime": None, "start_datetime": start, "end_datetime": end}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _outline(grid: Grid, path: Path) -> dict[str, Any]:
    """The extent of a grid in degrees, a polygon, or several where it crosses 180 degrees."""
    left, bottom, right, top = grid.bounds
    ring = []
    corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    for (x0, y0), (x1, y1) in pairwise(corners):
        steps = (step / _EDGE_POINTS for step in range(_EDGE_POINTS))
        ring += [(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for share in steps]
    ring.append(ring[0])
    polygon = {"type": "Polygon", "coordinates": [ring]}
    with reading(path):
        found = transform_geom(
            grid.crs, epsg(4326), polygon, antimeridian_cutting=True, precision=_DIGITS
        )
    return {"type": found["type"], "coordinates": _lists(found["coordinates"])}


def _lists(values: Any) -> Any:  # noqa: ANN401 - nested as deep as the geometry
    return [_lists(one) for one in values] if isinstance(values, list | tuple) else values


def _classes(legend: Legend) -> list[Any]:
    from pystac.extensions.classification import Classification

    names = _machine_names(legend)
    found = [
        Classification.create(
            value=index,
            name=names[index],
            title=one.name,
            color_hint="{:02X}{:02X}{:02X}".format(*one.color),
        )
        for index, one in enumerate(legend.classes)
    ]
    return [*found, Classification.create(value=NODATA, name="nodata", nodata=True)]


def _machine_names(legend: Legend) -> list[str]:
    """Names of letters, digits, - and _ alone, as the extension wants them, each once."""
    found: list[str] = []
    for index, name in enumerate(legend.names):
        plain = re.sub(r"[^0-9A-Za-z_-]+", "_", name).strip("_").lower() or f"class_{index}"
        found.append(plain if plain not in (*found, "nodata") else f"{plain}_{index}")
    return found
