"""`mapsr sample`: a stratified random sample of a map's pixels, to be labelled in QGIS."""

import argparse
import json

from mapsr.cli.console import ConsoleProgress, say
from mapsr.cli.words import add_map_command, add_words, read_words

_COLUMNS = {"class": "STRATUM", "pixels": "PIXELS", "hectares": "HECTARES", "points": "POINTS"}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = add_map_command(
        commands,
        "sample",
        main,
        summary="draw a stratified sample of a map to be labelled in QGIS",
        description="Draw pixels at random in each class of a map, as points of a GeoPackage: fill "
        "in column 'truth' in QGIS without looking at 'stratum', then `mapsr score`. "
        "allocation=minimum shares points out by area, but gives rare classes minimum= (Olofsson "
        "et al. 2014); proportional and equal do what they say.",
        examples=(
            "mapsr sample map.tif out=sample.gpkg points=600",
            "mapsr sample map.tif out=sample.gpkg error=0.01 expected='{impervious: 0.6}'",
        ),
    )
    add_words(parser)


def main(arguments: argparse.Namespace) -> int:
    """Draw the sample."""
    from mapsr.measure.answer import shown_table
    from mapsr.measure.drawing import SampleSettings, draw_sample

    settings = read_words(SampleSettings, "sample", arguments.settings, map=arguments.map)
    record = draw_sample(settings, ConsoleProgress())
    if arguments.json:
        say(json.dumps(record, allow_nan=False))
        return 0
    for line in shown_table(record["strata"], _COLUMNS):
        say(line)
    say(f"{record['points']} points in {record['sample']}: fill in column 'truth'")
    return 0
