"""Settings of the commands as their source says them: without importing what they need.

A shell asks at every press of Tab what may follow, and torch alone would take seconds.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mapsr

SETTINGS = {
    "run": "mapsr.experiment.settings.RunSettings",
    "map": "mapsr.region.settings.MapSettings",
    "label": "mapsr.rounds.settings.LabelSettings",
    "areas": "mapsr.measure.settings.AreaSettings",
    "score": "mapsr.measure.scoring.ScoreSettings",
    "sample": "mapsr.measure.drawing.SampleSettings",
    "change": "mapsr.measure.changes.ChangeSettings",
    "sieve": "mapsr.measure.sieving.SieveSettings",
    "vectors": "mapsr.measure.outlining.VectorSettings",
    "page": "mapsr.pages.settings.PageSettings",
    "compare": "mapsr.labelling.comparing.CompareSettings",
}
"""Command -> dotted name of its settings class."""


@dataclass(frozen=True)
class Field:
    """A field of a settings class.

    Attributes:
        type: as the source has it, such as "int | None".
        group: whether it is a group of the configuration rather than a key.
    """

    type: str
    group: bool


def fields_of(command: str) -> dict[str, Field]:
    """Fields of a command's settings by name, those it inherits, too."""
    module, _, name = SETTINGS[command].rpartition(".")
    return _class_fields(module, name)


@cache
def kinds_of(group: str) -> dict[str, dict[str, Field]]:
    """Fields of each kind of a group, of the package alone: kind -> name -> field."""
    return {
        str(ast.literal_eval(decorator.args[1])): _own_and_inherited(module, node)
        for module, node, decorator in _registered()
        if ast.literal_eval(decorator.args[0]) == group
    }


@cache
def _registered() -> list[tuple[str, ast.ClassDef, ast.Call]]:
    """Every settings class that registers itself: its module, itself and its decorator."""
    root = Path(mapsr.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        if "\n@choice(" not in path.read_text(encoding="utf-8"):
            continue
        module = ".".join(("mapsr", *path.relative_to(root).with_suffix("").parts))
        for node in _tree(module).body:
            if isinstance(node, ast.ClassDef):
                found += [(module, node, one) for one in _choices(node)]
    return found


def _choices(node: ast.ClassDef) -> Iterator[ast.Call]:
    for one in node.decorator_list:
        if isinstance(one, ast.Call) and ast.unparse(one.func) == "choice":
            yield one


@cache
def _tree(module: str) -> ast.Module:
    path = Path(mapsr.__file__).parent.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _class_fields(module: str, name: str) -> dict[str, Field]:
    """Fields of a class, wherever the module has it from; none of one from another package."""
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _own_and_inherited(module, node)
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            source = str(node.module)
            return _class_fields(source, name) if source.startswith("mapsr") else {}
    return {}


def _own_and_inherited(module: str, node: ast.ClassDef) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name):
            found |= _class_fields(module, base.id)
    for one in node.body:
        if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
            continue
        kind, value = ast.unparse(one.annotation), one.value
        if not kind.startswith("ClassVar"):
            group = isinstance(value, ast.Call) and ast.unparse(value.func) == "group"
            found[one.target.id] = Field(kind, group)
    return found
