"""Load definitions of tables and figures, strictly: a mistake is named with its file and key."""

import re
from pathlib import Path

import mapsr
from mapsr.errors import ConfigError, near_match, require_choice
from mapsr.tables.definitions import (
    AVERAGE,
    COSTS,
    Column,
    CostDefinition,
    Definition,
    MapPanel,
    MapScene,
    MapsDefinition,
    Row,
    TableDefinition,
)
from mapsr.tables.label_loading import (
    ACCURACIES,
    LABEL_FIGURE,
    load_accuracies,
    load_label_figure,
)
from mapsr.tables.sections import Section, is_number, read_section

_NAME = re.compile(r"[A-Za-z0-9_]+")
_TABLE = (
    *("kind", "title", "caption", "all", "seeds", "rows", "columns", "average", "show"),
    *("reference", "notes"),
)
_ROW = (
    "name",
    "label",
    "category",
    "overrides",
    "seeds",
    "published",
    "parameters_m",
    "training_h",
)
_COLUMN = ("name", "label", "overrides")
_COST = ("kind", "title", "caption", "table", "column", "cost", "notes")
_MAPS = ("kind", "title", "caption", "panels", "scenes", "notes")
_KINDS = {
    "table": _TABLE,
    "cost": _COST,
    "maps": _MAPS,
    "accuracies": ACCURACIES,
    "labels": LABEL_FIGURE,
}
_SHOW = ("miou", "oa", "iou", "coarse")
# The table itself sets these, a cell each its own.
_OWN = ("name", "seed", "output", "overwrite")


def definitions_folder() -> Path:
    """The committed definitions: inside an installed package, beside it in a checkout."""
    package = Path(mapsr.__file__).parent
    inside = package / "experiments"
    return inside if inside.is_dir() else package.parent / "experiments"


def definition_names() -> list[str]:
    """Names of the committed definitions."""
    return sorted(path.stem for path in definitions_folder().glob("*.yaml"))


def definition_path(name: str) -> Path:
    """Return the file of a committed definition, or the one that ``name`` is the path of.

    Raises:
        ConfigError: there is none; the nearest committed one is named.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"'{name}' is not a file; name a definition, or the path of one.")
    else:
        path = definitions_folder() / f"{name}.yaml"
        if not path.is_file():
            names = definition_names()
            raise ConfigError(
                f"There is no table or figure '{name}', expected one of {', '.join(names)}, or the "
                f"path of a .yaml file.{near_match(name, names)}"
            )
    check_name(path.stem, f"{path}: the file's name")
    return path


def load(name: str) -> Definition:
    """Load a definition of whatever kind.

    Args:
        name: of a committed definition, or path of a YAML file.

    Raises:
        ConfigError: there is no such file, or it is not a definition: file and key are named.
    """
    path = definition_path(name)
    file = read_section(path, {key for keys in _KINDS.values() for key in keys})
    kind = require_choice(file.text("kind", "table"), _KINDS, f"{path}: kind")
    file = Section(file.values, file.where, _KINDS[kind])
    if kind == "accuracies":
        return load_accuracies(path, file)
    if kind == "labels":
        return load_label_figure(path, file)
    if kind == "cost":
        return _load_cost(path, file)
    return _load_maps(path, file) if kind == "maps" else _load_table(path, file)


def load_table(name: str) -> TableDefinition:
    """Load the definition of a table.

    Args:
        name: of a committed definition, or path of a YAML file.

    Raises:
        ConfigError: as ``load``, and where it is a figure.
    """
    definition = load(name)
    if not isinstance(definition, TableDefinition):
        raise ConfigError(f"'{name}' is a figure, expected a table.")
    return definition


def _load_table(path: Path, file: Section) -> TableDefinition:
    columns = tuple(_column(one) for one in file.sections("columns", _COLUMN))
    columns = columns or (Column("", "", ()),)
    average = file.text("average") if "average" in file.values else None
    known = {column.name for column in columns} | ({AVERAGE} if average else set())
    seeds = _seeds(file, (0,))
    rows = tuple(_row(one, seeds, known) for one in file.sections("rows", _ROW))
    if not rows:
        raise file.error("rows", "at least one row")
    _check_distinct(file, "rows", [row.name for row in rows])
    _check_distinct(file, "columns", [column.name for column in columns])
    if average and len(columns) < 2:
        raise ConfigError(f"{path}: average needs at least two columns to be the mean of.")
    reference = file.text("reference") if "reference" in file.values else None
    if reference is not None:
        require_choice(reference, [row.name for row in rows], f"{path}: reference")
    return TableDefinition(
        name=path.stem,
        title=file.text("title"),
        caption=file.text("caption"),
        overrides=_overrides(file, "all"),
        rows=rows,
        columns=columns,
        average=average,
        show=_show(file),
        reference=reference,
        notes=file.texts("notes"),
    )


def _load_cost(path: Path, file: Section) -> CostDefinition:
    costs = file.values.get("cost", "trained_parameters")
    costs = [costs] if isinstance(costs, str) else list(file.texts("cost"))
    if not costs or len(set(costs)) < len(costs):
        raise file.error("cost", f"one or more of {', '.join(COSTS)}, each once")
    for one in costs:
        require_choice(one, COSTS, f"{path}: cost")
    return CostDefinition(
        name=path.stem,
        title=file.text("title"),
        caption=file.text("caption"),
        table=file.text("table"),
        column=file.text("column", ""),
        costs=tuple(costs),
        notes=file.texts("notes"),
    )


def _load_maps(path: Path, file: Section) -> MapsDefinition:
    panels = tuple(
        MapPanel(one.text("table"), one.text("row"), one.text("column", ""), one.text("title", ""))
        for one in file.sections("panels", ("table", "row", "column", "title"))
    )
    if not panels:
        raise file.error("panels", "at least one panel")
    scenes: tuple[MapScene, ...] | int
    if type(file.values.get("scenes")) is int:
        scenes = file.values["scenes"]
    else:
        scenes = tuple(_scene(one) for one in file.sections("scenes", ("name", "window")))
    if not scenes or (isinstance(scenes, int) and scenes < 0):
        raise file.error("scenes", "at least one scene, or how many")
    return MapsDefinition(
        name=path.stem,
        title=file.text("title"),
        caption=file.text("caption"),
        panels=panels,
        scenes=scenes,
        notes=file.texts("notes"),
    )


def _scene(section: Section) -> MapScene:
    window = section.wholes("window", ())
    if not window:
        return MapScene(section.text("name"), None)
    if len(window) != 4 or not (window[2] and window[3]):
        raise section.error("window", "[first row, first column, height, width] in pixels")
    row, column, height, width = window
    return MapScene(section.text("name"), (row, column, height, width))


def check_name(name: str, where: str) -> str:
    """Return a name that can be part of a folder's name.

    Raises:
        ConfigError: it has other signs than letters, digits and _.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where} is '{name}', expected letters, digits and _ alone.")
    return name


