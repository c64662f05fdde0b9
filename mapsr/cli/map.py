"""`mapsr map`: from rasters to maps, with prompts that are given or fitted first."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsr.cli.console import ConsoleProgress, note, say

if TYPE_CHECKING:
    from mapsr.experiment.images import Images
    from mapsr.experiment.region import Mapped, RegionSettings
    from mapsr.experiment.settings import MethodSettings

# groups that say what a method is made of: given prompts were fitted with theirs
_FITTED = ("legend", "backbone", "upsampler", "prompts", "experiment")
_GROUPS = (
    *("legend", "backbone", "upsampler", "prompts"),
    *("refine", "windows", "trainer", "engine"),
)

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
        "with prompts=RUN, or with coarse=PRODUCT legend.coarse=NAME, which fits prompts first. A "
        "map is a Cloud Optimized GeoTIFF that appears when it is whole; a job that was killed "
        "goes on where it was when the same command is given again.",
        epilog="examples:\n"
        "  mapsr map prompts=outputs/runs/RUN image=tile.tif out=map.tif\n"
        "  mapsr map coarse=nlcd.tif legend.coarse=nlcd image='tiles/*.tif' out=maps\n"
        "  mapsr map ... mosaic=true out=county.tif confidence=true engine=ray\n\n" + MEMORY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="choices and settings")
    parser.add_argument("--show", action="store_true", help="print the configuration and stop")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Map the rasters; return 1 if any could not be mapped."""
    from mapsr.cli.compose import split, typed
    from mapsr.experiment.images import find_images
    from mapsr.experiment.region import RegionSettings, out_paths

    own, overrides = split(arguments.overrides, RegionSettings)
    overrides += group_choice(own)
    settings = typed(RegionSettings, own, "")
    check_source(settings, overrides)
    if arguments.show:
        return _show(settings, overrides)
    images = find_images(settings.image, Path(settings.coarse) if settings.coarse else None)
    outs = out_paths(images, settings)  # a bad one should be known before anything is fitted
    if images.single and (error := images.every[0].error):
        raise error
    mapped = (
        _map_with_prompts(images, settings, overrides)
        if settings.prompts
        else _fit_and_map(images, settings, overrides, _prompt_path(images, settings, outs))
    )
    return report(mapped)


def report(mapped: "Sequence[Mapped]") -> int:
    """Say what was written and what was not; return 1 if anything was not."""
    for one in mapped:
        if one.error is None:
            say(f"map in {one.out}{'' if one.fresh else ' (made before, by the same command)'}")
    failed = [one for one in mapped if one.error is not None]
    if len(mapped) == 1 and failed and failed[0].error:
        raise failed[0].error
    for one in failed:
        note(f"not mapped: {one.image}: {one.error}")
    if failed:
        note(f"{len(failed)} of {len(mapped)} could not be mapped")
    return 1 if failed else 0


def _map_with_prompts(
    images: "Images", settings: "RegionSettings", overrides: list[str]
) -> "list[Mapped]":
    from mapsr.cli.compose import settings_of
    from mapsr.experiment.region import usable
    from mapsr.prompts import load_prompts

    path = Path(settings.prompts or "")
    file = load_prompts(path)
    config = composed([*as_fitted(file.settings, overrides), *overrides])
    parts = {part: settings_of(file.settings, part) for part in ("backbone", "upsampler")}
    facts: Any = file.settings["image"]
    images = usable(images, settings.bands or facts["bands"], facts["dtype"], settings.scale)
    prompts = path / "prompts.safetensors" if path.is_dir() else path
    return _mapped(images, settings, config, (file, parts), prompts)


def _fit_and_map(
    images: "Images", settings: "RegionSettings", overrides: list[str], path: Path
) -> "list[Mapped]":
    from mapsr.experiment.region import usable
    from mapsr.experiment.regional_fit import fit_region

    config = composed(overrides)
    method = method_settings(config)
    images = usable(images, settings.bands, None, settings.scale)
    good = [image for image in images.every if image.error is None]
    if not good:
        raise next(image.error for image in images.every if image.error)
    fitted = fit_region(good, settings, method, config, path, ConsoleProgress())
    say(f"prompts in {path}{'' if fitted.fresh else ' (fitted before, by the same command)'}")
    parts = {"backbone": method.backbone, "upsampler": method.upsampler}
    return _mapped(images, settings, config, (fitted.file, parts), path)


