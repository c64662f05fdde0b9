"""Whether something that is fitted on would be scored, whatever it is called."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.data import Scene, Scenes
from mapsr.errors import DataError
from mapsr.geo import Grid, Window, read_codes, read_grid
from mapsr.geo.examination import bounds_deg
from mapsr.remote import RemotePath

logger = logging.getLogger(__name__)

_SHARED = 0.2
"""Share of the smaller image on common ground above which two scenes are one: tiles of a survey
overlap by a tenth."""
_TOLD = 0.05
_LOOK_PX = 512
_HEAD = 1 << 20


def common_ground(scenes: Scenes) -> Iterator[tuple[Scene, Scene, float]]:
    """Find scenes to fit on that lie where a scored one lies: links, copies and crops, too.

    Yields:
        The scene to fit on, the scored one, and the share of the smaller image that both show.

    Raises:
        RasterError: an image can't be read.
    """
    fitted, scored = _boxes(scenes.fit), _boxes(scenes.score)  # (F, 4), (S, 4)
    areas = _areas(scored)
    for scene, box, area in zip(scenes.fit, fitted, _areas(fitted), strict=True):
        low, high = np.maximum(box[:2], scored[:, :2]), np.minimum(box[2:], scored[:, 2:])
        share = (high - low).clip(0).prod(1) / np.minimum(area, areas)
        for number in np.flatnonzero(share > _TOLD):
            yield scene, scenes.score[number], float(share[number])


def check_ground(scenes: Scenes, *, truth: bool, transductive: bool) -> None:
    """Refuse scenes that are both fitted on and scored.

    Args:
        scenes: of a run.
        truth: the method learns from the truth of the scenes to fit on.
        transductive: the coarse labels of scored scenes may be fitted on.

    Raises:
        DataError: they share ground where the settings forbid it.
        RasterError: an image can't be read.
    """
    if transductive and not truth:
        return
    for fit, score, share in common_ground(scenes):
        where = fit.image if fit.image == score.image else f"{fit.image} and {score.image}"
        if share <= _SHARED:
            logger.warning(
                "%s share %.0f %% of their ground: one is fitted on, the other scored",
                where,
                100 * share,
            )
            continue
        if truth:
            raise DataError(
                f"{fit.image} would give its truth to the method and be scored with it, as "
                f"{score.image}: choose data.fit and data.score without common ground."
            )
        shown = "is" if fit.image == score.image else "show the same ground, which is"
        raise DataError(
            f"{where} {shown} both fitted on and scored: set transductive=true to use the coarse "
            "labels of scored scenes, or choose data.fit and data.score without common ground."
        )


def check_products(scenes: Scenes) -> None:
    """Refuse the truth of a scored scene in place of a coarse product, by whatever name.

    Raises:
        DataError: a product is the truth.
        RasterError: a file can't be read.
    """
    truths: dict[tuple[int, int], list[tuple[Path, Scene]]] = {}
    for scene in scenes.score:
        if scene.truth is not None:
            grid = read_grid(scene.truth)
            truths.setdefault((grid.height, grid.width), []).append((scene.truth, scene))
    products = dict.fromkeys(
        product
        for scene in (*scenes.fit, *scenes.score)
        for product in (scene.coarse, *scene.others)
        if product is not None
    )
    for product in products:
        grid = read_grid(product)
        for truth, scene in truths.get((grid.height, grid.width), []):
            if _same(product, truth, grid):
                raise DataError(
                    f"The coarse product {product} is the truth of the scored scene "
                    f"'{scene.name}': give the product itself as data.coarse."
                )


def _same(product: Path, truth: Path, grid: Grid) -> bool:
    """Whether two rasters of one size hold the same codes at one place."""
    if not any(isinstance(path, RemotePath) for path in (product, truth)):
        one, other = product.stat(), truth.stat()
        if one.st_size == other.st_size and _head(product) == _head(truth):
            return True
    if read_grid(truth) != grid:
        return False
    high, wide = min(grid.height, _LOOK_PX), min(grid.width, _LOOK_PX)
    middle = Window((grid.height - high) // 2, (grid.width - wide) // 2, high, wide)
    codes = read_codes(product, grid, middle)
    # of one code alone nothing can be said
    return bool(len(np.unique(codes)) > 1 and (codes == read_codes(truth, grid, middle)).all())


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(_HEAD)).hexdigest()


def _boxes(scenes: Sequence[Scene]) -> NDArray[np.float64]:
    """West, south, east and north of each image in degrees, (n, 4)."""
    return np.array([bounds_deg(read_grid(one.image), one.image) for one in scenes], float)


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return areas
