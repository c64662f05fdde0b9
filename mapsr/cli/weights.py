"""``mapsr weights``: which weights there are, where they are, and whether they are whole.

States of weights that are here: "whole" agrees with the hash that is published, "unchanged" with
that of their first use on this machine; "unchecked" was never used and has no published hash.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mapsr.cli.console import say
from mapsr.errors import WeightsError
from mapsr.weights import REGISTRY, entry, locate, resolve, verified_against, verify

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_STATES = {"registry": "whole", "hub": "whole", "first use": "unchanged", "nothing": "unchecked"}


def add_parser(subparsers: "Subparsers") -> None:
    """Add the command to those of ``mapsr``."""
    parser = subparsers.add_parser(
        "weights",
        help="list, fetch and check the published weights",
        description="List, fetch and check the published weights that mapsr can use.",
    )
    parser.set_defaults(run=main)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show all weights and where they are")
    fetch = actions.add_parser("fetch", help="download weights that are not here yet")
    fetch.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a name that `list` shows, or timm/MODEL.TAG for any model of timm",
    )
    fetch.add_argument(
        "--accept-licence",
        metavar="WORD",
        help="say that the licence was read and is accepted, where weights ask for it",
    )
    check = actions.add_parser("check", help="hash the weights that are here; 1 if one is damaged")
    for action in (listing, fetch, check):
        action.add_argument("--folder", help="look into this folder before MAPSR_WEIGHTS")


def main(arguments: argparse.Namespace) -> int:
    """Run the action; return 0, or 1 where ``check`` finds a damaged file.

    Raises:
        WeightsError: a name is unknown, or weights to fetch can't be had or ask for a licence to be
            accepted first.
    """
    if arguments.action == "fetch":
        return _fetch(arguments.names, arguments.folder, arguments.accept_licence)
    return _check(arguments.folder) if arguments.action == "check" else _list(arguments.folder)


def _list(folder: str | None) -> int:
    rows = [("NAME", "FILE", "MIB", "LICENCE", "WHERE")]
    for name, weights in REGISTRY.items():
        where = str(locate(name, folder) or "absent")
        licence = f"{weights.licence} (to be accepted)" if weights.terms else weights.licence
        rows.append((name, weights.file, str(weights.size_mib), licence, where))
    _table(rows)
    return 0


def _fetch(names: list[str], folder: str | None, accepted: str | None) -> int:
    for name in names:
        entry(name)
    for name in names:
        say(f"{name}  {resolve(name, folder=folder, accepted=accepted).path}")
    return 0


def _check(folder: str | None) -> int:
    rows, damaged = [("NAME", "STATE", "SHA-256 OR PLACE")], 0
    for name, weights in REGISTRY.items():
        path = locate(name, folder)
        if path is None:
            rows.append((name, "absent", weights.source))
            continue
        try:
            state = _STATES[verified_against(name, folder)]
            rows.append((name, state, verify(weights, path).sha256))
        except WeightsError as error:
            damaged += 1
            rows.append((name, "damaged", str(error)))
    _table(rows)
    return 1 if damaged else 0


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say("  ".join(cells).rstrip())
