"""`mapsr areas`: hectares of a map's classes, in all and by polygon, beside a product's."""

import argparse

from mapsr.cli.console import ConsoleProgress, note, say
from mapsr.cli.tables import show_areas
from mapsr.cli.words import read_words


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "areas",
        help="hectares of a map's classes, also by polygon",
        description="Measure the classes of a map on the ellipsoid: hectares and per cent, in all "
        "and in each polygon of zones=FILE, beside those of product=FILE, and how far both agree.",
        epilog="examples:\n"
        "  mapsr areas map.tif\n"
        "  mapsr areas map.tif zones=districts.gpkg csv=areas.csv\n"
        "  mapsr areas map.tif product=nlcd.tif product_legend=nlcd --json\n\n"
        "keys: map, legend, product, product_legend, crosswalk, zones, confidence, low, out, csv\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("map", help="a map, or any raster of labels with legend=NAME")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="see the examples")
    parser.add_argument("--json", action="store_true", help="print the record, as one line of JSON")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Measure the map."""
    from mapsr.measure.of_map import ask_areas
    from mapsr.measure.settings import AreaSettings

    settings = read_words(AreaSettings, "areas", arguments.settings, map=arguments.map)
    record = ask_areas(settings, ConsoleProgress())
    if arguments.json:
        import json

        say(json.dumps(record, allow_nan=False))
    else:
        show_areas(record)
    for warning in record["warnings"]:
        note(f"WARNING: {record['map']}: {warning}")
    return 0
