"""`mapsr map`: from rasters to maps, with a method that is given or fitted first."""

import argparse
import json
import shlex
from typing import TYPE_CHECKING

from mapsr.cli.console import ConsoleProgress, note, say
from mapsr.cli.inputs import require_inputs
from mapsr.cli.tables import show_areas
from mapsr.redaction import redact_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mapsr.region import Mapped, MapSettings

_TOLD = 20
"""Images that could not be mapped that are told one by one."""
MEMORY = """\
memory: (workers) x (a chip's features and scores) + layers x classes x (unit + chip)^2 x 4 bytes
+ 32 MiB for blocks of the files (one row of chips of a file that is not tiled), whatever the size
of the rasters. A chip is windows.chip pixels wide, a unit windows.unit. `mapsr doctor IMAGE COARSE`
measures a chip on this machine.
disk: while a map is made, about 6 bytes per pixel in a hidden folder beside it.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "map",
        help="map rasters of any size",
        description="Map a raster, a pattern (tiles/*.tif), a CSV list (column image_fn) or a VRT: "
        "with fitted=RUN, or with coarse=PRODUCT legend.coarse=NAME, which fits a method first. A "
        "map is a Cloud Optimized GeoTIFF that appears when it is whole; a job that was killed "
        "goes on where it was when the same command is given again.",
        epilog="examples:\n"
        "  mapsr map fitted=outputs/runs/RUN image=tile.tif out=map.tif\n"
        "  mapsr map coarse=nlcd.tif legend.coarse=nlcd image='tiles/*.tif' out=maps\n"
        "  mapsr map coarse=nlcd.tif method=kmeans_voting image=tile.tif out=map.tif\n"
        "  mapsr map ... mosaic=true out=county.tif confidence=true engine=ray\n\n" + MEMORY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="choices and settings")
    parser.add_argument("--show", action="store_true", help="print the configuration and stop")
    parser.add_argument(
        "--json", action="store_true", help="print each map's record to stdout, as a line of JSON"
    )
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Map the rasters; return 1 if any could not be mapped."""
    if not arguments.show:
        require_inputs(arguments.overrides)
    from mapsr.cli.compose import compose_map
    from mapsr.region import map_region

    settings = compose_map(arguments.overrides)
    settings.check_source()
    if arguments.show:
        return _show(settings)
    command = shlex.join(["mapsr", "map", *redact_words(arguments.overrides)])
    region = map_region(settings, ConsoleProgress(), command)
    tell = note if arguments.json else say
    if not settings.fitted:
        before = "" if region.fresh else " (fitted before, by the same command)"
        tell(f"fitted method in {region.fitted}{before}")
    return report(region.mapped, as_json=arguments.json)


def report(mapped: "Sequence[Mapped]", *, as_json: bool = False) -> int:
    """Say what was written and what was not; return 1 if anything was not."""
    tell = note if as_json else say
    for one in mapped:
        if one.error is None:
            tell(f"map in {one.out}{'' if one.fresh else ' (made before, by the same command)'}")
        if as_json and one.record is not None:
            say(json.dumps(one.record, allow_nan=False))
    if not as_json and len(mapped) == 1 and mapped[0].record is not None:
        show_areas(mapped[0].record)
    failed = [one for one in mapped if one.error is not None]
    if len(mapped) == 1 and failed and failed[0].error:
        raise failed[0].error
    for one in failed[:_TOLD]:
        note(f"not mapped: {one.image}: " + str(one.error).replace("\n", "\\n"))
    if len(failed) > _TOLD:
        note(f"... and {len(failed) - _TOLD} more")
    if failed:
        note(f"{len(failed)} of {len(mapped)} could not be mapped")
    return 1 if failed else 0


def _show(settings: "MapSettings") -> int:
    """Print the settings, those of a fitted method as they were fitted."""
    import yaml

    from mapsr.region.maps import given_method
    from mapsr.settings import plain

    shown = plain(settings)
    if settings.fitted:
        fitted = given_method(settings)
        unused = {name: None for name in ("network", "training")}
        shown |= unused | fitted.parts.plain() | {"windows": plain(fitted.windows)}
    say(yaml.safe_dump(shown, sort_keys=False).rstrip())
    return 0
