"""``mapsr doctor``: what will work of this machine and its weights, or of given rasters."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mapsr.cli.examining import examine_images, show
from mapsr.doctor.machine import choice_findings, examine, weight_findings
from mapsr.findings import Finding

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_WEIGHED = ("backbone", "upsampler", "network")
"""Groups whose choices may need weights."""


def add_parser(subparsers: "Subparsers") -> None:
    """Add the command to those of ``mapsr``."""
    parser = subparsers.add_parser(
        "doctor",
        help="show what of this machine will work, or what a map of given rasters takes",
        description="Without arguments, show what of this machine, its packages and weights will "
        "work; the exit status is 0 if `mapsr run` can work, else 1. With an image, show what "
        "`mapsr map` will do with it, what that takes, or what is wrong and how to fix it; the "
        "exit status is 0 if `mapsr map` can work, else 1.",
        epilog="examples:\n"
        "  mapsr doctor\n"
        "  mapsr doctor tile.tif nlcd.tif\n"
        "  mapsr doctor 'tiles/*.tif' worldcover.tif legend.coarse=esa_worldcover\n"
        "  mapsr doctor tile.tif fitted=outputs/runs/RUN\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "image", nargs="?", metavar="IMAGE", help="as image= of `mapsr map`: what is to be mapped"
    )
    parser.add_argument(
        "coarse", nargs="?", metavar="COARSE", help="as coarse= of `mapsr map`: to fit on"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="choices and settings of `mapsr map`"
    )
    parser.add_argument(
        "--no-timing", action="store_true", help="score no chip: say nothing of the time"
    )
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Look at the machine, or at rasters; return 0 if the command in question can work, else 1."""
    given = (arguments.image, arguments.coarse, *arguments.overrides)
    words = [word for word in given if word is not None]
    if not words:
        return show(
            list(examine_machine()), "`mapsr run` can't work here yet", "`mapsr run` works here"
        )
    findings = list(examine_images(words, timing=not arguments.no_timing))
    return show(findings, "`mapsr map` can't work with these yet", "`mapsr map` works with these")


def examine_machine() -> Iterator[Finding]:
    """Yield what is found of the machine, its packages and its weights."""
    found = list(examine())
    yield from found
    weights, present = weight_findings()
    yield from weights
    if not any(one.remedy for one in found):  # else the settings may be beyond reach
        from mapsr.cli.compose import compose_parts

        choices = {group: compose_parts(group) for group in _WEIGHED}
        yield from choice_findings(choices, present)
