"""Loading legends and crosswalks from YAML, the package's own or a user's."""

from pathlib import Path

from mapsr.errors import LegendError, near_match
from mapsr.legends.crosswalk import Crosswalk
from mapsr.legends.legend import NODATA, LandClass, Legend
from mapsr.legends.yaml_files import checked, read_yaml

_PRODUCTS = Path(__file__).parent / "products"
_CROSSWALKS = Path(__file__).parent / "crosswalks"

_LEGEND_KEYS: dict[str, type] = {
    "name": str,
    "title": str,
    "source": str,
    "nodata": list,
    "classes": list,
}
_CLASS_KEYS: dict[str, type] = {"code": int, "name": str, "color": list, "target": str}
_CROSSWALK_KEYS: dict[str, type] = {"name": str, "title": str, "products": dict}


def legend_names() -> tuple[str, ...]:
    """Return the names of the package's legends."""
    return _names(_PRODUCTS)


def crosswalk_names() -> tuple[str, ...]:
    """Return the names of the package's crosswalk presets."""
    return _names(_CROSSWALKS)


def load_legend(name_or_path: str) -> Legend:
    """Load a legend and check it.

    Args:
        name_or_path: a legend of the package, or a YAML file of the same form.

    Raises:
        LegendError: no legend is called so, the file can't be read or is not YAML, a key is
            unknown, missing, repeated or of another type, or the classes contradict each other (see
            ``Legend``).
    """
    path = _find(name_or_path, _PRODUCTS, "legend")
    entries = read_yaml(path, _LEGEND_KEYS)
    nodata = _integers(path, "nodata", entries["nodata"])
    records = [checked(path, record, _CLASS_KEYS) for record in entries["classes"]]
    colors = [_color(path, record["color"]) for record in records]
    try:
        classes = tuple(
            LandClass(record["code"], record["name"], color, record.get("target"))
            for record, color in zip(records, colors, strict=True)
        )
        return Legend(
            entries["name"], entries["title"], entries["source"], classes, nodata=frozenset(nodata)
        )
    except LegendError as error:
        raise LegendError(f"{path}: {error}") from error


def load_crosswalk(
    preset: str, source: Legend, target: Legend, *, complete: bool = False
) -> Crosswalk:
    """Build the crosswalk from a product to a target legend under a preset.

    Every class of the product stands for its own ``target``, except where the preset says
    otherwise for a product of that name.

    Args:
        preset: a preset of the package (``paraformer``, ``mapsr``, ``robinson``), or a YAML file
            of the same form.
        source: legend of the product.
        target: legend of the map.
        complete: whether some class of the product must stand for each class of the target. The
            labels that a map is made from need that: a class without one could never be mapped.

    Raises:
        LegendError: no preset is called so, its file can't be read or is not YAML, it names a code
            that the product does not have, a class stands for one that the target does not have, no
            class stands for any, or, with ``complete``, none stands for some class of the target.
    """
    path = _find(preset, _CROSSWALKS, "crosswalk")
    entries = read_yaml(path, _CROSSWALK_KEYS)
    changes = entries["products"].get(source.name, {})
    if not isinstance(changes, dict):
        raise LegendError(
            f"{path}: '{source.name}' is {changes!r}, expected {{code: target class}}."
        )
    for code in changes:
        if code not in source.codes:
            raise LegendError(
                f"{path}: code {code!r} is not in legend '{source.name}', expected one of "
                f"{', '.join(map(str, source.codes))}."
            )
    table = []
    for item in source.classes:
        origin = path if item.code in changes else f"Legend '{source.name}'"
        name = changes.get(item.code, item.target)
        table.append(NODATA if name is None else _target_index(origin, item.name, name, target))
    if all(index == NODATA for index in table):
        raise LegendError(
            f"{path}: no class of legend '{source.name}' stands for a class of "
            f"'{target.name}'; give its classes a target."
        )
    if complete:
        _check_complete(path, source, target, table)
    return Crosswalk(entries["name"], source, target, tuple(table))


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def _find(name_or_path: str, folder: Path, what: str) -> Path:
    """Return the file of the package called so, or the user's own."""
    own = Path(name_or_path)
    if own.suffix in (".yaml", ".yml"):
        return own
    names = _names(folder)
    if name_or_path not in names:
        raise LegendError(
            f"There is no {what} '{name_or_path}', expected one of {', '.join(names)} or a .yaml "
            f"file of your own.{near_match(name_or_path, names)}"
        )
    return folder / f"{name_or_path}.yaml"


def _integers(path: Path, key: str, values: list[object]) -> tuple[int, ...]:
    """Return a list of YAML as integers."""
    numbers = tuple(value for value in values if type(value) is int)
    if len(numbers) != len(values):
        raise LegendError(f"{path}: '{key}' is {values}, expected integers.")
    return numbers


def _color(path: Path, values: list[object]) -> tuple[int, int, int]:
    """Return a list of YAML as red, green and blue."""
    if len(values) != 3:
        raise LegendError(f"{path}: 'color' is {values}, expected red, green and blue.")
    red, green, blue = _integers(path, "color", values)
    return red, green, blue


def _target_index(origin: Path | str, name: str, target_name: object, target: Legend) -> int:
    """Return the index of the class of ``target`` that class ``name`` stands for."""
    if target_name not in target.names:
        raise LegendError(
            f"{origin}: class '{name}' stands for '{target_name}', expected one of the classes "
            f"{', '.join(target.names)} of legend '{target.name}' or null."
            f"{near_match(str(target_name), target.names)}"
        )
    return target.names.index(str(target_name))


def _check_complete(path: Path, source: Legend, target: Legend, table: list[int]) -> None:
    """Refuse a crosswalk in which no class of ``source`` leads to some class of ``target``."""
    missing = [name for index, name in enumerate(target.names) if index not in table]
    if missing:
        raise LegendError(
            f"{path}: no class of legend '{source.name}' stands for "
            f"{', '.join(map(repr, missing))} of legend '{target.name}', expected one for each "
            "class: else it could never be mapped; make it the target of a class of "
            f"'{source.name}', or use a target legend without it."
            f"{near_match(missing[0], source.names)}"
        )