def _row(section: Section, seeds: tuple[int, ...], columns: set[str]) -> Row:
    name = check_name(section.text("name"), f"{section.where}: name")
    printed = section.number("parameters_m", 0, 1e6)
    hours = section.number("training_h", 0, 1e6)
    return Row(
        name=name,
        label=section.text("label"),
        category=section.text("category", ""),
        overrides=_overrides(section, "overrides"),
        seeds=_seeds(section, seeds),
        published=_published(section, columns),
        published_parameters=None if printed is None else round(1e6 * printed),
        published_fit_seconds=None if hours is None else 3600 * hours,
    )


def _column(section: Section) -> Column:
    name = check_name(section.text("name"), f"{section.where}: name")
    if name == AVERAGE:
        raise section.error("name", f"another name: '{AVERAGE}' is the mean over the columns")
    return Column(name, section.text("label"), _overrides(section, "overrides"))


def _published(section: Section, columns: set[str]) -> dict[str, float]:
    """Published percentages as fractions by column; a number alone where columns have no names."""
    value = section.values.get("published", {})
    if columns == {""} and value != {}:
        value = {"": value}
    if not isinstance(value, dict):
        raise section.error("published", "column: percentage")
    for column, percent in value.items():
        require_choice(str(column), columns, f"{section.where}: a column of published")
        if not is_number(percent) or not 0 <= percent <= 100:
            raise section.error("published", "percentages in [0, 100]")
    return {column: percent / 100 for column, percent in value.items()}


def _overrides(section: Section, key: str) -> tuple[str, ...]:
    overrides = section.texts(key)
    for override in overrides:
        name, equals, _ = override.partition("=")
        if not name or not equals:
            raise section.error(key, f"key=value and not '{override}'")
        if name in _OWN:
            raise section.error(key, f"no '{name}=', which each cell has of its own")
    return overrides


def _seeds(section: Section, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    seeds = section.wholes("seeds", otherwise)
    if not seeds or len(set(seeds)) < len(seeds):
        raise section.error("seeds", "at least one seed, and each once")
    return seeds


def _show(file: Section) -> tuple[str, ...]:
    for one in file.texts("show"):
        require_choice(one, _SHOW, f"{file.where}: an entry of show")
    return tuple(one for one in _SHOW if one == "miou" or one in file.texts("show"))


def _check_distinct(file: Section, key: str, names: list[str]) -> None:
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise ConfigError(f"{file.where}: {key} holds '{twice[0]}' twice; give each its own name.")
