"""`mapsr preview`: look at a small part of a map, with its page, before the whole is made."""

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

from mapsr.cli.console import ConsoleProgress, note, say
from mapsr.cli.examining import as_overrides, images_of, show
from mapsr.cli.inputs import require_inputs
from mapsr.cli.tables import show_areas
from mapsr.redaction import redact_words

_FOLDER = Path("outputs/preview")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "preview",
        help="map a small part of an image, and show it, within two minutes",
        description="Say what `mapsr doctor` says, map the place where the product's classes are "
        "most evenly mixed (without a product the middle), as large as a minute allows, and write "
        "its page. The method is fitted on few chips, so that the whole map will differ a little.",
        epilog="examples:\n"
        "  mapsr preview image=tile.tif coarse=nlcd.tif legend.coarse=nlcd\n"
        "  mapsr preview tile.tif nlcd.tif method=mapsr\n"
        "  mapsr preview image='tiles/*.tif' fitted=outputs/runs/RUN out=look.tif\n\n"
        "keys: those of `mapsr map`; without out= the preview before it is replaced\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="as of `mapsr map`")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Look, map a part, write its page; return 1 where `mapsr map` could not work."""
    overrides = as_overrides(arguments.words)
    require_inputs(overrides)
    from mapsr.cli.compose import compose_map
    from mapsr.doctor.preview import plan_preview
    from mapsr.doctor.rasters import examine
    from mapsr.pages import PageSettings, write_page
    from mapsr.region import map_region
    from mapsr.region.checks import out_paths
    from mapsr.region.maps import given_method

    own = any(one.startswith("out=") for one in overrides)
    settings = compose_map(overrides if own else [*overrides, f"out={_FOLDER / 'preview.tif'}"])
    settings.check_source()
    images = images_of(settings)
    # whether it can be written, before anything that takes time
    out_paths(replace(images, every=images.every[:1], single=True), settings)
    fitted = given_method(settings) if settings.fitted else None
    findings = list(examine(images, settings, fitted, timing=False))
    if status := show(findings, "`mapsr map` can't work with these yet", "now a small part of it"):
        return status
    plan = plan_preview(images, settings, fitted, settings.out)
    for finding in plan.findings:
        note(f"{finding.topic}: {finding.text}")
    command = shlex.join(["mapsr", "preview", *redact_words(arguments.words)])
    made = plan.settings if own else replace(plan.settings, overwrite=True, restart=True)
    (mapped,) = map_region(made, ConsoleProgress(), command).mapped
    if mapped.error is not None:
        raise mapped.error
    if mapped.record is not None:
        show_areas(mapped.record)
    say(f"preview in {mapped.out}")
    page = write_page(PageSettings(source=str(mapped.out)), ConsoleProgress())
    say(f"page in {page}")
    return 0
