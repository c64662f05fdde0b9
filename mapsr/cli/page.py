"""`mapsr page`: a run or a map as one HTML file."""

import argparse

from mapsr.cli.console import ConsoleProgress, say
from mapsr.cli.inputs import require_source
from mapsr.cli.words import read_words


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "page",
        help="a run or a map as one HTML file",
        description="Write one HTML file that shows a finished run or a map: image, product, map "
        "and confidence with a swipe between them, zoom to real pixels, areas, accuracy, settings, "
        "provenance and the command that repeats it. It needs no server, no network and no other "
        "file.",
        epilog="examples:\n"
        "  mapsr page outputs/runs/RUN\n"
        "  mapsr page map.tif image=tile.tif product=nlcd.tif product_legend=nlcd\n\n"
        "keys: out, image, product, product_legend, crosswalk, scenes\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="RUN|MAP", help="folder of a finished run, or a map")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="see the examples")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Write the page."""
    require_source(arguments.source)
    from mapsr.pages import PageSettings, write_page

    settings = read_words(PageSettings, "page", arguments.settings, source=arguments.source)
    say(f"page in {write_page(settings, ConsoleProgress())}")
    return 0
