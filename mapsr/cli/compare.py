"""`mapsr compare`: maps and products against a truth, each other, and inside cities."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsr.cli.console import ConsoleProgress, note, say
from mapsr.errors import ConfigError, near_match

if TYPE_CHECKING:
    from mapsr.labelling.comparing import CompareSettings

_LISTS = ("legends",)
_PATHS = "paths."
_OUT = "out"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "compare",
        help="hold maps and products against a truth, each other, and inside cities",
        description="Hold maps and historical products of any legend, CRS and resolution against a "
        "truth: overall, producer's and user's accuracy and F1, each product on the classes that "
        "it has, and how far pairs agree. With boundaries: areas and shares of the classes in each "
        "city, means and box statistics over cities.",
        epilog="examples:\n"
        "  mapsr compare map.tif worldcover.tif legends=-,esa_worldcover target=ecovision8 "
        "truth=truth.tif truth_legend=truth.yaml\n"
        "  mapsr compare registry=products.yaml truth='truth/*.tif' truth_legend=truth.yaml "
        "out=comparison\n"
        "  mapsr compare map.tif target=ecovision8 cities=cities.gpkg cities_group=region "
        "out=cities\n\n"
        "settings: truth= (path or pattern), truth_legend=, target= (legend that all are carried "
        "to),\nlegends= (one for each map or one for all; a name, a .yaml, or - for a map that "
        "says it itself,\nas maps of mapsr do), registry=, paths.PRODUCT=, crosswalk=, cities= "
        "(vector file),\ncities_layer=, cities_name=, cities_group= (columns), out=FOLDER "
        "(comparison.json, CSV, figures).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words", nargs="*", metavar="MAP|key=value", help="maps (paths or patterns), and settings"
    )
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Compare; return 0."""
    from mapsr.labelling.comparing import run_comparison
    from mapsr.labelling.comparison_files import lines_of, write_comparison

    settings, out = parse(arguments.words)
    comparison = run_comparison(settings, ConsoleProgress())
    found = comparison.as_dict()
    if arguments.json:
        say(json.dumps(found, allow_nan=False))
    else:
        for line in lines_of(found):
            say(line)
    if out is not None:
        for path in [*write_comparison(out, found), *_figures(out, found, settings)]:
            note(f"written to {path}")
    return 0


def parse(words: Sequence[str]) -> "tuple[CompareSettings, Path | None]":
    """Tell maps from settings, and read these.

    Returns:
        The settings, and the folder to write to; None: nothing is written.

    Raises:
        ConfigError: a key is unknown or given twice, or the settings contradict each other.
    """
    from mapsr.labelling.comparing import CompareSettings

    known = [one.name for one in fields(CompareSettings) if one.name not in ("maps", "paths")]
    known += [_OUT]
    maps: list[str] = []
    values: dict[str, Any] = {}
    paths: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or Path(word).exists():
            maps.append(word)
        elif key in values or key.removeprefix(_PATHS) in paths:
            raise ConfigError(f"{key}= is given twice, expected it once.")
        elif key.startswith(_PATHS):
            paths[key.removeprefix(_PATHS)] = value
        elif key in known and value:
            values[key] = tuple(value.strip("[]").split(",")) if key in _LISTS else value
        elif key in known:
            raise ConfigError(f"{key}= has no value: give it one, or leave it out.")
        else:
            raise ConfigError(
                f"'{key}' is not a setting of `mapsr compare`, expected one of "
                f"{', '.join(known)}, paths.PRODUCT.{near_match(key, known)}"
            )
    out = values.pop(_OUT, None)
    settings = CompareSettings(maps=tuple(maps), paths=paths, **values)
    return settings, None if out is None else Path(out)


def _figures(out: Path, found: Mapping[str, Any], settings: "CompareSettings") -> list[Path]:
    """Draw the composition of cities by each product, and with truth their accuracies."""
    if "cities" not in found:
        return []
    from mapsr.labelling.cities import SCORES
    from mapsr.labelling.comparing import target_of
    from mapsr.report.cities import box_figure, composition_figure

    legend = target_of(settings)
    cities = found["cities"]
    groups = {city: one["group"] for city, one in cities["boundaries"].items()}
    written = []
    for number, (name, product) in enumerate(cities["products"].items()):
        stem = f"{number + 1}_{Path(name).name}"
        by_city = product["by_city"]
        shares = {
            city: _complete([one["shares"][label] for label in legend.names])
            for city, one in by_city.items()
        }
        if any(some is not None for some in shares.values()):
            written.append(out / f"composition_{stem}.png")
            composition_figure(written[-1], shares, groups, legend)
        values = {
            label: {
                one: [v for city in by_city.values() if (v := city[key][one]) is not None]
                for one in legend.names
            }
            for key, label in zip(SCORES, ("PA", "UA", "F1"), strict=True)
        }
        if any(some for by_class in values.values() for some in by_class.values()):
            written.append(out / f"accuracies_{stem}.png")
            box_figure(written[-1], values, legend)
    return written


def _complete(shares: Sequence[float | None]) -> list[float] | None:
    known = [share for share in shares if share is not None]
    return known if len(known) == len(shares) else None
