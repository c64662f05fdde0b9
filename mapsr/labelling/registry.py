"""The registry: which historical products there are, written down in one YAML file.

name: mycity
target: ecovision8             # legend of the map: a name, or a .yaml of one's own
resolution_m: 0.5              # pixel size of the image, and its year: levels follow from them
reference: 2020
products:
  worldcover:
    preset: esa_worldcover     # what its codes stand for is known; own keys count before it
    path: worldcover/*.tif     # path, pattern or list, from the folder of this file
    reference: 2021            # year or date
    accuracy: 76.7             # in percent
    measure: OA                # what the accuracy is
  impervious:
    path: [north.tif, south.tif]
    kind: thematic             # or general: level 1 is for thematic products
    weight: 0.2                # level and weight are suggested unless they are given
    values: {0: null, 1: [buildings, roads, other impervious]}
  streets:
    path: streets.gpkg
    kind: general
    layers:
      lines:
        buffer_m: 1.5          # on each side
        buffers_m: {highway=motorway: 7}
        may_lack: [railway]    # keys that need not be columns
        classes: {roads: [highway=motorway, highway=path, railway=*]}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from mapsr.errors import ConfigError, MapsrError, near_match
from mapsr.geo.patterns import files_of
from mapsr.labelling.builtin import preset_entry, registry_file, registry_names
from mapsr.labelling.levels import LEVELS
from mapsr.labelling.products import ANY, Layer, Product, RasterSource, Tag, VectorSource
from mapsr.labelling.reading import Section, as_texts, one_of, read_yaml, tenths
from mapsr.legends import Legend, load_legend

_KEYS = ("name", "title", "target", "crosswalk", "resolution_m", "reference", "voting", "products")
_PRODUCT_KEYS = (
    *("preset", "path", "title", "kind", "reference", "resolution_m", "accuracy", "measure"),
    *("licence", "level", "weight", "nodata", "values", "layers"),
)
_LAYER_KEYS = ("buffer_m", "buffers_m", "may_lack", "classes")
_FAR = float("inf")


@dataclass(frozen=True)
class Registry:
    """The historical products of a region or data set."""

    name: str
    """Short name."""
    target: Legend
    """Legend of the map."""
    products: tuple[Product, ...]
    """In the order of the file, which is that of the bits of the provenance."""
    title: str = ""
    """Name for people."""
    resolution_m: float | None = None
    """Pixel size of the image in metres; None: unknown."""
    reference: int | None = None
    """Year of the image; None: unknown."""
    thresholds: Mapping[str, int] | None = None
    """Tenths by class, where the file gives them."""
    priority: tuple[str, ...] = ()
    """Classes with a threshold, the first one first."""


def load_registry(
    name_or_path: str, paths: Mapping[str, str | Sequence[str]] | None = None
) -> Registry:
    """Load a registry and check it.

    Args:
        name_or_path: a registry of the package, or a YAML file of the same form.
        paths: path, pattern or list of them by product, in place of what the file says. Products of
            the package's registries that have no path are left out.

    Raises:
        ConfigError: there is no such registry, the file is not valid YAML, a key is unknown,
            missing, repeated or of another type, or a value is out of range.
        ConfigError: a product has no path, or its pattern meets no file.
        LegendError: a class is none of the target legend.
    """
    own = Path(name_or_path)
    named = None if own.suffix in (".yaml", ".yml") else registry_file(name_or_path)
    if own.suffix not in (".yaml", ".yml") and named is None:
        raise ConfigError(
            f"There is no registry '{name_or_path}', expected one of "
            f"{', '.join(registry_names())} or a .yaml file of your own."
            f"{near_match(name_or_path, registry_names())}"
        )
    path = named or own
    top = Section(str(path), read_yaml(path), _KEYS)
    target = load_legend(_target(top, path))
    entries = _entries(top, target, paths or {}, required=named is None)
    folder = Path() if named else path.parent
    products = tuple(
        _product(Section(f"{path}: {name}", entry, _PRODUCT_KEYS), name, target, folder)
        for name, entry in entries.items()
    )
    thresholds, priority = _voting(top)
    return Registry(
        name=top.get("name", str) or path.stem,
        target=target,
        products=products,
        title=top.get("title", str) or "",
        resolution_m=top.number("resolution_m", 1e-3, _FAR),
        reference=_year(top),
        thresholds=thresholds,
        priority=priority,
    )


def parse_tag(where: str, text: str, targets: tuple[str, ...], buffer_m: float) -> Tag:
    """Read a tag, ``key=value`` or ``key=*``.

    Raises:
        ConfigError: it is of another form, or the buffer is not a plausible number of metres.
    """
    key, sign, value = (part.strip() for part in text.partition("="))
    if not (key and sign and value):
        raise ConfigError(
            f"{where}: '{text}' is not a tag, expected key=value, or {key or 'key'}={ANY} for any "
            "value."
        )
    try:
        return Tag(key, value, targets, buffer_m)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _target(top: Section, path: Path) -> str:
    """Name of the target legend; a file of one's own lies relative to the registry."""
    name = top.need("target", str)
    return str(path.parent / name) if name.endswith((".yaml", ".yml")) else name


