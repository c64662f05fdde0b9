"""Chips: windows of a scene as tensors, with labels as class indices."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mapsr.data.scenes import Scene
from mapsr.errors import DataError, RasterError
from mapsr.geo import Grid, Window, band_count, overlap, read_codes, read_grid, read_image
from mapsr.legends import NODATA, Crosswalk, Legend

_LOGGER = logging.getLogger(__name__)
# at module level, so that a source can be sent to the workers of a data loader
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Chip:
    """A window of a scene."""

    scene: str
    """Name of the scene."""
    window: Window
    """Which pixels (H, W) of the scene's image."""
    image: torch.Tensor
    """float32 (B, H, W) in [0, 1], 0 where not valid."""
    valid: torch.Tensor
    """bool (H, W): where the image holds data."""
    coarse: torch.Tensor | None
    """uint8 (H, W) class index of the coarse product, 255 nodata; None without a product. With
    further products, 255 also where one of them stands for another target class."""
    truth: torch.Tensor | None
    """uint8 (H, W) class index of the target legend, 255 nodata; None without truth."""


class SceneSource:
    """Reads chips from scenes, and counts the label codes that their legends do not name.

    It holds no open file: several threads may read at once.

    Args:
        image_scale: raw image value that becomes 1, a property of the data set.
        coarse: from the coarse product to the target legend; None leaves the product unread.
        truth: from the truth's legend to the target legend; None leaves the truth unread.
        bands: how many leading bands of the image to read; None reads all.
        agree: from each further product of the scenes to the target legend. A pixel keeps its
            coarse label only where all products stand for the same target class.
    """

    def __init__(
        self,
        image_scale: float,
        coarse: Crosswalk | None = None,
        truth: Crosswalk | None = None,
        bands: int | None = None,
        agree: Sequence[Crosswalk] = (),
    ) -> None:
        self.image_scale = image_scale
        self.coarse = coarse
        self.truth = truth
        self.bands = bands
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

    def grid(self, scene: Scene) -> Grid:
        """Return the grid of the scene's image.

        Raises:
            RasterError: the image can't be read, has no CRS, or is rotated.
        """
        return read_grid(scene.image)

    def check(self, scene: Scene) -> None:
        """Check without reading pixels that chips of the scene can be read.

        Raises:
            RasterError: a file can't be read, has no CRS or is rotated, or the image has too few
                bands.
            DataError: a coarse product or the truth does not overlap the image, or there are more
                or fewer products than legends.
        """
        grid = self.grid(scene)
        count = band_count(scene.image)
        if self.bands is not None and count < self.bands:
            raise RasterError(
                f"{scene.image} has {count} band(s), expected at least {self.bands}; "
                "lower the number of bands to read."
            )
        for layer, path, _ in self._layers(scene):
            if overlap(path, grid) == 0:
                raise DataError(
                    f"The {layer} labels {path} do not overlap the image {scene.image}, expected "
                    f"both in the same place; check the files of scene '{scene.name}'."
                )

    def read(self, scene: Scene, window: Window) -> Chip:
        """Read a window of a scene, all of whose pixels may be nodata.

        Raises:
            RasterError: a file can't be read, the image has too few bands, or the window reaches
                outside of the image.
            DataError: the scene has more or fewer coarse products than there are legends.
        """
        image, valid = read_image(scene.image, window, self.bands, self.image_scale)
        labels = self.read_labels(scene, window)
        return Chip(
            scene=scene.name,
            window=window,
            image=torch.from_numpy(image),  # (B, H, W)
            valid=torch.from_numpy(valid),  # (H, W)
            coarse=labels["coarse"],
            truth=labels["truth"],
        )

    def read_labels(self, scene: Scene, window: Window) -> dict[str, torch.Tensor | None]:
        """Read the labels alone: "coarse" and "truth" as in ``Chip``.

        Raises:
            RasterError: a file can't be read, or the window reaches outside of the image.
            DataError: the scene has more or fewer coarse products than there are legends.
        """
        grid = self.grid(scene)
        indices: dict[str, NDArray[np.uint8]] = {}
        targets: dict[str, NDArray[np.uint8]] = {}
        for layer, path, crosswalk in self._layers(scene):
            codes = read_codes(path, grid, window)
            indices[layer] = self._encode(scene.name, layer, codes, crosswalk.source)
            targets[layer] = crosswalk.apply(indices[layer])
        truth, first = targets.pop("truth", None), indices.get("coarse")
        if self.agree and first is not None:
            first = np.where(_agreed(list(targets.values())), first, np.uint8(NODATA))
        return {
            "coarse": None if first is None else torch.from_numpy(first),  # (H, W)
            "truth": None if truth is None else torch.from_numpy(truth),  # (H, W)
        }

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

    def _encode(
        self, scene: str, layer: str, codes: NDArray[np.int32], legend: Legend
    ) -> NDArray[np.uint8]:
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


def _agreed(targets: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_]:
    """Return bool (H, W): where all products stand for the same class of the target legend."""
    first, *others = targets
    agreed: NDArray[np.bool_] = first != NODATA
    for other in others:
        agreed &= other == first
    return agreed
