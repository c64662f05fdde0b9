"""`mapsr map`: apply fitted prompts to a raster."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsr.cli.console import ConsoleProgress, say

if TYPE_CHECKING:
    from mapsr.methods import MapSR
    from mapsr.prompts import PromptFile


@dataclass(frozen=True)
class MapBasics:
    """What `mapsr map` takes besides groups."""

    prompts: str
    """A finished run's folder, or a prompt file."""
    image: str
    """The raster to map."""
    out: str
    """The map to write."""
    overwrite: bool = False
    """Replace a map that is there."""
    weights_folder: str | None = None
    """Folder searched for weights before all others."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "map",
        help="apply fitted prompts to a raster",
        description="Map one raster with the prompts of a run. Encoder, upsampler, refinement and "
        "chips are those that the prompts were fitted with. Memory: the scores of one row of "
        "chips (classes x 448 x width x 4 bytes) and one chip's features, whatever the height.",
        epilog="Example: mapsr map prompts=outputs/runs/RUN image=tile.tif out=map.tif "
        "[refine=none] [engine.batch=4] [overwrite=true]",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="choices and settings")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Map the raster."""
    import mapsr.experiment  # registers all settings
    from mapsr.cli.compose import compose, settings_of, split, typed
    from mapsr.mapping import map_image
    from mapsr.prompts import load_prompts

    own, overrides = split(arguments.overrides, MapBasics)
    config = compose("map", overrides, also=own)
    basics = typed(MapBasics, own, "")
    file = load_prompts(Path(basics.prompts))
    if config.get("refine") is None:
        config["refine"] = file.settings["refine"]
    method = _method(file, config, basics)
    image: Any = file.settings["image"]
    tags = {
        "MAPSR_VERSION": mapsr.__version__,
        "MAPSR_PROMPTS": _hash(Path(basics.prompts)),
        "MAPSR_CROSSWALK": file.crosswalk,
    }
    windows = settings_of(file.settings, "windows")
    map_image(
        method,
        file,
        Path(basics.image),
        Path(basics.out),
        windows,
        scale=image["scale"],
        bands=image["bands"],
        overwrite=basics.overwrite,
        tags=tags,
    )
    say(f"map in {basics.out}")
    return 0


def _method(file: "PromptFile", config: dict[str, Any], basics: MapBasics) -> "MapSR":
    """Rebuild the encoder and upsampler that the prompts were fitted with.

    Raises:
        PromptError: the weights that are found here are not those of the prompts.
    """
    from mapsr.cli.compose import settings_of
    from mapsr.errors import PromptError
    from mapsr.mapping import legend_of
    from mapsr.methods import FeatureExtractor, MapSR

    trainer, engine = settings_of(config, "trainer"), settings_of(config, "engine")
    encoder, upsampler = (
        settings_of(file.settings, group).build(basics.weights_folder)
        for group in ("backbone", "upsampler")
    )
    for part, built in (("backbone", encoder), ("upsampler", upsampler)):
        if built.weights != file.weights[part]:
            raise PromptError(
                f"The {part}'s weights here ({built.weights}) are not those that the prompts were "
                f"fitted with ({file.weights[part]}): fit them again, or fetch those weights."
            )
    # every chip is seen once, so there is nothing to remember
    extractor = FeatureExtractor(encoder, upsampler, trainer.device, memory_mib=0)
    return MapSR(
        extractor,
        settings_of(config, "refine"),
        legend_of(file).names,
        batch=engine.batch,
        progress=ConsoleProgress(),
    )


def _hash(prompts: Path) -> str:
    from mapsr.weights import sha256_of

    return sha256_of(prompts / "prompts.safetensors" if prompts.is_dir() else prompts)
