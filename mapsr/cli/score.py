"""`mapsr score`: a map held against truth, a raster or a sample of points."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from mapsr.cli.console import ConsoleProgress, note, say
from mapsr.cli.words import add_map_command, add_words, read_words

_RASTER = {
    "iou": "IOU",
    "f1": "F1",
    "users_accuracy": "USER'S",
    "producers_accuracy": "PRODUCER'S",
}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = add_map_command(
        commands,
        "score",
        main,
        summary="hold a map against truth, with standard errors for samples",
        description="Hold a map against truth. A raster gives confusion, overall, user's and "
        "producer's accuracy, F1 and IoU as counted. Points, as drawn by `mapsr sample`, give "
        "estimates for the ground with standard errors, and the area of each class (Olofsson et "
        "al. 2014; Stehman 2014 where strata are not the map's classes).",
        examples=(
            "mapsr score map.tif truth=truth.tif legend=chesapeake_1m",
            "mapsr score map.tif truth=sample.gpkg",
            "mapsr score map.tif truth=points.gpkg column=class design=simple --json",
        ),
        legend="map_legend",
    )
    add_words(parser)


def main(arguments: argparse.Namespace) -> int:
    """Score the map."""
    from mapsr.measure.files import write_record
    from mapsr.measure.scoring import ScoreSettings, score_map

    settings = read_words(ScoreSettings, "score", arguments.settings, map=arguments.map)
    record = score_map(settings, ConsoleProgress())
    if settings.out:
        write_record(settings.out, record)
    if arguments.json:
        say(json.dumps(record, allow_nan=False))
    elif record["kind"] == "raster":
        _show_raster(record["scores"])
    else:
        _show_points(record)
    for why, points in record.get("left_out", {}).items():
        if points:
            note(f"WARNING: {points} point(s) are left out: {why.replace('_', ' ')}")
    return 0


def _show_raster(scores: Mapping[str, Any]) -> None:
    from mapsr.measure.answer import shown_table

    rows = [
        {"class": name} | {key: _three(scores[key][name]) for key in _RASTER}
        for name in scores["iou"]
    ]
    for line in shown_table(rows, {"class": "CLASS"} | _RASTER):
        say(line)
    say(f"overall accuracy {scores['oa']:.3f}, mIoU {scores['miou']:.3f}, {scores['pixels']} px")


def _show_points(record: Mapping[str, Any]) -> None:
    from mapsr.measure.answer import shown_table

    rows = [
        {
            "class": one["class"],
            "mapped": one["mapped_hectares"],
            "area": _with_error(one["hectares"], 2),
            "users": _with_error(one["users_accuracy"]),
            "producers": _with_error(one["producers_accuracy"]),
            "f1": _three(one["f1"]),
            "iou": _three(one["iou"]),
        }
        for one in record["classes"]
    ]
    titles = {
        **{"class": "CLASS", "mapped": "MAPPED HA", "area": "HECTARES", "users": "USER'S"},
        **{"producers": "PRODUCER'S", "f1": "F1", "iou": "IOU"},
    }
    for line in shown_table(rows, titles):
        say(line)
    say(
        f"overall accuracy {_with_error(record['overall_accuracy'])}, "
        f"mIoU {_three(record['miou'])}, {record['points']} points; ± is one standard error"
    )


def _with_error(one: Mapping[str, Any], digits: int = 3) -> str | None:
    if one["estimate"] is None:
        return None
    error = one["standard_error"]
    return f"{one['estimate']:.{digits}f} ± {'?' if error is None else f'{error:.{digits}f}'}"


def _three(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
