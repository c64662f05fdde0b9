"""`mapsr areas`: hectares of a map's classes, in all and by polygon, beside a product's."""

import argparse

from mapsr.cli.console import ConsoleProgress, note, say
from mapsr.cli.tables import show_areas
from mapsr.cli.words import add_map_command, add_words, read_words


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = add_map_command(
        commands,
        "areas",
        main,
        summary="hectares of a map's classes, also by polygon",
        description="Measure the classes of a map on the ellipsoid: hectares and per cent, in all "
        "and in each polygon of zones=FILE, beside those of product=FILE, and how far both agree.",
        examples=(
            "mapsr areas map.tif",
            "mapsr areas map.tif zones=districts.gpkg csv=areas.csv",
            "mapsr areas map.tif product=nlcd.tif product_legend=nlcd --json",
        ),
    )
    add_words(parser)


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
