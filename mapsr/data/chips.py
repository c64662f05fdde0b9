"""Chips: windows of a scene as tensors, with labels as class indices."""

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mapsr.data.scenes import Scene
from mapsr.errors import DataError, RasterError
from mapsr.geo import Grid, Window, band_count, overlap, read_codes, read_grid, read_image
from mapsr.legends import Crosswalk, Legend

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
    """uint8 (H, W) class index of the coarse product, 255 nodata; None without a product."""
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
    """

    def __init__(
        self,
        image_scale: float,
        coarse: Crosswalk | None = None,
        truth: Crosswalk | None = None,
        bands: int | None = None,
    ) -> None:
        self.image_scale = image_scale
        self.coarse = coarse
        self.truth = truth
        self.bands = bands
        self._unknown: dict[str, dict[str, Counter[int]]] = {}
        self._logged: set[tuple[str, int]] = set()

    @property
    def unknown_codes(self) -> dict[str, dict[str, dict[int, int]]]:
        """Pixels read so far by scene, layer ("coarse" or "truth") and unknown code.

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
            DataError: the coarse product or the truth does not overlap the image.
        """
        grid = self.grid(scene)
        count = band_count(scene.image)
        if self.bands is not None and count < self.bands:
            raise RasterError(
                f"{scene.image} has {count} band(s), expected at least {self.bands}; "
                "lower the number of bands to read."
            )
        for layer, path, crosswalk in self._layers(scene):
            if path is not None and crosswalk is not None and overlap(path, grid) == 0:
                raise DataError(
                    f"The {layer} labels {path} do not overlap the image {scene.image}, expected "
                    f"both in the same place; check the files of scene '{scene.name}'."
                )

    def read(self, scene: Scene, window: Window) -> Chip:
        """Read a window of a scene, all of whose pixels may be nodata.

        Raises:
            RasterError: a file can't be read, the image has too few bands, or the window reaches
                outside of the image.
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
        """
        grid = self.grid(scene)
        labels: dict[str, torch.Tensor | None] = {}
        for layer, path, crosswalk in self._layers(scene):
            labels[layer] = None
            if path is not None and crosswalk is not None:
                codes = read_codes(path, grid, window)
                indices = self._encode(scene.name, layer, codes, crosswalk.source)
                if layer == "truth":
                    indices = crosswalk.apply(indices)
                labels[layer] = torch.from_numpy(indices)  # (H, W)
        return labels

    def _layers(self, scene: Scene) -> tuple[tuple[str, Path | None, Crosswalk | None], ...]:
        return ("coarse", scene.coarse, self.coarse), ("truth", scene.truth, self.truth)

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
