"""``mapsr doctor``: what of this machine, these packages and these weights will work."""

import argparse
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from mapsr.cli.console import note, say
from mapsr.errors import WeightsError
from mapsr.weights import REGISTRY, locate, verify

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

DRIVERS = ("GTiff", "COG")
# choice of the upsampler -> the weights that it needs; a backbone is called as its weights are
ANYUP = {"anyup": "anyup_multi_backbone", "anyup_paper": "anyup_paper"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: what was looked at.
        text: what was found.
        remedy: how to mend it where `mapsr run` can't work without, else None.
    """

    topic: str
    text: str
    remedy: str | None = None


def add_parser(subparsers: "Subparsers") -> None:
    """Add the command to those of ``mapsr``."""
    parser = subparsers.add_parser(
        "doctor",
        help="show what of this machine, its packages and weights will work",
        description="Show what of this machine, its packages and weights will work. "
        "The exit status is 0 if `mapsr run` can work, else 1.",
    )
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Look at everything; return 0 if `mapsr run` can work without any override, else 1."""
    findings = list(examine())
    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        say(f"{finding.topic.ljust(width)}  {finding.text}")
    remedies = [finding for finding in findings if finding.remedy]
    for finding in remedies:
        note(f"to mend {finding.topic}: {finding.remedy}")
    say()
    say("`mapsr run` can't work here yet" if remedies else "`mapsr run` works here")
    return 1 if remedies else 0


def examine() -> Iterator[Finding]:
    """Yield what is found, topic by topic."""
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    yield packages()
    yield torch_devices()
    yield memory()
    yield gdal()
    yield wandb_mode()
    present = []
    for name in REGISTRY:
        finding, usable = weights(name)
        yield finding
        if usable:
            present.append(name)
    yield from choices(present)


def packages() -> Finding:
    """Find the packages that mapsr needs, by its own metadata."""
    try:
        lines = metadata.requires("mapsr") or []
    except metadata.PackageNotFoundError:
        return Finding("packages", "mapsr is not installed", "install it with `pip install mapsr`")
    names = [re.split(r"[^\w.-]", line)[0] for line in lines if "extra ==" not in line]
    found, absent = [f"mapsr {metadata.version('mapsr')}"], []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            absent.append(name)
    if absent:
        remedy = f"install with `pip install {' '.join(absent)}`"
        return Finding("packages", f"absent: {', '.join(absent)}", remedy)
    return Finding("packages", ", ".join(found))


def torch_devices() -> Finding:
    """Find torch and the devices that it can use."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("torch", f"can't be imported ({error})", "install torch for this machine")
    devices = [f"cpu with {torch.get_num_threads()} threads"]
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        devices[:0] = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(count)]
    return Finding("torch", f"{torch.__version__}: {', '.join(devices)}")


def memory() -> Finding:
    """Find how much memory the machine has."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return Finding("memory", "unknown on this system")
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Finding("memory", f"{size / 2**30:.1f} GiB")


def gdal() -> Finding:
    """Find GDAL and the drivers that maps are written with."""
    try:
        import rasterio
    except (ImportError, OSError) as error:
        remedy = "install rasterio from its wheels: `pip install --force-reinstall rasterio`"
        return Finding("gdal", f"rasterio can't be imported ({error})", remedy)
    with rasterio.Env() as env:
        absent = [driver for driver in DRIVERS if driver not in env.drivers()]
    version = f"{rasterio.__gdal_version__} in rasterio {rasterio.__version__}"
    if absent:
        remedy = "install a rasterio whose GDAL (3.1 or later) has these drivers"
        return Finding("gdal", f"{version}, without driver {', '.join(absent)}", remedy)
    return Finding("gdal", f"{version}, with drivers {', '.join(DRIVERS)}")


def wandb_mode() -> Finding:
    """Find whether W&B could be online; offline needs nothing."""
    from mapsr.tracking.loggers import has_credentials

    online = "works" if has_credentials() else "needs `wandb login` or WANDB_API_KEY"
    return Finding("wandb", f"logger.mode=offline works, logger.mode=online {online}")


def weights(name: str) -> tuple[Finding, bool]:
    """Find one file of weights, and whether it can be used."""
    topic = f"weights {name}"
    try:
        path = locate(name)
        if path is None:
            return Finding(topic, f"absent; `mapsr weights fetch {name}`"), False
        verify(REGISTRY[name], path)
    except WeightsError as error:
        return Finding(topic, str(error)), False
    return Finding(topic, str(path)), True


def choices(present: list[str]) -> Iterator[Finding]:
    """Tell which backbones and upsamplers work with the weights that are here."""
    encoders = [name for name in present if name not in ANYUP.values()]
    yield Finding("backbones", ", ".join(["texture", *encoders]))
    anyup = [choice for choice, name in ANYUP.items() if name in present]
    yield Finding("upsamplers", ", ".join(["nearest", "bilinear", "bilateral", *anyup]))
