"""Map one raster with prompts that were fitted elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mapsr.data import Scene, SceneSource
from mapsr.errors import ConfigError
from mapsr.geo import label_writer
from mapsr.legends import LandClass, Legend
from mapsr.mapping.mosaic import map_raster
from mapsr.mapping.windows import WindowSettings
from mapsr.methods import MapSR
from mapsr.prompts import PromptFile


def map_image(
    method: MapSR,
    file: PromptFile,
    image: Path,
    out: Path,
    windows: WindowSettings,
    *,
    scale: float,
    bands: int | None,
    overwrite: bool = False,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write the land-cover map of an image.

    Args:
        method: with encoder and upsampler; takes the prompts of ``file``.
        file: the prompts and their legend.
        image: any raster that GDAL reads, on the grid that the map will have.
        out: GeoTIFF to write; appears only when it is whole.
        windows: chips and overlap.
        scale: raw image value that becomes 1.
        bands: leading bands to read; None: all.
        overwrite: replace what is at ``out``.
        tags: provenance, written into the file.

    Raises:
        ConfigError: ``out`` is there, or is the image itself.
        RasterError: the image can't be read, or the map can't be written.
    """
    if out.resolve() == image.resolve():
        raise ConfigError(f"out={out} is the image itself; choose another path.")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} is there already: choose another out=, or set overwrite=true.")
    method.use(file.prompts)
    source = SceneSource(scale, bands=bands)
    scene = Scene(image.stem, image, None, None)
    source.check(scene)
    grid = source.grid(scene)
    with label_writer(out, grid, legend_of(file), dict(tags or {})) as write:
        for band in map_raster(
            (grid.height, grid.width),
            lambda window: source.read(scene, window),
            method.score,
            windows,
            method.progress,
            method.batch,
            image.name,
        ):
            write(band.window, band.labels["map"])


def legend_of(file: PromptFile) -> Legend:
    """The target legend that a prompt file carries."""
    fields: dict[str, Any] = dict(file.legend)
    classes = tuple(
        LandClass(one["code"], one["name"], tuple(one["color"]), one["target"])
        for one in fields.pop("classes")
    )
    return Legend(classes=classes, nodata=frozenset(fields.pop("nodata")), **fields)
