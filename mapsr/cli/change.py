"""`mapsr change`: where and how a map differs from a product."""

import argparse
import json

from mapsr.cli.console import ConsoleProgress, note, say
from mapsr.cli.words import read_words


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "change",
        help="where and how a map differs from a product",
        description="Hold a map against a product, or another map: a raster with a class for each "
        "change, and a matrix in hectares (.csv).",
        epilog="examples:\n"
        "  mapsr change map.tif nlcd.tif legend=nlcd out=change.tif\n"
        "  mapsr change map_2022.tif map_2012.tif out=change.tif --json\n\n"
        "keys: out, map_legend, legend, crosswalk, overwrite\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("map", help="a map, or any raster of labels with map_legend=NAME")
    parser.add_argument("product", help="a product with legend=NAME, or another map")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="see the examples")
    parser.add_argument("--json", action="store_true", help="print the record, as one line of JSON")
    parser.set_defaults(run=main)


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