def _mapped(
    images: "Images",
    settings: "RegionSettings",
    config: dict[str, Any],
    fitted: tuple[Any, dict[str, Any]],
    prompts: Path,
) -> "list[Mapped]":
    from mapsr.cli.compose import settings_of
    from mapsr.experiment.fitting import Applied
    from mapsr.experiment.region import engine_of, map_images

    file, parts = fitted
    applied: Applied = Applied(
        file=file,
        **parts,
        refine=settings_of(config, "refine"),
        weights_folder=settings.weights_folder,
    )
    windows, trainer, engine = (
        settings_of(config, group) for group in ("windows", "trainer", "engine")
    )
    return map_images(
        images,
        settings,
        applied,
        prompts,
        windows,
        engine_of(applied, trainer, engine),
        ConsoleProgress(),
    )


def composed(overrides: list[str]) -> dict[str, Any]:
    """The groups of the configuration, as plain containers."""
    from mapsr.cli.compose import compose
    from mapsr.experiment.region import RegionSettings

    return compose("map", overrides, also=RegionSettings.__dataclass_fields__)


def method_settings(config: dict[str, Any]) -> "MethodSettings":
    """The settings of the method, from composed groups."""
    from mapsr.cli.compose import settings_of
    from mapsr.experiment.settings import MethodSettings

    return MethodSettings(**{group: settings_of(config, group) for group in _GROUPS})


def group_choice(own: dict[str, Any]) -> list[str]:
    """Give prompts=NAME back to the group of that name, where it is one of its choices."""
    from mapsr.cli.compose import conf_folder

    name = own["prompts"]
    if own["coarse"] and name and (conf_folder() / "prompts" / f"{name}.yaml").is_file():
        own["prompts"] = None
        return [f"prompts={name}"]
    return []


def check_source(settings: "RegionSettings", overrides: Sequence[str]) -> None:
    """Raise where prompts are to come from two places, from none, or from settings in vain."""
    from mapsr.errors import ConfigError

    lists = settings.image.lower().endswith(".csv")
    if settings.prompts and settings.coarse:
        raise ConfigError("prompts= and coarse= are both given: the prompts are fitted already.")
    if not settings.prompts and not settings.coarse and not lists:
        raise ConfigError(
            "Give prompts=RUN (a finished run or prompt file), or coarse=PRODUCT "
            "legend.coarse=NAME to fit prompts first."
        )
    if settings.prompts:
        for override in overrides:
            group = override.lstrip("+~").partition("=")[0].partition(".")[0]
            if group in _FITTED:
                raise ConfigError(
                    f"{override} has no say with prompts={settings.prompts}: the prompts were "
                    "fitted with theirs. Fit others with coarse=, or with mapsr run."
                )


def as_fitted(fitted: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Overrides that make refine and windows what the prompts were fitted with."""
    chosen = {override.partition("=")[0] for override in overrides}
    return [
        f"{group}.{key}={'null' if value is None else value}"
        for group in ("refine", "windows")
        if group not in chosen
        for key, value in fitted[group].items()
        if key != "kind"
    ]


def _prompt_path(images: "Images", settings: "RegionSettings", outs: dict[Path, Path]) -> Path:
    """Where prompts that are fitted for these maps are kept."""
    first = next(iter(outs.values()))
    if settings.mosaic or images.single:
        return first.with_suffix(".prompts.safetensors")
    return first.with_name("prompts.safetensors")


def _show(settings: "RegionSettings", overrides: list[str]) -> int:
    import yaml

    if settings.prompts:
        from mapsr.prompts import load_prompts

        fitted = load_prompts(Path(settings.prompts)).settings
        overrides = [*as_fitted(fitted, overrides), *overrides]
    say(yaml.safe_dump({**vars(settings), "groups": composed(overrides)}, sort_keys=False).rstrip())
    return 0
