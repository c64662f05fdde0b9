"""All files that a raster is made of: side files, and the sources of VRTs down to the leaves."""

import functools
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from mapsr.errors import RasterError
from mapsr.geo.drivers import open_allowed, open_within, reading, require_file, shown
from mapsr.redaction import redact_address
from mapsr.remote import RemotePath
from mapsr.weights import is_offline

_DEPTH = 16
"""VRTs within VRTs that are followed: nobody nests them so deep on purpose."""
_HEAD = 1024
"""Bytes in which GDAL looks for the mark of a VRT."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_REMOTE = re.compile(r"/vsi(curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs)|[a-z]+:.*https?://|https?:")
_ARCHIVE = re.compile(r"/vsi(?:zip|tar|gzip|7z|rar)/(.*)")
_SUBDATASET = re.compile(
    r"(?:NETCDF|HDF5|HDF5Image|GPKG|GTIFF_DIR:\d+|NITF_IM:\d+):\"?(.+?)\"?(?::[^/\\]*)?",
    re.IGNORECASE,
)
_BESIDE = ":::BASE:::"
"""How a .aux.xml says that a name is relative to its raster."""
_STATISTICS = {"pamdataset", "pamrasterband", "metadata", "mdi", "histograms", "histitem"}


def source_files(path: Path) -> tuple[Path, ...]:
    """List the files that a raster's content and place depend on.

    Those are the file; beside it what GDAL reads with it (.aux.xml, .ovr, .msk, world files and so
    on), save for a .aux.xml that holds nothing but statistics; and, for a VRT, the same of each
    source, down to the leaves. Of sources on the network nothing but themselves is listed.

    Args:
        path: a raster.

    Returns:
        Each file once: the raster itself first.

    Raises:
        RasterError: a file is missing or can't be read, a VRT is malformed or refers to itself, or
            a source is of a kind that is not opened, or lies on the network though that is
            switched off.
    """
    require_file(path)
    if isinstance(path, RemotePath):
        return (path,)
    if _is_vrt(path):
        return listed_files(path, ())
    check_sources(path)
    with open_allowed(path) as dataset:
        return listed_files(path, dataset.files)


def listed_files(path: Path, named: Sequence[str]) -> tuple[Path, ...]:
    """Return ``source_files`` of a raster of which it is known already what GDAL lists.

    Args:
        path: a raster that is open.
        named: the files that GDAL lists for it; they don't count for a VRT, whose sources are
            followed.

    Raises:
        RasterError: see ``source_files``.
    """
    if isinstance(path, RemotePath):  # GDAL has its own names for it, and reads no side files there
        return (path,)
    found = dict.fromkeys(_walk(path, (), set()))
    if not _is_vrt(path):
        found |= dict.fromkeys(map(Path, named))
    return tuple(file for file in found if not _only_statistics(file))


def check_sources(path: Path) -> None:
    """Check what a raster refers to, before GDAL opens any of it: GDAL would by any driver.

    Those are sources of VRTs, and overviews and masks beside any raster.

    Raises:
        RasterError: see ``source_files``.
    """
    if isinstance(path, RemotePath):  # a VRT there is not opened
        return
    sides = side_files(path)
    if sides or _is_vrt(path):
        with reading(path):
            states = [one.stat() for one in (path, *sides)]
        told = tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in states)
        _checked(path.absolute(), told, is_offline())


@functools.lru_cache(maxsize=256)
def _checked(path: Path, _states: tuple[tuple[int, int, int], ...], _offline: bool) -> None:
    for _ in _walk(path, (), set()):
        pass


def is_side_file_name(name: str) -> bool:
    """Tell whether a file name is that of a side file: of GDAL, or one that macOS leaves."""
    return name.startswith("._") or name.lower().endswith((".aux.xml", ".ovr", ".msk"))


def side_files(path: Path) -> list[Path]:
    """List the files beside a raster that GDAL reads with it, whether it is there itself or not.

    Args:
        path: the raster.

    Returns:
        Those that are there, in no order that means anything.
    """
    stem, end = path.stem, path.suffix
    names = [path.name + more for more in (".aux.xml", ".ovr", ".msk", ".msk.ovr", ".ovr.aux.xml")]
    worlds = [".aux", ".rrd", ".wld", ".tab", *([f"{end}w", f".{end[1]}{end[-1]}w"] if end else [])]
    names += [stem + case for more in worlds for case in (more.lower(), more.upper())]
    # names in a folder of thousands are not listed for each of its files
    return [found for name in dict.fromkeys(names) if _exists(found := path.with_name(name))]


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that got too long
        return False


def _walk(path: Path, above: tuple[Path, ...], seen: set[Path]) -> Iterator[Path]:
    """The files of a raster, and of all that it refers to; those in ``seen`` are not repeated."""
    yield path
    sides = side_files(path)
    yield from sides
    real = path.resolve()
    named = [one for side in sides for one in _refers(side)]
    named += _named(path) if _is_vrt(path) else []
    if not named:
        return
    if real in above:
        raise RasterError(
            f"{shown(path)} refers to itself, through {shown(above[-1])}: expected a VRT whose "
            "sources end at rasters; make it again from these."
        )
    if len(above) >= _DEPTH:
        raise RasterError(
            f"{shown(path)} is a VRT {_DEPTH} VRTs deep in {shown(above[0])}, expected fewer: make "
            "one VRT of the rasters themselves."
        )
    for name, relative in dict.fromkeys(named):
        source, within = _local(name, real.parent if relative else Path(), path)
        if source is None:
            yield from _on_network(name)
            continue
        if within is not None:
            _require_source(source, path, within)
            yield source
        elif source not in seen or source.resolve() in (*above, real):
            seen.add(source)
            _require_source(source, path)
            yield from _walk(source, (*above, real), seen)


def _require_source(source: Path, vrt: Path, within: str | None = None) -> None:
    """Check that a source of a raster is there and of a kind that is opened.

    Args:
        source: the file.
        vrt: what refers to it, for the message.
        within: GDAL's name of the raster in an archive or container; None: the file is the raster.
    """
    try:
        require_file(source)
        # opened by GDAL itself, which does not know the limits of open_allowed
        if within is not None:
            open_within(source, within).close()
        elif not _is_vrt(source) and _head(source)[:4] not in _TIFF:
            open_allowed(source).close()
    except RasterError as error:
        raise RasterError(f"{shown(vrt)} has a source that can't be used: {error}") from error


def _named(vrt: Path) -> Iterator[tuple[str, bool]]:
    """The sources that a VRT names, and whether each is relative to it."""
    with reading(vrt):
        content = vrt.read_bytes()
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise RasterError(
            f"{shown(vrt)} is not a well-formed VRT ({error}); make it again with gdalbuildvrt."
        ) from error
    for element in root.iter():
        if element.tag.lower() in ("sourcefilename", "sourcedataset"):
            marks = {key.lower(): value for key, value in element.attrib.items()}
            yield (element.text or "").strip(), marks.get("relativetovrt", "0").strip() == "1"


def _refers(side: Path) -> Iterator[tuple[str, bool]]:
    """What a side file refers to: itself, where it describes a raster; overviews that it names."""
    if side.suffix.lower() in (".ovr", ".msk") and _head(side).lstrip()[:1] in (b"<", b"{"):
        yield str(side), False
    if not side.name.lower().endswith(".aux.xml"):
        return
    for element in _elements(side):
        if element.tag.lower() == "mdi" and element.get("key") == "OVERVIEW_FILE":
            name = (element.text or "").strip()
            yield name.removeprefix(_BESIDE), name.startswith(_BESIDE)


def _elements(aux: Path) -> list[ElementTree.Element]:
    """The elements of a .aux.xml; none where it is not XML, which GDAL passes over, too."""
    try:
        return list(ElementTree.parse(aux).getroot().iter())
    except (ElementTree.ParseError, OSError):
        return []


def _local(name: str, folder: Path, vrt: Path) -> tuple[Path | None, str | None]:
    """The file of this machine that a source is in, None for one on the network.

    With it, where the source is only a part of the file, GDAL's name of that.
    """
    if _REMOTE.match(name.lower()) or name.lstrip().startswith("<"):
        if is_offline() or name.lstrip().startswith("<"):
            raise RasterError(
                f"{shown(vrt)} reads '{redact_address(name)[:80]}', which is not a file of this "
                "machine, and the network is not to be used (MAPSR_OFFLINE or HF_HUB_OFFLINE); "
                "fetch the data, and make the VRT from that."
            )
        return None, None
    if inner := _ARCHIVE.fullmatch(name):
        whole = folder / inner[1].replace("{", "").replace("}", "")
        # a path within an archive begins with that of the archive
        found = next((one for one in (whole, *whole.parents) if _exists(one)), whole)
        return found, name.replace(inner[1], str(folder / inner[1]), 1)
    if inner := _SUBDATASET.fullmatch(name):
        return folder / inner[1], name.replace(inner[1], str(folder / inner[1]), 1)
    return folder / name, None


def _on_network(name: str) -> Iterator[Path]:
    """A source on the network; nothing where GDAL's name of it is none of a file."""
    with suppress(ValueError):
        yield RemotePath(name)


def _head(path: Path) -> bytes:
    with reading(path), path.open("rb") as file:
        return file.read(_HEAD)


def _is_vrt(path: Path) -> bool:
    return b"<VRTDataset" in _head(path)


def _only_statistics(path: Path) -> bool:
    """Tell whether a file is a .aux.xml of statistics: viewers write them, and no pixel changes."""
    if not path.name.lower().endswith(".aux.xml"):
        return False
    elements = _elements(path)
    tags = {element.tag.lower() for element in elements}
    keys = {element.get("key", "") for element in elements if element.tag.lower() == "mdi"}
    histogram = "histitem" in tags
    inside = all(key.startswith("STATISTICS_") for key in keys)
    # the values of a histogram have tags of their own, deeper
    tags -= {"histmin", "histmax", "bucketcount", "includeoutofrange", "approximate", "histcounts"}
    return tags <= _STATISTICS and inside and (histogram or bool(keys))