def _entries(
    top: Section, target: Legend, paths: Mapping[str, str | Sequence[str]], *, required: bool
) -> dict[str, dict[str, Any]]:
    """The keys of each product that has a path, those of its preset included."""
    products = top.need("products", dict)
    for name in paths:
        one_of(f"{top.where}: paths", name, products)
    crosswalk = top.get("crosswalk", str) or "paraformer"
    entries = {}
    for name, own in products.items():
        section = Section(f"{top.where}: {name}", own, _PRODUCT_KEYS)
        entry = dict(own)
        if preset := section.get("preset", str):
            entry = preset_entry(section.where, preset, target, crosswalk) | entry
        if name in paths:
            given = paths[name]
            entry["path"] = given if isinstance(given, str) else list(given)
        if entry.get("path"):
            entries[name] = entry
        elif required:
            raise ConfigError(f"{section.where}.path is missing, expected a path, pattern or list.")
    if not entries:
        raise ConfigError(
            f"{top.where}: no product has a path, expected at least one; give paths for some of "
            f"{', '.join(products)}."
        )
    return entries


def _product(section: Section, name: str, target: Legend, folder: Path) -> Product:
    files = _files(section, folder)
    source: RasterSource | VectorSource
    if ("values" in section.entries) == ("layers" in section.entries):
        raise ConfigError(
            f"{section.where} has the keys {', '.join(section.entries)}, expected either values (a "
            "raster's codes) or layers (of a vector file)."
        )
    if "values" in section.entries:
        source = RasterSource(files, _values(section, target), _nodata(section))
    else:
        layers = section.need("layers", dict)
        source = VectorSource(
            files, tuple(_layer(section, key, entry, target) for key, entry in layers.items())
        )
    if not source.targets():
        raise ConfigError(f"{section.where} votes for no class, expected one at least.")
    kind = one_of(f"{section.where}.kind", section.need("kind", str), ("general", "thematic"))
    level = section.get("level", int)
    if level not in (None, *LEVELS):
        raise section.mistake("level", level, "1, 2 or 3")
    weight = section.entries.get("weight")
    return Product(
        name=name,
        source=source,
        title=section.get("title", str) or "",
        thematic=kind == "thematic",
        reference=_year(section),
        resolution_m=section.number("resolution_m", 1e-3, _FAR),
        accuracy=section.number("accuracy", 0, 100),
        measure=section.get("measure", str) or "",
        licence=section.get("licence", str) or "",
        level=level,
        weight=None if weight is None else tenths(f"{section.where}.weight", weight),
    )


def _files(section: Section, folder: Path) -> tuple[Path, ...]:
    """The files of a product: paths as they are, patterns with all that they meet, by name."""
    files: list[Path] = []
    for text in section.texts("path"):
        files += files_of(text, f"{section.where}.path", ConfigError, folder)
    return tuple(files)


def _values(section: Section, target: Legend) -> dict[int, tuple[str, ...]]:
    values = {}
    for code, names in section.need("values", dict).items():
        if type(code) is not int:
            raise ConfigError(f"{section.where}.values has the code {code!r}, expected a number.")
        where = f"{section.where}.values.{code}"
        values[code] = _classes(where, as_texts(where, names), target)
    return values


def _nodata(section: Section) -> frozenset[int]:
    codes = section.get("nodata", list) or []
    if not all(type(code) is int for code in codes):
        raise section.mistake("nodata", codes, "a list of codes")
    if shared := sorted(set(codes).intersection(section.need("values", dict))):
        raise ConfigError(
            f"{section.where} has the code {shared[0]} both in nodata and in values, expected it "
            "in one of the two."
        )
    return frozenset(codes)


def _layer(product: Section, name: str, entry: Any, target: Legend) -> Layer:  # noqa: ANN401
    section = Section(f"{product.where}.layers.{name}", entry, _LAYER_KEYS)
    default = section.number("buffer_m", 0.0, _FAR) or 0.0
    buffers = dict(section.get("buffers_m", dict) or {})
    read: list[Tag] = []
    targets: dict[str, list[str]] = {}  # a tag under two classes votes for both
    for label, tags in section.need("classes", dict).items():
        where = f"{section.where}.classes.{label}"
        _classes(where, [label], target)
        for text in as_texts(where, tags):
            targets.setdefault(text, []).append(label)
    inside = Section(f"{section.where}.buffers_m", buffers, tuple(targets))
    for text, labels in targets.items():
        own = inside.number(text, 0.0, _FAR)
        width = default if own is None else own
        read.append(parse_tag(section.where, text, tuple(labels), width))
    if not read:
        raise ConfigError(f"{section.where}.classes is empty, expected a tag at least.")
    return Layer(name, tuple(read), frozenset(section.texts("may_lack")))


def _classes(where: str, names: Sequence[str], target: Legend) -> tuple[str, ...]:
    for name in names:
        try:
            target.index(name)
        except MapsrError as error:
            raise type(error)(f"{where}: {error}") from error
    return tuple(names)


def _year(section: Section) -> int | None:
    value = section.entries.get("reference")
    if isinstance(value, date):
        return value.year
    year = section.get("reference", int)
    if year is not None and not 1900 <= year <= 2100:
        raise section.mistake("reference", year, "a year or a date")
    return year


def _voting(top: Section) -> tuple[dict[str, int] | None, tuple[str, ...]]:
    if top.entries.get("voting") is None:
        return None, ()
    section = Section(f"{top.where}: voting", top.entries["voting"], ("thresholds", "priority"))
    given = section.need("thresholds", dict)
    thresholds = {
        name: tenths(f"{section.where}.thresholds.{name}", value) for name, value in given.items()
    }
    return thresholds, section.texts("priority")
