"""``mapsr doctor``: what will work of this machine and its weights, or of given rasters."""

import argparse
import os
import platform
import re
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsr.cli.console import note, say
from mapsr.errors import ConfigError, WeightsError
from mapsr.findings import Finding
from mapsr.weights import REGISTRY, locate, verify

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

DRIVERS = ("GTiff", "COG")
# choice of the upsampler -> the weights that it needs; a backbone is called as its weights are
ANYUP = {"anyup": "anyup_multi_backbone", "anyup_paper": "anyup_paper"}

NETWORKS = {
    "paraformer": "vit_base_in21k",
    "unetformer": "resnet18_swsl",
    "efficientvit": "efficientvit_l2",
    "efficientvim": "efficientvim_m4",
}
"""Choice of a network -> the weights that its encoder starts from."""


def add_parser(subparsers: "Subparsers") -> None:
    """Add the command to those of ``mapsr``."""
    parser = subparsers.add_parser(
        "doctor",
        help="show what of this machine will work, or what a map of given rasters takes",
        description="Without arguments, show what of this machine, its packages and weights will "
        "work; the exit status is 0 if `mapsr run` can work, else 1. With an image, show what "
        "`mapsr map` will do with it, what that takes, or what is wrong and how to mend it; the "
        "exit status is 0 if `mapsr map` can work, else 1.",
        epilog="examples:\n"
        "  mapsr doctor\n"
        "  mapsr doctor tile.tif nlcd.tif\n"
        "  mapsr doctor 'tiles/*.tif' worldcover.tif legend.coarse=esa_worldcover\n"
        "  mapsr doctor tile.tif prompts=outputs/runs/RUN\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "image", nargs="?", metavar="IMAGE", help="as image= of `mapsr map`: what is to be mapped"
    )
    parser.add_argument(
        "coarse", nargs="?", metavar="COARSE", help="as coarse= of `mapsr map`: to fit prompts on"
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
        return show(list(examine()), "`mapsr run` can't work here yet", "`mapsr run` works here")
    findings = list(examine_images(words, timing=not arguments.no_timing))
    return show(findings, "`mapsr map` can't work with these yet", "`mapsr map` works with these")


def show(findings: Sequence[Finding], bad: str, good: str) -> int:
    """Print findings, remedies and the verdict; return 1 if anything is to be mended, else 0."""
    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        say(f"{finding.topic.ljust(width)}  {finding.text}")
    remedies = [finding for finding in findings if finding.remedy]
    for finding in remedies:
        note(f"to mend {finding.topic}: {finding.remedy}")
    say()
    say(bad if remedies else good)
    return 1 if remedies else 0


def examine_images(words: Sequence[str], *, timing: bool) -> Iterator[Finding]:
    """Yield what is found of an image and its coarse product.

    Args:
        words: IMAGE, COARSE and key=value, as they were given.
        timing: score a chip.

    Raises:
        MapsrError: the settings are wrong, or no image is found.
    """
    from mapsr.cli.compose import split, typed
    from mapsr.cli.map import as_fitted, check_source, composed, group_choice, method_settings
    from mapsr.experiment.examine import examine as examine_rasters
    from mapsr.experiment.images import find_images
    from mapsr.experiment.region import RegionSettings

    own, overrides = split(_as_overrides(words), RegionSettings)
    overrides += group_choice(own)
    if own["out"] == "???":
        own["out"] = "map.tif"  # nothing is written
    settings = typed(RegionSettings, own, "")
    if settings.prompts:
        from mapsr.prompts import load_prompts

        check_source(settings, overrides)
        kept: Any = load_prompts(Path(settings.prompts)).settings
        config = composed([*as_fitted(kept, overrides), *overrides])
        config |= {part: kept[part] for part in ("backbone", "upsampler")}
        facts = kept["image"]
    else:
        config, facts = composed(overrides), None
    images = find_images(settings.image, Path(settings.coarse) if settings.coarse else None)
    method = method_settings(config)
    yield from examine_rasters(images, settings, method, facts, timing=timing)


def _as_overrides(words: Sequence[str]) -> list[str]:
    """Turn IMAGE and COARSE into image= and coarse=."""
    overrides = [
        word for word in words if re.match(r"[+~]*[\w./@]+=", word) and not Path(word).exists()
    ]
    paths = [word for word in words if word not in overrides]
    if len(paths) > 2:
        raise ConfigError(
            f"Got {len(paths)} files, expected IMAGE and COARSE: put quotes around a pattern "
            "('tiles/*.tif'), so that it arrives whole, or list the images in a CSV file."
        )
    return [f"{key}={path}" for key, path in zip(("image", "coarse"), paths, strict=False)] + (
        overrides
    )


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
    """Tell which backbones, upsamplers and networks work with the weights that are here."""
    others = {*ANYUP.values(), *NETWORKS.values()}
    encoders = [name for name in present if name not in others]
    yield Finding("backbones", ", ".join(["texture", *encoders]))
    anyup = [choice for choice, name in ANYUP.items() if name in present]
    yield Finding("upsamplers", ", ".join(["nearest", "bilinear", "bilateral", *anyup]))
    networks = [choice for choice, name in NETWORKS.items() if name in present]
    yield Finding("networks", ", ".join(["l2hnet", *networks]))
