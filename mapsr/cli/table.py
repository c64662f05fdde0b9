"""`mapsr table`: a table or figure of the paper, or one of your own."""

import argparse
from typing import TYPE_CHECKING

from mapsr.cli.console import ConsoleProgress, complain, note, say
from mapsr.errors import ConfigError

if TYPE_CHECKING:
    from mapsr.tables.definitions import Definition
    from mapsr.tables.making import Request


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "table",
        help="run what is missing of a table or figure, and write it",
        description="Run the cells of a table or figure that are not done, and write it with "
        "published and measured values side by side. A cell that fails is left empty and the "
        "others go on; a cell whose configuration or data changed is refused.",
        epilog="Examples: mapsr table table1_patches; mapsr table table1_patches data.root=FOLDER; "
        "mapsr table table1 data.root=FOLDER --only ny mapsr. key=value applies to all cells, "
        "those of network and training to the rows that have one; they stand before the options. "
        "data=CHOICE moves a table to other data, overwrite=true does stale cells again. "
        "Those of EcoVision (ecovision4 and so on) set folders of `mapsr label` and "
        "`mapsr compare` beside what was published: mapsr table ecovision5 runs=FOLDER,FOLDER.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="see --list, or path of a .yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="choices and settings")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="ROW",
        help="run missing cells of these rows and columns alone",
    )
    parser.add_argument("--list", action="store_true", help="list the tables and figures, and stop")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run, and stop")
    parser.add_argument(
        "--folder", help="where tables and their runs lie (default: outputs/tables)"
    )
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Make the table; return 1 where a cell failed."""
    from mapsr.tables.loading import definition_names, load

    if arguments.list:
        for name in definition_names():
            say(f"{name:16} {load(name).title}")
        return 0
    # --only takes as many words as follow it
    only = tuple(word for word in arguments.only if "=" not in word)
    overrides = (*arguments.overrides, *(word for word in arguments.only if "=" in word))
    if arguments.name is None or "=" in arguments.name:
        raise ConfigError(f"mapsr table needs a name: {', '.join(definition_names())}.")
    definition = load(arguments.name)
    request = _request(arguments.folder, overrides, only)
    if arguments.dry_run:
        return _plan(definition, request)
    from mapsr.tables.figures import make

    made = make(definition, request)
    for path in made.paths:
        if path.suffix == ".md":
            say(path.read_text(encoding="utf-8").rstrip())
    for name, why in made.failures.items():
        complain(f"cell {name} failed: {why}")
    for path in made.paths:
        say(f"written to {path}")
    return 1 if made.failures else 0


def _request(folder: str | None, overrides: tuple[str, ...], only: tuple[str, ...]) -> "Request":
    from pathlib import Path

    from mapsr.cli.compose import compose_run
    from mapsr.tables.making import FOLDER, Request

    return Request(
        compose=compose_run,
        overrides=overrides,
        only=only,
        folder=Path(folder) if folder else FOLDER,
        progress=ConsoleProgress(),
    )


def _plan(definition: "Definition", request: "Request") -> int:
    """Print the state of every cell; return 1 where one would be refused."""
    from mapsr.tables.figures import tables_of
    from mapsr.tables.making import plan

    refused = 0
    for table in tables_of(definition):
        for cell, found in plan(table, request):
            say(f"{found.state:9} {cell.path}")
            if found.error:
                note(f"  {found.error}")
                refused += 1
    return 1 if refused else 0
