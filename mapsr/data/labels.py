"""Labels of scenes: the coarse product, or several that must agree, and the truth."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.data.scenes import Scene
from mapsr.errors import DataError
from mapsr.geo import Grid, Window, overlap, read_codes
from mapsr.legends import NODATA, Crosswalk, Legend

_LOGGER = logging.getLogger(__name__)
# at module level, so that a source can be sent to the workers of a data loader
_LOCK = threading.Lock()

Labels = NDArray[np.uint8]


class LabelSource:
    """Reads labels of scenes, and counts the codes that their legends do not name.

    It does not hold open files: several threads may read at once.

    Args:
        coarse: from the coarse product to the target legend; None leaves the product unread.
        truth: from the truth's legend to the target legend; None leaves the truth unread.
        agree: from each further product of the scenes to the target legend. A pixel keeps its
            coarse label only where all products stand for the same target class.
    """

    def __init__(
        self,
        coarse: Crosswalk | None = None,
        truth: Crosswalk | None = None,
        agree: Sequence[Crosswalk] = (),
    ) -> None:
        self.coarse = coarse
        self.truth = truth
        self.agree = tuple(agree)
        self._unknown: dict[str, dict[str, Counter[int]]] = {}
        self._logged: set[tuple[str, int]] = set()

    @property
    def unknown_codes(self) -> dict[str, dict[str, dict[int, int]]]:
        """Pixels read so far by scene, layer and unknown code.

        Layers are "coarse", "truth" and, for further products, "coarse_2", "coarse_3" and so on.
        Pixels that were read twice count twice.
        """
        with _LOCK:
            return {
                scene: {layer: dict(sorted(counts.items())) for layer, counts in layers.items()}
                for scene, layers in self._unknown.items()
            }

    def check(self, scene: Scene, grid: Grid) -> None:
        """Check without reading pixels that the labels of a scene lie on its image.

        Raises:
            RasterError: a file can't be read, has no CRS or is rotated.
            DataError: a coarse product or the truth does not overlap the image, or there are more
                or fewer products than legends.
        """
        for layer, path, _ in self._layers(scene):
            if overlap(path, grid) == 0:
                raise DataError(
                    f"The {layer} labels {path} do not overlap the image {scene.image}, expected "
                    f"both in the same place; check the files of scene '{scene.name}'."
                )

    def read(self, scene: Scene, grid: Grid, window: Window) -> dict[str, Labels | None]:
        """Read a window: "coarse" as classes of the product, "truth" as classes of the target.

        Returns:
            uint8 (H, W) each, 255 nodata; None where the scene has no such labels.

        Raises:
            RasterError: a file can't be read, or the window reaches outside of the image.
            DataError: the scene has more or fewer coarse products than there are legends.
        """
        indices: dict[str, Labels] = {}
        targets: dict[str, Labels] = {}
        for layer, path, crosswalk in self._layers(scene):
            codes = read_codes(path, grid, window)
            indices[layer] = self._encode(scene.name, layer, codes, crosswalk.source)
            targets[layer] = crosswalk.apply(indices[layer])
        truth, first = targets.pop("truth", None), indices.get("coarse")
        if self.agree and first is not None:
            first = np.where(_agreed(list(targets.values())), first, np.uint8(NODATA))
        return {"coarse": first, "truth": truth}

    def _layers(self, scene: Scene) -> Iterator[tuple[str, Path, Crosswalk]]:
        """Yield the label layers that are to be read, the first product before all others."""
        if self.coarse is not None and (scene.coarse is not None or scene.others):
            yield from self._products(scene, self.coarse)
        if self.truth is not None and scene.truth is not None:
            yield "truth", scene.truth, self.truth

    def _products(self, scene: Scene, first: Crosswalk) -> Iterator[tuple[str, Path, Crosswalk]]:
        if scene.coarse is None or len(scene.others) != len(self.agree):
            got = len(scene.others) + (scene.coarse is not None)
            legends = ", ".join(one.source.name for one in (first, *self.agree))
            raise DataError(
                f"Scene '{scene.name}' has {got} coarse product(s), expected one of each legend "
                f"({legends}); complete the scene, or correct data.agree."
            )
        yield "coarse", scene.coarse, first
        for number, (path, crosswalk) in enumerate(zip(scene.others, self.agree, strict=True), 2):
            yield f"coarse_{number}", path, crosswalk

    def _encode(self, scene: str, layer: str, codes: NDArray[np.int32], legend: Legend) -> Labels:
        """Return class indices (H, W); count the codes that the legend does not name."""
        indices, unknown = legend.encode(codes)
        with _LOCK:
            if unknown:
                layers = self._unknown.setdefault(scene, {})
                layers.setdefault(layer, Counter()).update(unknown)
            new = [code for code in sorted(unknown) if (layer, code) not in self._logged]
            self._logged.update((layer, code) for code in new)
        for code in new:
            _LOGGER.warning(
                "The %s labels of scene %s hold code %d (%d pixels of a window), which legend %s "
                "does not name: it becomes nodata. Further pixels are counted, not logged.",
                layer,
                scene,
                code,
                unknown[code],
                legend.name,
            )
        return indices


def _agreed(targets: Sequence[Labels]) -> NDArray[np.bool_]:
    """Return bool (H, W): where all products stand for the same class of the target legend."""
    first, *others = targets
    agreed: NDArray[np.bool_] = first != NODATA
    for other in others:
        agreed &= other == first
    return agreed
