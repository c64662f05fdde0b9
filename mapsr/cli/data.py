"""``mapsr data``: fetch a benchmark, and check whether it is whole."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mapsr.cli.console import ConsoleProgress, say
from mapsr.errors import ConfigError, near_match

if TYPE_CHECKING:
    from mapsr.data.chesapeake.fetch import FetchPlan

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_DATA_SETS = ("chesapeake",)
_KEYS = ("root", "states")


def add_parser(subparsers: "Subparsers") -> None:
    """Add the command to those of ``mapsr``."""
    parser = subparsers.add_parser(
        "data",
        help="fetch and check a benchmark's data",
        description="Fetch the data of a benchmark, or check whether they are whole. A transfer "
        "that broke off goes on where it ended when the command is given again.",
        epilog="Examples: mapsr data fetch chesapeake root=FOLDER --dry-run; mapsr data fetch "
        "chesapeake root=FOLDER states=ny,de; mapsr data check chesapeake root=FOLDER.",
    )
    parser.set_defaults(run=main)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="download and unpack what is not here yet")
    check = actions.add_parser("check", help="look for missing files; 1 if there are any")
    for action in (fetch, check):
        action.add_argument("name", choices=_DATA_SETS, help="the data set")
        action.add_argument(
            "settings",
            nargs="+",
            metavar="key=value",
            help="root=FOLDER, and states=ny,de for some of the states (fetch: all; check: those "
            "that are there)",
        )
    fetch.add_argument("--dry-run", action="store_true", help="say what would be fetched and stop")


def main(arguments: argparse.Namespace) -> int:
    """Run the action; return 0, or 1 where ``check`` finds something missing.

    Raises:
        ConfigError: a key or state is unknown, root is not given, or torchgeo is not installed.
        DataError: what is wanted can't be fetched, is damaged, or is not there to be checked.
    """
    root, states = _settings(arguments.settings)
    if arguments.action == "check":
        return _check(root, states)
    return _fetch(root, states, dry=arguments.dry_run)


def _settings(given: Sequence[str]) -> tuple[Path, tuple[str, ...] | None]:
    """Return root and states."""
    from mapsr.data.chesapeake.tiles import require_states

    values: dict[str, str] = {}
    for setting in given:
        key, equals, value = setting.partition("=")
        if key not in _KEYS or not equals or not value:
            raise ConfigError(
                f"'{setting}' is not a setting of `mapsr data`, expected root=FOLDER or "
                f"states=ny,de.{near_match(key, _KEYS)}"
            )
        values[key] = value
    if "root" not in values:
        raise ConfigError("root has no value: give root=FOLDER, the folder of the data set.")
    states = None
    if "states" in values:
        names = values["states"].strip("[]").split(",")
        states = require_states((name.strip() for name in names), "states")
    return Path(values["root"]).expanduser(), states


def _fetch(root: Path, states: tuple[str, ...] | None, *, dry: bool) -> int:
    from mapsr.data.chesapeake.fetch import fetch, plan_fetch
    from mapsr.data.chesapeake.splits import STATES

    plan = plan_fetch(root, states or STATES)
    for line in _described(plan):
        say(line)
    if dry:
        return 0
    fetch(plan, ConsoleProgress())
    say(f"whole: {plan.target}")
    if plan.archive.is_file():
        say(f"{plan.archive} is not needed any more and may be removed")
    return 0


def _described(plan: "FetchPlan") -> list[str]:
    from mapsr.data.chesapeake.archive import free_space, size_text

    if not plan.folders:
        return [f"nothing to fetch: all folders are in {plan.target}"]
    lines = []
    if plan.remote is None:
        lines.append(f"archive   {plan.archive} (here already)")
    else:
        lines += [
            f"archive   {plan.remote.url}",
            f"to fetch  {size_text(plan.to_fetch)} of {size_text(plan.remote.size)}",
            f"unpacked  at least about {size_text(plan.to_unpack)} more",
        ]
    lines.append(f"to unpack {len(plan.folders)} folder(s) into {plan.target}")
    lines.append(f"free      {size_text(free_space(plan.target))}")
    return lines


def _check(root: Path, states: tuple[str, ...] | None) -> int:
    from mapsr.data.chesapeake.check import examine_chesapeake

    found = examine_chesapeake(root, states)
    width = max(len(one.name) for one in found)
    say(f"{'FOLDER':{width}}  TILES  STATE")
    for one in found:
        say(f"{one.name:{width}}  {one.tiles:5}  {one.problem or 'whole'}")
    return 1 if any(one.problem for one in found) else 0
