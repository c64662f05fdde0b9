"""Rasters that a STAC item, collection or catalogue names; pystac is imported where one is read."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mapsr.errors import ConfigError, MapsrError, RasterError, near_match
from mapsr.extras import require_extra
from mapsr.geo.addresses import raster_path
from mapsr.geo.vsi import text_of
from mapsr.paths import is_there
from mapsr.remote import SCHEMES, RemotePath, is_remote

if TYPE_CHECKING:
    import pystac

_MOST_ITEMS = 100_000
_MOST_BYTES = 256 << 20
"""Size of a file of STAC at most: a saved search of some ten thousand items."""
_MARK = b'"stac_version"'
_LOOK = 1 << 20
"""Bytes of a file of this machine in which the mark is looked for."""
_NO_DATA = {"thumbnail", "overview", "metadata"}
"""Roles of assets that are not what a map is made of."""
_TYPES = (
    *("image/tiff", "image/vnd.stac.geotiff", "image/x.geotiff", "image/jp2"),
    *("application/x-hdf", "application/x-netcdf", "application/netcdf"),
)
_ENDS = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".nc", ".h5")
_FAULTS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What pystac raises of its own accord, and for JSON of another form than it expects."""


@dataclass(frozen=True)
class StacRaster:
    """A raster that an item names.

    Attributes:
        name: of the item, fit for a file name.
        path: of the asset.
        taken: when the image was taken, from and to; None: the item does not say.
    """

    name: str
    path: Path
    taken: tuple[datetime, datetime] | None = None


@dataclass(frozen=True)
class StacRasters:
    """What a file of STAC names.

    Attributes:
        every: one asset of each item, in the order of the items.
        single: the file is an item, rather than a collection, a catalogue or a saved search.
    """

    every: tuple[StacRaster, ...]
    single: bool


def is_stac(text: str) -> bool:
    """Tell whether a text names a STAC item, collection, catalogue or saved search.

    That is a file on the network whose name ends in .json, or such a file of this machine that
    says so.
    """
    if is_remote(text):
        return re.split(r"[?#]", text)[0].lower().endswith(".json")
    if not text.lower().endswith(".json"):
        return False
    path = Path(text).expanduser()
    try:
        with path.open("rb") as file:
            return is_there(path) and _MARK in file.read(_LOOK)
    except (OSError, ValueError):
        return False


def stac_rasters(
    text: str, what: str, asset: str | None = None, error: type[MapsrError] = ConfigError
) -> StacRasters:
    """Find the rasters that a file of STAC names.

    Args:
        text: its path or address.
        what: the key that it is the value of, for errors.
        asset: key of the asset wanted; None: the only raster of an item.
        error: what is raised.

    Raises:
        MapsrError: of the kind ``error``: the file is not STAC or can't be read, an item lacks the
            asset, or has several rasters and none is chosen; or pystac is not installed.
    """
    if isinstance(top := _read(text, what, error), pystac_package().Item):
        items, single = [top], True
    else:
        items, single = list(_items_of(top, what, error)), False
    if not items:
        raise error(
            f"{what}={text} names no item, expected one at least: the items of an API are not "
            "listed in a collection, so save a search of them as a file (an ItemCollection)."
        )
    found = (StacRaster(_name(one), _path(one, what, asset, error), _taken(one)) for one in items)
    return StacRasters(tuple(found), single)


def one_raster(
    text: str, what: str, asset: str | None = None, error: type[MapsrError] = ConfigError
) -> Path:
    """Return the one raster that a text stands for: its path, its address, or that of a STAC item.

    Raises:
        MapsrError: of the kind ``error``: see ``raster_path`` and ``stac_rasters``; or a file of
            STAC names several.
    """
    if not is_stac(text):
        return raster_path(text, what, error)
    found = stac_rasters(text, what, asset, error).every
    if len(found) > 1:
        raise error(
            f"{what}={text} names {len(found)} rasters, expected one: name an item of it, or make "
            "one file of them with gdalbuildvrt."
        )
    return found[0].path


def pystac_package() -> Any:  # noqa: ANN401
    """Return the package pystac.

    Raises:
        ConfigError: it is not installed.
    """
    require_extra("pystac", "A file of STAC")
    import pystac

    return pystac


def _read(text: str, what: str, error: type[MapsrError]) -> Any:  # noqa: ANN401
    """The item, collection, catalogue or saved search in a file."""
    pystac = pystac_package()
    href = _address(text)
    stac_io = _reader(error)
    try:
        content = json.loads(stac_io.read_text(href))
        if pystac.ItemCollection.is_item_collection(content):
            return pystac.ItemCollection.from_dict(content)
        return stac_io.stac_object_from_dict(content, href=href)
    except (pystac.STACError, pystac.STACTypeError, *_FAULTS) as fault:
        raise error(
            f"{what}={text} can't be read as STAC ({type(fault).__name__}: {fault}), expected an "
            "item, a collection, a catalogue or a saved search."
        ) from fault


