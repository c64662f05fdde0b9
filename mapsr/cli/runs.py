"""`mapsr runs`: which runs there are, how two differ, and removing them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsr.cli.console import note, say
from mapsr.errors import ConfigError, near_match

if TYPE_CHECKING:
    from mapsr.tracking.runs import FoundRun

_ROOT = "outputs"
_STATE = "state"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "runs",
        help="list runs, compare two, remove some",
        description="List the runs below a folder, compare two of them, or remove some.",
    )
    parser.set_defaults(run=main)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser(
        "list",
        help="list runs, oldest first",
        description="List runs, oldest first: all, or those with certain settings.",
        epilog="example: mapsr runs list method=mapsr seed=0 state=finished",
    )
    listing.add_argument("filters", nargs="*", metavar="key=value", help="settings, or state=STATE")
    listing.add_argument("--folder", default=_ROOT, help=f"where runs lie (default: {_ROOT})")
    compare = actions.add_parser("compare", help="how two runs differ in settings and scores")
    compare.add_argument("first", metavar="RUN")
    compare.add_argument("second", metavar="RUN")
    remove = actions.add_parser("remove", help="remove run folders with all that is in them")
    remove.add_argument("folders", nargs="+", metavar="RUN")
    remove.add_argument("--yes", action="store_true", help="do it; without it they are named only")


def main(arguments: argparse.Namespace) -> int:
    """Run the action; return 1 where runs were to be removed without --yes."""
    if arguments.action == "list":
        return _list(Path(arguments.folder), arguments.filters)
    if arguments.action == "compare":
        return _compare(Path(arguments.first), Path(arguments.second))
    return _remove([Path(one) for one in arguments.folders], sure=arguments.yes)


def _list(root: Path, filters: Sequence[str]) -> int:
    from mapsr.tracking.runs import find_runs

    if wrong := next((one for one in filters if "=" not in one), None):
        raise ConfigError(
            f"'{wrong}' is not a setting, expected key=value, as method=mapsr; the folder is named "
            "with --folder."
        )
    found = find_runs(root)
    chosen = [run for run in found if _fits(run, filters)] if found else []
    if found:
        _check_keys(found, filters)
    chosen.sort(key=lambda run: (str(run.record.get("started", "")), str(run.path)))
    rows = [["run", _STATE, "started", "mIoU", "OA", "method", "seed"]]
    for run in chosen:
        scores = [_score(run.metrics.get(key)) for key in ("miou", "oa")]
        values = run.flat
        started = str(run.record.get("started", "-"))
        own = [str(values.get("method")), str(values.get("seed"))]
        rows.append([str(run.path), run.state, started, *scores, *own])
    for line in _columns(rows):
        say(line)
    note(f"{len(chosen)} of {len(found)} run(s) in {root}")
    return 0


def _fits(run: "FoundRun", filters: Sequence[str]) -> bool:
    values = {key: _plain(value) for key, value in run.flat.items()} | {_STATE: run.state}
    return all(
        values.get(key) == value for key, _, value in (one.partition("=") for one in filters)
    )


def _check_keys(found: Sequence["FoundRun"], filters: Sequence[str]) -> None:
    known = {_STATE, *(key for run in found for key in run.flat)}
    for one in filters:
        key = one.partition("=")[0]
        if key not in known:
            raise ConfigError(
                f"'{one}' is not a setting of these runs, expected key=value."
                f"{near_match(key, known)}"
            )


def _compare(first: Path, second: Path) -> int:
    from mapsr.tracking.runs import differing, found_run, paired_difference

    one, other = found_run(first), found_run(second)
    rows = [["", "first", "second"], ["run", str(first), str(second)]]
    rows += [["state", one.state, other.state]]
    rows += [[key, _plain(then), _plain(now)] for key, then, now in differing(one, other)]
    if len(rows) == 3:
        rows.append(["settings and versions", "the same", "the same"])
    for line in _columns(rows):
        say(line)
    scores = [["", "first", "second", "difference"]]
    for name, then, now in _scores(one, other):
        less = f"{now - then:+.3f}" if then is not None and now is not None else "-"
        scores.append([name, _score(then), _score(now), less])
    say()
    for line in _columns(scores):
        say(line)
    if paired := paired_difference(one, other):
        say(
            f"the second's mean IoU less the first's, over the same scenes: {paired.miou:+.3f} "
            f"[{paired.low:+.3f}, {paired.high:+.3f}] ({paired.level:.0%})"
        )
    return 0


def _scores(one: "FoundRun", other: "FoundRun") -> list[tuple[str, float | None, float | None]]:
    then, now = one.metrics, other.metrics
    found = [("mIoU", then.get("miou"), now.get("miou")), ("OA", then.get("oa"), now.get("oa"))]
    classes = (then.get("iou") or {}), (now.get("iou") or {})
    for name in dict.fromkeys([*classes[0], *classes[1]]):
        found.append((f"IoU of {name}", classes[0].get(name), classes[1].get(name)))
    return found


def _remove(folders: Sequence[Path], *, sure: bool) -> int:
    from mapsr.tracking.runs import found_run, remove_run

    for folder in folders:
        run = found_run(folder)  # all of them, before any is removed
        if not sure:
            say(f"would remove {folder} ({run.state})")
    if not sure:
        note("nothing was removed; --yes removes them")
        return 1
    for folder in folders:
        remove_run(folder)
        say(f"removed {folder}")
    return 0


def _plain(value: Any) -> str:  # noqa: ANN401 - any setting
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
