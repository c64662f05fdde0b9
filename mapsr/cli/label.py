"""`mapsr label`: labels voted out of many products, and expanded by models."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mapsr.cli.console import ConsoleProgress, say

MEMORY = """\
memory: (threads) x (a patch of patch x patch pixels, a byte for each class that a product votes
for), whatever the size of the images; models as in `mapsr map`.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "label",
        help="vote labels out of many products, and expand them by models",
        description="Label images by the votes of historical products, rasters and vectors; with "
        "rounds=N let a model learn from the labels, vote too, and fill the rest. Patches are work "
        "units: a job that was killed goes on where it was when the same command is given again.",
        epilog="examples:\n"
        "  mapsr label registry=products.yaml image='tiles/*.tif' output=labels dry_run=true\n"
        "  mapsr label registry=products.yaml image='tiles/*.tif' output=labels\n"
        "  mapsr label registry=products.yaml image=tile.tif truth=truth.tif rounds=3 "
        "output=expanded\n"
        "  mapsr label ... rounds=2 method=unet votes=labels output=expanded\n"
        "  mapsr label experiment=iel_koeln output=koeln\n\n" + MEMORY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="choices and settings")
    parser.add_argument("--show", action="store_true", help="print the configuration and stop")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Label the images and print what came of it."""
    from mapsr.cli.compose import compose_label
    from mapsr.rounds import open_region, run_labelling

    settings = compose_label(arguments.overrides)
    if arguments.show:
        import yaml

        from mapsr.settings import plain

        say(yaml.safe_dump(plain(settings), sort_keys=False).rstrip())
        return 0
    region = open_region(settings)
    if settings.dry_run:
        from mapsr.rounds import dry_run

        findings = list(dry_run(settings, region, ConsoleProgress()))
        width = max(len(finding.topic) for finding in findings)
        for finding in findings:
            say(f"{finding.topic.ljust(width)}  {finding.text}")
        return 0
    path, metrics, fresh = run_labelling(settings, ConsoleProgress(), region)
    for line in report(metrics):
        say(line)
    before = "" if fresh else " (finished before; overwrite=true runs it again)"
    say(f"results in {Path(path)}{before}")
    return 0


def report(metrics: dict[str, Any]) -> list[str]:
    """Tables of products, pairs, rounds and classes, and why the rounds ended."""
    statistics = metrics["statistics"]
    lines = [*_products(statistics["products"]), ""]
    if statistics["pairs"]:
        lines += [*_pairs(statistics["pairs"]), ""]
    lines += [*_classes(metrics), "", *_rounds(metrics)]
    lines.append(f"two classes reached their thresholds at {statistics['contested']} pixels")
    if metrics["bare_patches"]:
        lines.append(f"{metrics['bare_patches']} patch(es) without any product: undetermined")
    if metrics["stop"]:
        lines.append(f"the rounds ended: {metrics['stop']['reason']}")
    if metrics["final"]["oa"] is not None and metrics["stop"]:
        lines.append(f"final map: OA {_number(metrics['final']['oa'])}")
    return lines


def _products(products: dict[str, Any]) -> list[str]:
    rows = [["product", "covers", "votes", "trusted", "OA"]]
    for name, one in products.items():
        trusted = sum(share or 0 for share in one["trusted_by_class"].values())
        numbers = (one["covered"], one["votes"], trusted, one["truth"]["oa"])
        rows.append([name, *map(_number, numbers)])
    return _table(rows)


def _pairs(pairs: Sequence[dict[str, Any]]) -> list[str]:
    rows = [["both vote", "pixels", "agree", "conflict"]]
    for pair in pairs:
        numbers = [str(pair[key]) for key in ("both", "agree", "conflict")]
        rows.append([" and ".join(pair["products"]), *numbers])
    return _table(rows)


def _classes(metrics: dict[str, Any]) -> list[str]:
    """Trusted share of each class by round, and the scores of the last labels."""
    rounds = metrics["rounds"]
    scores = rounds[-1]["scores"]
    rows = [["class", *(f"round {one['round']}" for one in rounds)]]
    rows[0] += ["PA", "UA", "F1"] if scores else []
    for name in metrics["classes"]:
        row = [name, *(_number(one["trusted_by_class"][name]) for one in rounds)]
        if scores:
            keys = ("producers_accuracy", "users_accuracy", "f1")
            row += [_number(scores[key][name]) for key in keys]
        rows.append(row)
    return _table(rows)


def _rounds(metrics: dict[str, Any]) -> list[str]:
    rows = [["round", "trusted", "OA trusted", "ratio", "model's OA", "its weight"]]
    for one in metrics["rounds"]:
        model = one["model"]
        numbers = [_number(one[key]) for key in ("trusted", "oa_trusted", "ratio")]
        said = [_number(model["oa"]), f"{model['weight_tenths'] / 10:g}"] if model else ["-", "-"]
        rows.append([str(one["round"]), *numbers, *said])
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns under each other, the first one to the left."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
