"""`mapsr vectors`: the patches of a map as polygons."""

import argparse
import json

from mapsr.cli.console import ConsoleProgress, say
from mapsr.cli.words import add_map_command, add_words, read_words


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = add_map_command(
        commands,
        "vectors",
        main,
        summary="a map as polygons with class, area and confidence",
        description="Write each patch of a map as a polygon of a GeoPackage, with its class, code, "
        "pixels, hectares and mean confidence; strip by strip, without seams.",
        examples=(
            "mapsr vectors map.tif out=map.gpkg",
            "mapsr vectors map_mmu.tif out=map.gpkg confidence=map_confidence.tif",
        ),
    )
    add_words(parser)


def main(arguments: argparse.Namespace) -> int:
    """Write the polygons."""
    from mapsr.measure.outlining import VectorSettings, outline_map

    settings = read_words(VectorSettings, "vectors", arguments.settings, map=arguments.map)
    record = outline_map(settings, ConsoleProgress())
    if arguments.json:
        say(json.dumps(record, allow_nan=False))
    else:
        say(f"{record['polygons']} polygons in {record['vectors']}")
    return 0
