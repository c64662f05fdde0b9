"""From products to prompts: what each product says of a window of an image."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import ConfigError, DataError, near_match
from mapsr.findings import Finding
from mapsr.geo import Grid, Window
from mapsr.geo.burning import Geometries, burn, on_grid
from mapsr.geo.mosaic_tiles import Tiles, open_tiles, read_tiles, tiles_in
from mapsr.geo.vectors import (
    Features,
    VectorLayer,
    open_layer,
    read_features,
    touches,
    value_counts,
)
from mapsr.labelling.products import ANY, Layer, Product, RasterSource, Tag
from mapsr.labelling.prompts import PatchPrompts, Prompt
from mapsr.legends import MASKED, Legend

_NOTHING = ("", "no")
"""Values of a tag that say that there is nothing, as OpenStreetMap's building=no."""
_ALIKE = 0.8
"""How alike (0 to 1, difflib) a mistyped value and the right one are."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class OpenProduct:
    """A product whose files were found to be as its registry says."""

    product: Product
    """What it is."""
    tiles: Tiles | None
    """Its rasters, for a raster product."""
    layers: tuple[tuple[Layer, VectorLayer], ...] = ()
    """Its layers in all files, for a vector product."""

    def meets(self, grid: Grid, window: Window) -> bool:
        """Tell whether the product's extent meets a window of a grid."""
        if self.tiles is not None:
            return bool(tiles_in(self.tiles, grid, window))
        return any(touches(file, grid, window, layer.around_m) for layer, file in self.layers)


@dataclass(frozen=True, eq=False)
class _Answer:
    """What one product says of a patch."""

    masks: dict[str, Mask]
    covered: Mask
    unmapped: Counter[int]
    repaired: int = 0
    skipped: int = 0


def open_products(
    products: Sequence[Product], cache: Path | None = None
) -> tuple[OpenProduct, ...]:
    """Open all files of products, and find out early what is wrong with them.

    Args:
        products: of a registry.
        cache: folder of converted vector files; None: the user's cache.

    Raises:
        RasterError: a file is missing, can't be read, has no CRS, or lacks a layer.
        ConfigError: a layer has no column for a key that its tags look at.
    """
    return tuple(_open(product, cache) for product in products)


def require_overlap(products: Sequence[OpenProduct], grids: Sequence[Grid]) -> None:
    """Refuse a product that meets none of the images.

    Args:
        products: opened.
        grids: of all images of the region.

    Raises:
        DataError: there is one.
    """
    for opened in products:
        if not any(opened.meets(grid, grid.window) for grid in grids):
            where = ", ".join(map(str, opened.product.source.paths[:2]))
            raise DataError(
                f"Product '{opened.product.name}' ({where}) does not overlap any of the "
                f"{len(grids)} image(s), expected it to meet at least one: check the files and "
                "their reference systems, or leave it out."
            )


def mistyped_tags(products: Sequence[OpenProduct]) -> list[Finding]:
    """Name the tags that no feature meets while another value is nearly the same.

    A value that is merely rare may be absent anywhere, and a mistyped one looks no different but
    for its neighbour. Memory: the different values of a key.

    Args:
        products: opened.

    Raises:
        RasterError: a file can't be read.
    """
    findings = []
    for opened in products:
        for layer, file in opened.layers:
            for key in layer.keys:
                if key not in file.columns:
                    continue
                named = {tag.value for tag in layer.tags if tag.key == key} - {ANY}
                known = value_counts(file, key).keys()
                for value in sorted(named - known):
                    for near in get_close_matches(value, known - named, n=1, cutoff=_ALIKE):
                        text = f"no feature of {file.path} is {key}={value}"
                        findings.append(
                            Finding(opened.product.name, text, f"Did you mean '{key}={near}'?")
                        )
    return findings


def read_patch(
    products: Sequence[OpenProduct],
    weights: Sequence[int],
    target: Legend,
    grid: Grid,
    window: Window,
) -> PatchPrompts:
    """Read what products say of a window of an image.

    The result for a pixel does not depend on the window that it is read in. Memory: the window
    times the number of prompts, one byte each.

    Args:
        products: opened.
        weights: tenths of each.
        target: legend of the map.
        grid: of the image.
        window: pixels (H, W) of the grid.

    Returns:
        The prompts; products that don't reach into the window have none.

    Raises:
        RasterError: a file can't be read.
        ConfigError: a tag without a buffer meets lines or points.
        LegendError: a product votes for what is not a class of the target legend.
    """
    answers = [_ask(opened, grid, window) for opened in products]
    prompts = [
        Prompt(index, target.index(name), weight, mask)
        for index, (answer, weight) in enumerate(zip(answers, weights, strict=True))
        for name, mask in answer.masks.items()
        if mask.any()
    ]
    return PatchPrompts(
        (window.height, window.width),
        tuple(opened.product.name for opened in products),
        tuple(prompts),
        covered=tuple(answer.covered for answer in answers),
        unmapped=tuple(answer.unmapped for answer in answers),
        repaired=tuple(answer.repaired for answer in answers),
        skipped=tuple(answer.skipped for answer in answers),
    )