def _reader(error: type[MapsrError]) -> "pystac.StacIO":
    """What pystac reads with: files of this machine, and the network as GDAL does."""

    class Reader(pystac_package().StacIO):  # type: ignore[misc]
        def read_text(self, source: object, *_: object, **__: object) -> str:
            return _text(str(source), error)

        def write_text(self, *_: object, **__: object) -> None:
            raise NotImplementedError("STAC is only read here")

    reader: pystac.StacIO = Reader()
    return reader


def _text(href: str, error: type[MapsrError]) -> str:
    path = raster_path(_local(href), "a file of STAC", error)
    try:
        if isinstance(path, RemotePath):
            return text_of(path, _MOST_BYTES)
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise error(f"Can't read the STAC file {path}: {fault}; check it.") from fault
    except RasterError as fault:
        raise error(str(fault)) from fault


def _items_of(top: Any, what: str, error: type[MapsrError]) -> Iterator["pystac.Item"]:  # noqa: ANN401
    """Items of a saved search, or of a catalogue and those within it, each once."""
    pystac = pystac_package()
    if isinstance(top, pystac.ItemCollection):
        yield from top
        return
    waiting, seen, count = [top], {top.get_self_href()}, 0
    try:
        while waiting:
            catalogue = waiting.pop(0)
            for link in (*catalogue.get_item_links(), *catalogue.get_child_links()):
                href = link.get_absolute_href()
                if href in seen:  # a catalogue within itself, too
                    continue
                seen.add(href)
                one = link.resolve_stac_object(root=top).target
                if isinstance(one, pystac.Catalog):
                    waiting.append(one)
                    continue
                if (count := count + 1) > _MOST_ITEMS:
                    raise error(
                        f"{what} names more than {_MOST_ITEMS} items, expected fewer: name a part."
                    )
                yield one
    except (pystac.STACError, pystac.STACTypeError, *_FAULTS) as fault:
        if isinstance(fault.__cause__, MapsrError):  # of the reader
            raise fault.__cause__ from fault
        raise error(
            f"{what} names a STAC file that can't be read as such ({type(fault).__name__}: "
            f"{fault}); check it."
        ) from fault


def _path(item: "pystac.Item", what: str, wanted: str | None, error: type[MapsrError]) -> Path:
    """Where the asset of an item lies that is wanted."""
    rasters = [name for name, asset in item.assets.items() if _is_raster(asset)]
    listed = ", ".join(_shown(name, asset) for name, asset in item.assets.items()) or "none"
    if wanted is not None and wanted not in item.assets:
        raise error(
            f"STAC item '{item.id}' has no asset '{wanted}', expected one of {listed}; correct "
            f"{what}_asset=.{near_match(wanted, item.assets)}"
        )
    if wanted is None and len(rasters) != 1:
        raise error(
            f"STAC item '{item.id}' has {len(rasters) or 'no'} rasters among its assets ({listed}),"
            " expected one: name the address of the asset itself (`mapsr map` and `mapsr doctor` "
            "take image_asset=NAME and coarse_asset=NAME, too)."
        )
    href = item.assets[wanted or rasters[0]].get_absolute_href()
    if not href or (not is_remote(href) and not PurePosixPath(_local(href)).is_absolute()):
        raise error(
            f"Asset '{wanted or rasters[0]}' of STAC item '{item.id}' has the relative address "
            f"'{href}', and the item does not say where it lies itself; write full addresses."
        )
    return raster_path(_local(href), f"asset '{wanted or rasters[0]}' of '{item.id}'", error)


def _is_raster(asset: "pystac.Asset") -> bool:
    kind = (asset.media_type or "").lower()
    end = PurePosixPath(urlsplit(asset.href).path).suffix.lower()
    if _NO_DATA.intersection(asset.roles or ()):
        return False
    return kind.startswith(_TYPES) or (not kind and end in _ENDS)


def _shown(name: str, asset: "pystac.Asset") -> str:
    return f"{name} ({asset.media_type or 'of no type'})"


def _taken(item: "pystac.Item") -> tuple[datetime, datetime] | None:
    """When the image of an item was taken, in UTC; None where it does not say, or not in time."""
    try:
        common = item.common_metadata
        start = common.start_datetime or item.datetime
        end = common.end_datetime or item.datetime
    except (ValueError, TypeError, OverflowError):  # what it says is not a time
        return None
    return (_in_utc(start), _in_utc(end)) if start and end else None


def _in_utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _name(item: "pystac.Item") -> str:
    return re.sub(r"[^\w.-]+", "_", item.id).strip(".") or "item"


def _address(text: str) -> str:
    """A text as an address that relative ones can be joined to."""
    if not is_remote(text):
        return str(Path(text).expanduser().absolute())
    for scheme, name in SCHEMES.items():
        if text.startswith(name):
            return f"{scheme}://{text.removeprefix(name)}"
    return text


def _local(href: str) -> str:
    """The path of a file:// address; other texts as they are."""
    if href.lower().startswith("file://"):
        return unquote(urlsplit(href).path)
    return href
