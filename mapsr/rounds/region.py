"""What a labelling works with, found and checked before the first patch is voted on."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mapsr.errors import DataError
from mapsr.geo import Grid, ImageInfo, Window, source_files
from mapsr.geo.burning import true_metres
from mapsr.geo.states import State
from mapsr.labelling import (
    OpenProduct,
    Plan,
    RasterSource,
    load_registry,
    make_plan,
    open_products,
    require_overlap,
)
from mapsr.labelling.truth import Blocks, Judges, Truth, open_truth, require_truth
from mapsr.legends import Legend, load_legend
from mapsr.mapping.plan import PatchPlan
from mapsr.mapping.store import file_states
from mapsr.region import find_images
from mapsr.rounds.settings import LabelSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """An image to be labelled."""

    name: str
    """Of its files in the run folder; unique."""
    info: ImageInfo
    """What the file says."""


@dataclass(frozen=True)
class LabelRegion:
    """Images, products and truth of a labelling."""

    images: tuple[Labelled, ...]
    """In a fixed order."""
    plan: Plan
    """Products, levels, weights and the rule."""
    products: tuple[OpenProduct, ...]
    """In the order of the plan."""
    judges: Judges
    """Truth to score with."""
    held: Blocks | None
    """Blocks that models do not learn from, where there is no truth that validates them."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are read."""
        found: list[Path] = []
        for image in self.images:
            found += image.info.files
        for path in (*self.product_files, *self.judges.paths):
            found += source_files(path) if path not in self.vector_files else [path]
        return tuple(dict.fromkeys(found))

    @property
    def product_files(self) -> tuple[Path, ...]:
        """Files of all products."""
        return tuple(path for one in self.products for path in one.product.source.paths)

    @property
    def vector_files(self) -> frozenset[Path]:
        """Those of them that are vectors."""
        sources = [one.product.source for one in self.products]
        vectors = [one for one in sources if not isinstance(one, RasterSource)]
        return frozenset(path for one in vectors for path in one.paths)

    def states(self) -> dict[str, State]:
        """What tells whether files were changed, of all of them."""
        return file_states(self.files)


def open_region(settings: LabelSettings) -> LabelRegion:
    """Find images, products and truth, and check that they fit.

    Args:
        settings: of the command.

    Raises:
        DataError: no image is found, two have one name, or a product or the truth meets none.
        RasterError: an image, a product or the truth can't be read.
        ConfigError: the registry is not valid, or no class can ever be labelled.
    """
    found = find_images(settings.image, None)
    for image in found.every:
        if image.error is not None:
            raise image.error
    images = tuple(Labelled(one.name, one.info) for one in found.every if one.info)
    _require_unique(images)
    registry = load_registry(settings.registry, settings.paths)
    resolution = registry.resolution_m or _resolution(images[0])
    reference = settings.reference or registry.reference
    registry = replace(registry, resolution_m=resolution, reference=reference)
    plan = make_plan(registry, settings.voting)
    products = open_products(plan.products)
    grids = [image.info.grid for image in images]
    require_overlap(products, grids)
    judges = _judges(settings, plan.target)
    require_truth(judges, grids)
    expansion = settings.expansion
    held = None
    if settings.rounds and not judges.validates:
        held = Blocks(expansion.held_out, expansion.block_px, settings.seed)
    return LabelRegion(images, plan, products, judges, held)


def patches_of(grid: Grid, side: int) -> list[Window]:
    """The patches that an image is cut into, in the order of their work units."""
    return [unit.owned for unit in PatchPlan((grid.height, grid.width), side)]


def _judges(settings: LabelSettings, target: Legend) -> Judges:
    legend = load_legend(settings.truth_legend) if settings.truth_legend else target

    def opened(text: str | None) -> Truth | None:
        return open_truth(text, legend, target, settings.crosswalk) if text else None

    expansion = settings.expansion
    truth = opened(settings.truth)
    blocks = Blocks(expansion.validation_share, expansion.block_px, settings.seed)
    return Judges(
        truth, blocks if truth else None, opened(settings.validation), opened(settings.test)
    )


def _resolution(image: Labelled) -> float | None:
    """Pixel size in metres, where the reference system has true metres."""
    grid = image.info.grid
    return abs(float(grid.transform.a)) if true_metres(grid.crs) else None


def _require_unique(images: Sequence[Labelled]) -> None:
    name, times = Counter(image.name for image in images).most_common(1)[0]
    if times > 1:
        raise DataError(
            f"{times} images are called '{name}', expected each name once, as their labels are "
            f"called so: rename them, or label them in turn."
        )
