"""`mapsr sieve`: a map without patches that are smaller than a minimum mapping unit."""

import argparse
import json

from mapsr.cli.console import ConsoleProgress, say
from mapsr.cli.words import add_map_command, add_words, read_words


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = add_map_command(
        commands,
        "sieve",
        main,
        summary="merge patches below a minimum mapping unit into their neighbours",
        description="Write a map in which each patch below a minimum mapping unit went to its "
        "largest neighbour, the smallest first; never through nodata, so that islands in it stay.",
        examples=(
            "mapsr sieve map.tif mmu=0.25ha out=map_mmu.tif",
            "mapsr sieve map.tif mmu=40px out=map_mmu.tif",
        ),
    )
    add_words(parser)


def main(arguments: argparse.Namespace) -> int:
    """Sieve the map."""
    from mapsr.measure.sieving import SieveSettings, sieve_map

    settings = read_words(SieveSettings, "sieve", arguments.settings, map=arguments.map)
    record = sieve_map(settings, ConsoleProgress())
    if arguments.json:
        say(json.dumps(record, allow_nan=False))
        return 0
    say(
        f"{record['patches']} patches became {record['patches_left']} of at least "
        f"{record['least_pixels']} px, but for {record['islands']} island(s) in nodata"
    )
    say(f"map in {record['raster']}")
    return 0
