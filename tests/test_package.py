"""The house's limits, held against the source of the package."""

import ast
import importlib
import inspect
from functools import cache
from pathlib import Path

import mapsr

ROOT = Path(mapsr.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "conf" not in path.relative_to(ROOT).parts)
# for each room, exactly the rooms that it uses, in an order without circles
ROOMS = {
    "legends": set(),
    "geo": {"legends"},
    "data": {"legends", "geo"},
    "evaluation": {"legends", "geo", "data"},
    "features": set(),
    "networks": set(),
    "upsample": set(),
    "prompts": {"legends", "upsample"},
    "refine": set(),
    "training": {"legends", "geo", "data", "networks"},
    "methods": {
        *("legends", "geo", "data", "features", "networks", "upsample", "prompts", "refine"),
        *("training", "evaluation"),
    },
    "mapping": {"legends", "geo", "data", "features", "methods"},
    "measure": {"legends", "geo", "evaluation"},
    "labelling": {"legends", "geo", "mapping", "evaluation"},
    "report": {"legends", "geo", "data", "evaluation"},
    "tracking": {"geo", "data", "evaluation"},
    "experiment": {
        *("legends", "geo", "data", "methods", "mapping", "evaluation", "report", "tracking"),
    },
    "tables": {"legends", "geo", "data", "evaluation", "report", "tracking", "experiment"},
    "region": {
        *("legends", "geo", "data", "methods", "mapping", "evaluation", "measure", "tracking"),
    },
    "pages": {
        *("legends", "geo", "data", "methods", "mapping", "evaluation", "report", "tracking"),
        *("experiment", "region"),
    },
    "rounds": {
        *("legends", "geo", "data", "methods", "mapping", "evaluation", "labelling", "tracking"),
        "region",
    },
    "doctor": {
        *("legends", "geo", "data", "upsample", "methods", "mapping", "measure", "tracking"),
        "region",
    },
    "benchmarks": {
        *("legends", "geo", "data", "features", "upsample", "prompts", "refine", "methods"),
        *("mapping", "tracking", "labelling", "rounds", "doctor"),
    },
    "cli": {
        *("data", "measure", "labelling", "report", "tracking", "experiment", "tables", "region"),
        *("rounds", "doctor", "benchmarks", "pages", "geo"),
    },
    "api": {"geo", "methods", "experiment", "region", "tracking", "cli"},
}
# beside the rooms, open to all of them
OPEN = {
    *("budgets", "changes", "contents", "downloads", "errors", "extras", "files", "findings"),
    *("folders", "guard", "locks", "memory", "paths", "redaction", "reference", "remote", "sums"),
    *(
        "checkpoints",
        "plugins",
        "processors",
        "progress",
        "published",
        "quoting",
        "quiet",
        "seeds",
        "settings",
        "strict_yaml",
        "trust",
        "weights",
    ),
}
# foreign package -> where alone it may be imported
FOREIGN = {
    "hydra": {"cli/advice.py", "cli/compose.py", "cli/sweep.py"},
    "omegaconf": {"cli/advice.py", "cli/compose.py", "cli/sweep.py", "settings.py"},
    "wandb": {"tracking/wandb_logger.py"},
    "rasterio": {"geo", "data", "doctor"},
    "pyogrio": {"geo"},
    "shapely": {"geo"},
    "pystac": {"geo"},
}
# modules of the command line that all commands may use
SHARED = {
    *("advice", "candidates", "compose", "console", "examining", "inputs", "keys", "outline"),
    *("parsers", "repeat", "sweep", "tables", "words"),
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room(path: Path) -> str:
    """The room of a file, "" for modules beside the rooms."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else ""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_files_and_functions_are_short():
    long = []
    for path in FILES:
        if (lines := len(path.read_text().splitlines())) > 300:
            long.append((relative(path), lines))
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            docstring = node.body[0] if ast.get_docstring(node) else None
            taken = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
            if (lines := node.end_lineno - node.lineno + 1 - taken) > 50:
                long.append((relative(path), node.name, lines))
    assert long == []


def test_public_names_have_docstrings():
    bare = []
    for path in FILES:
        nodes = [tree(path)]
        for node in tree(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
                nodes.append(node)
                inside = node.body if isinstance(node, ast.ClassDef) else ()
                functions = (one for one in inside if isinstance(one, ast.FunctionDef))
                nodes += [one for one in functions if one.name[0] != "_" and not overloaded(one)]
        bare += [
            (relative(path), getattr(one, "name", ""))
            for one in nodes
            if not ast.get_docstring(one)
        ]
    assert bare == []


def overloaded(function: ast.FunctionDef) -> bool:
    return any("overload" in ast.dump(one) for one in function.decorator_list)


def test_only_the_command_line_prints_and_no_error_is_caught_blindly():
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert room(path) == "cli" or node.func.id != "print", relative(path)
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, relative(path)
                caught = ast.unparse(node.type)
                assert caught not in ("Exception", "BaseException"), relative(path)


def test_foreign_packages_stay_in_their_places():
    found: dict[str, set[str]] = {name: set() for name in FOREIGN}
    for path in FILES:
        for package in {name.partition(".")[0] for name in imports(path)} & set(FOREIGN):
            own = room(path) in FOREIGN[package]
            found[package].add(room(path) if own else relative(path))
        if relative(path) not in FOREIGN["hydra"]:
            names = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
            assert "DictConfig" not in names, relative(path)
    assert found == FOREIGN


def test_rooms_use_exactly_the_rooms_before_them():
    used: dict[str, set[str]] = {}
    for path in FILES:
        names = {name.split(".")[1] for name in imports(path) if name.startswith("mapsr.")}
        used.setdefault(room(path), set()).update(names - OPEN - {room(path)})
    assert used.pop("") == {"cli"}  # __main__
    assert used == ROOMS
    done: set[str] = set()
    for name, before in ROOMS.items():
        assert before <= done, name  # listed in an order without circles
        done.add(name)


def test_modules_beside_the_rooms_are_those_that_are_open():
    beside = {path.stem for path in FILES if room(path) == ""} - {"__init__", "__main__"}
    assert beside == OPEN


def test_commands_import_no_command():
    commands = {path.stem for path in FILES if room(path) == "cli"} - SHARED - {"__init__", "main"}
    for path in FILES:
        if room(path) != "cli" or path.stem == "main":
            continue
        used = {name.split(".")[2] for name in imports(path) if name.startswith("mapsr.cli.")}
        assert not used & commands, relative(path)


def test_no_module_hides_what_its_room_offers():
    # `mapsr.geo.tiles` was a function until somebody imported a module of that name
    for path in FILES:
        if path.name == "__init__.py" or path.parent == ROOT:
            continue
        name = ".".join(("mapsr", *path.relative_to(ROOT).parent.parts))
        room = importlib.import_module(name)
        if path.stem in getattr(room, "__all__", ()):
            importlib.import_module(f"{name}.{path.stem}")
            assert not inspect.ismodule(getattr(room, path.stem)), path


def test_cells_of_csv_files_are_quoted_in_one_place():
    # seven of eleven writers let names of zones, cities and classes through as formulas
    writers = [relative(path) for path in FILES if "csv.writer" in path.read_text()]
    assert writers == ["quoting.py"]
