"""Products that need no registry of one's own: EcoVision's, and one for each known legend."""

import re
from pathlib import Path
from typing import Any

from mapsr.errors import ConfigError, near_match
from mapsr.labelling.reading import Section, as_texts, read_yaml
from mapsr.legends import Legend, legend_names, load_crosswalk, load_legend

_HERE = Path(__file__).parent
_REGISTRIES = _HERE / "registries"
_CROSSWALKS = _HERE / "crosswalks"
_BRIDGE = "chesapeake4"
"""Legend of the classes that all products and target legends of the package name."""


def registry_names() -> tuple[str, ...]:
    """Return the names of the package's registries."""
    return tuple(sorted(path.stem for path in _REGISTRIES.glob("*.yaml")))


def registry_file(name: str) -> Path | None:
    """Return the file of one of the package's registries, None where there is none."""
    return _REGISTRIES / f"{name}.yaml" if name in registry_names() else None


def preset_names() -> tuple[str, ...]:
    """Return what a product may name as its ``preset``: "ecovision.osm", "nlcd" and so on."""
    inside = [f"{name}.{product}" for name in registry_names() for product in _products(name)]
    return (*inside, *legend_names())


def preset_entry(where: str, preset: str, target: Legend, crosswalk: str) -> dict[str, Any]:
    """Return the keys that a preset gives a product, as a registry would write them.

    Args:
        where: file and key, for messages.
        preset: one of ``preset_names()``.
        target: legend of the map.
        crosswalk: preset of mapsr.legends; which classes the legend's classes stand for.

    Raises:
        ConfigError: there is no such preset.
        LegendError: there is no such crosswalk, or it does not fit.
    """
    if preset not in preset_names():
        raise ConfigError(
            f"{where}.preset is '{preset}', expected one of {', '.join(preset_names())}."
            f"{near_match(preset, preset_names())}"
        )
    registry, _, product = preset.partition(".")
    if not product:
        return _legend_entry(preset, target, crosswalk)
    entry: dict[str, Any] = dict(_products(registry)[product])
    if "preset" in entry:
        entry = preset_entry(where, entry.pop("preset"), target, crosswalk) | entry
    return entry


def values_of(source: Legend, target: Legend, crosswalk: str) -> dict[int, tuple[str, ...]]:
    """Return the classes of a target legend that each code of a product votes for.

    Where the legends of the product and of the map name the same classes, the crosswalk says it.
    Else each class of the product stands for one of the four classes of ``chesapeake4``, and votes
    for all classes of the map that stand for it too: built-up land for buildings, roads and other
    impervious land. A file of ``crosswalks/`` may know better for some codes.

    Args:
        source: legend of the product.
        target: legend of the map.
        crosswalk: preset of mapsr.legends.

    Raises:
        LegendError: there is no such crosswalk, or it does not fit.
    """
    named = {one.target for one in source.classes} - {None}
    if named <= set(target.names):
        direct = load_crosswalk(crosswalk, source, target).targets()
        return {code: () if name is None else (name,) for code, name in direct.items()}
    bridge = load_crosswalk(crosswalk, source, load_legend(_BRIDGE)).targets()
    values = {
        code: tuple(one.name for one in target.classes if name is not None and one.target == name)
        for code, name in bridge.items()
    }
    return values | _refined(source, target)


def _products(registry: str) -> dict[str, Any]:
    products: dict[str, Any] = read_yaml(_REGISTRIES / f"{registry}.yaml")["products"]
    return products


def _legend_entry(name: str, target: Legend, crosswalk: str) -> dict[str, Any]:
    legend = load_legend(name)
    values = values_of(legend, target, crosswalk)
    resolution = re.search(r", (\d+(?:\.\d+)?) m$", legend.title)
    return {
        "title": legend.title,
        "kind": "general",
        "licence": legend.source,
        "resolution_m": float(resolution[1]) if resolution else None,
        "nodata": sorted(legend.nodata),
        "values": {code: list(names) for code, names in values.items()},
    }


def _refined(source: Legend, target: Legend) -> dict[int, tuple[str, ...]]:
    """What a file of the package knows better than the four classes, for a target legend."""
    path = _CROSSWALKS / f"{target.name}.yaml"
    if not path.exists():
        return {}
    section = Section(str(path), read_yaml(path), ("products",))
    changes = section.need("products", dict).get(source.name, {})
    return {code: tuple(as_texts(f"{path}: {code}", names)) for code, names in changes.items()}
