"""`mapsr change`: where and how a map differs from a product."""

import argparse
import json

from mapsr.cli.console import ConsoleProgress, note, say
from mapsr.cli.words import add_map_command, add_words, read_words


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = add_map_command(
        commands,
        "change",
        main,
        summary="where and how a map differs from a product",
        description="Hold a map against a product, or another map: a raster with a class for each "
        "change, and a matrix in hectares (.csv).",
        examples=(
            "mapsr change map.tif nlcd.tif legend=nlcd out=change.tif",
            "mapsr change map_2022.tif map_2012.tif out=change.tif --json",
        ),
        legend="map_legend",
    )
    parser.add_argument("product", help="a product with legend=NAME, or another map")
    add_words(parser)


def main(arguments: argparse.Namespace) -> int:
    """Write the change."""
    from mapsr.measure.answer import shown_table
    from mapsr.measure.changes import ChangeSettings, map_change

    settings = read_words(
        ChangeSettings,
        "change",
        arguments.settings,
        map=arguments.map,
        product=arguments.product,
    )
    record = map_change(settings, ConsoleProgress())
    if arguments.json:
        say(json.dumps(record, allow_nan=False))
    else:
        titles = {"from": "FROM", "to": "TO", "hectares": "HECTARES", "per_cent": "PER CENT"}
        for line in shown_table(record["changes"], titles):
            say(line)
        same, compared = record["same_hectares"], record["compared_hectares"]
        say(f"{same:.2f} of {compared:.2f} ha are as the product says")
        say(f"change in {record['raster']}, hectares in {record['matrix']}")
    for warning in record["warnings"]:
        note(f"WARNING: {record['map']}: {warning}")
    return 0
