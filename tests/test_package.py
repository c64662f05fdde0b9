"""The house's limits, held against the source of the package."""

import ast
from pathlib import Path

import pytest

import mapsr

ROOT = Path(mapsr.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "conf" not in path.relative_to(ROOT).parts)
# for each room, the rooms it may use; the modules beside the rooms are open to all
ROOMS = {
    "legends": set(),
    "geo": {"legends"},
    "data": {"legends", "geo"},
    "features": set(),
    "upsample": set(),
    "prompts": {"legends", "upsample"},
    "refine": {"upsample"},
    "networks": set(),
    "training": {"legends", "geo", "data", "networks"},
    "evaluation": {"legends"},
    "labelling": {"legends", "geo", "evaluation"},
    "methods": {
        *("legends", "geo", "data", "features", "upsample", "prompts", "refine", "networks"),
        "training",
    },
    "mapping": {"legends", "geo", "data", "methods", "prompts"},
    "report": {"legends", "evaluation"},
    "tracking": {"evaluation"},
    "experiment": {
        *("legends", "geo", "data", "features", "upsample", "prompts", "refine", "methods"),
        *("mapping", "evaluation", "report", "tracking", "networks", "training"),
    },
    "benchmarks": {
        *("legends", "geo", "data", "features", "upsample", "prompts", "refine", "methods"),
        *("mapping", "tracking"),
    },
}
OPEN = {"errors", "settings", "files", "folders", "findings", "progress", "quiet", "weights"}
TENSOR_ROOMS = {"features", "upsample", "prompts", "refine", "networks"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room(path: Path) -> str:
    """The room of a file, "" for modules beside the rooms."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else ""


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def functions(path: Path):
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_functions_are_short(path):
    for function in functions(path):
        docstring = function.body[0] if ast.get_docstring(function) else None
        taken = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
        assert function.end_lineno - function.lineno + 1 - taken <= 60, function.name


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_public_names_have_docstrings(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        assert ast.get_docstring(node), node.name
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            if not isinstance(inner, ast.FunctionDef) or inner.name.startswith("_"):
                continue
            typing_only = any("overload" in ast.dump(one) for one in inner.decorator_list)
            assert typing_only or ast.get_docstring(inner), f"{node.name}.{inner.name}"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_only_the_command_line_prints(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    prints = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
    assert room(path) == "cli" or not prints


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_no_error_is_caught_blindly(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None
            assert ast.unparse(node.type) not in ("Exception", "BaseException")


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_foreign_packages_stay_in_their_rooms(path):
    packages = {name.partition(".")[0] for name in imports(path)}
    if "hydra" in packages or "omegaconf" in packages:
        assert relative(path) in ("cli/compose.py", "cli/sweep.py")
    if packages & {"wandb", "tensorboard"}:
        assert room(path) == "tracking"
    if packages & {"pyogrio", "shapely"}:
        assert room(path) == "geo"
    if "rasterio" in packages:
        assert room(path) in ("geo", "data", "cli", "benchmarks")
        assert room(path) not in TENSOR_ROOMS
    if relative(path) not in ("cli/compose.py", "cli/sweep.py"):
        tree = ast.parse(path.read_text())
        assert "DictConfig" not in {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_rooms_use_only_the_rooms_before_them(path):
    own = room(path)
    if own == "cli" or relative(path) in ("__init__.py", "__main__.py"):
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("mapsr.")}
    allowed = OPEN | (ROOMS[own] | {own} if own else set()) | {"__version__"}
    assert used <= allowed, sorted(used - allowed)


def test_every_room_has_its_place():
    rooms = {room(path) for path in FILES} - {"", "cli"}
    assert rooms == set(ROOMS)
    done: set[str] = set()
    for name, before in ROOMS.items():
        assert before <= done, name  # listed in an order without circles
        done.add(name)