def _open(product: Product, cache: Path | None) -> OpenProduct:
    source = product.source
    if isinstance(source, RasterSource):
        return OpenProduct(product, open_tiles(source.paths))
    layers = [
        (layer, open_layer(path, layer.name, cache))
        for path in source.paths
        for layer in source.layers
    ]
    for layer, opened in layers:
        _check_keys(product, layer, opened)
    return OpenProduct(product, None, tuple(layers))


def _check_keys(product: Product, layer: Layer, opened: VectorLayer) -> None:
    absent = [key for key in layer.keys if key not in opened.columns]
    wrong = [key for key in absent if key not in layer.may_lack]
    if wrong or len(absent) == len(layer.keys):
        key = (wrong or absent)[0]
        raise ConfigError(
            f"Product '{product.name}': layer '{layer.name or opened.name}' of {opened.path} has "
            f"no column '{key}', expected one of {', '.join(opened.columns) or 'none'}; correct "
            f"the tag, or list the key under may_lack.{near_match(key, opened.columns)}"
        )


def _ask(opened: OpenProduct, grid: Grid, window: Window) -> _Answer:
    source = opened.product.source
    if isinstance(source, RasterSource):
        assert opened.tiles is not None
        return _ask_raster(source, read_tiles(opened.tiles, grid, window, source.nodata))
    return _ask_layers(opened, grid, window)


def _ask_raster(source: RasterSource, codes: NDArray[np.int32]) -> _Answer:
    strange = codes[~np.isin(codes, [MASKED, *source.values])]
    unmapped, pixels = np.unique(strange, return_counts=True)
    masks = {
        name: np.isin(codes, [code for code, names in source.values.items() if name in names])
        for name in source.targets()
    }
    counts = Counter(dict(zip(unmapped.tolist(), pixels.tolist(), strict=True)))
    return _Answer(masks, codes != MASKED, counts)


def _ask_layers(opened: OpenProduct, grid: Grid, window: Window) -> _Answer:
    masks: dict[str, Mask] = {}
    repaired = skipped = 0
    covered = np.zeros((window.height, window.width), bool)
    for layer, file in opened.layers:
        if not touches(file, grid, window, layer.around_m):
            continue
        covered[:] = True
        keys = [key for key in layer.keys if key in file.columns]
        features = read_features(file, grid, window, keys, layer.around_m)
        repaired, skipped = repaired + features.repaired, skipped + features.skipped
        shapes: dict[str, list[Geometries]] = {}
        for tag, chosen in _chosen(opened.product, layer, features):
            placed, lost = on_grid(chosen, file.crs, grid, tag.buffer_m)
            skipped += lost
            for name in tag.targets:
                shapes.setdefault(name, []).append(placed)
        for name, some in shapes.items():
            mask = burn(np.concatenate(some), grid, window)
            masks[name] = masks[name] | mask if name in masks else mask
    return _Answer(masks, covered, Counter(), repaired, skipped)


def _chosen(product: Product, layer: Layer, features: Features) -> Iterator[tuple[Tag, Geometries]]:
    """The features that each tag of a layer meets, where there are some.

    Raises:
        ConfigError: some have no area, and the tag gives them none.
    """
    for tag in layer.tags:
        if tag.key not in features.tags:
            continue
        values = features.tags[tag.key].tolist()
        if tag.value == ANY:
            meets = np.array([one is not None and one not in _NOTHING for one in values], bool)
        else:
            meets = np.array([one == tag.value for one in values], bool)
        flat = int((meets & features.flat).sum())
        if flat and not tag.buffer_m:
            raise ConfigError(
                f"Product '{product.name}': {flat} features {tag} are lines or points and have no "
                "buffer, expected buffer_m in metres, half the width of what they stand for."
            )
        if meets.any():
            yield tag, features.geometries[meets]
