"""`mapsr areas`: hectares of a map's classes, in all and by polygon, beside a product's."""

import argparse
from typing import TYPE_CHECKING, Any

from mapsr.cli.console import ConsoleProgress, note, say
from mapsr.cli.words import read_words

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = {
    "class": "CLASS",
    "hectares": "HECTARES",
    "per_cent": "PER CENT",
    "product_hectares": "PRODUCT",
    "product_per_cent": "PER CENT",
    "times_product": "TIMES",
    "product_that_agrees_per_cent": "AGREES %",
}
"""Titles of what is shown of a class."""


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


def show_areas(record: "Mapping[str, Any]") -> None:
    """Print the areas of a record, and those of its zones."""
    from mapsr.measure.answer import shown_table

    for line in shown_table(record["areas"]["classes"], COLUMNS):
        say(line)
    if record["product"] is not None:
        say(f"agrees with the product on {_per_cent(record['product']['agreement_per_cent'])}")
    sure = record["confidence"]
    if sure is not None and sure["low_below"] is not None:
        low = _per_cent(sure["low_per_cent"])
        say(f"probability below {sure['low_below']:g} on {low}")
    for zone in record.get("zones", ()):
        named = ", ".join(str(value) for value in zone["attributes"].values() if value)
        say()
        say(f"zone {zone['zone']}{f': {named}' if named else ''}")
        for line in shown_table(zone["classes"], COLUMNS):
            say(line)


def _per_cent(value: float | None) -> str:
    return "no ground that can be compared" if value is None else f"{value:.1f} % of the ground"
