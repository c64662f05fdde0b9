"""Chips: windows of a scene as tensors, with labels as class indices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray

from mapsr.data.labels import LabelSource
from mapsr.data.scenes import Scene
from mapsr.errors import RasterError
from mapsr.geo import (
    Grid,
    Window,
    WindowSettings,
    band_count,
    cover,
    read_grid,
    read_image,
    tiles,
)
from mapsr.legends import Crosswalk


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
    cell: tuple[float, float] | None = None
    """Rows and columns of the image that a pixel of the coarse product spans, where a map is made
    with the product; else None."""


class SceneSource:
    """Reads chips from scenes.

    It does not hold open files: several threads may read at once.

    Args:
        image_scale: raw image value that becomes 1, a property of the data set.
        coarse: from the coarse product to the target legend; None leaves the product unread.
        truth: from the truth's legend to the target legend; None leaves the truth unread.
        bands: how many leading bands of the image to read; None reads all.
        agree: from each further product of the scenes to the target legend; see `LabelSource`.

    Attributes:
        labels: reads the labels.
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
        self.bands = bands
        self.labels = LabelSource(coarse, truth, agree)

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
        self.labels.check(scene, grid)

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
            coarse=_tensor(labels["coarse"]),
            truth=_tensor(labels["truth"]),
        )

    def read_labels(self, scene: Scene, window: Window) -> dict[str, NDArray[np.uint8] | None]:
        """Read the labels alone: "coarse" and "truth", see `LabelSource.read`."""
        return self.labels.read(scene, self.grid(scene), window)


class ChipSequence(Sequence[Chip]):
    """Chips of scenes, read when they are asked for."""

    def __init__(self, source: SceneSource, places: Sequence[tuple[Scene, Window]]) -> None:
        self.source = source
        self.places = places

    @property
    def scenes(self) -> tuple[str, ...]:
        """Names of the scenes that they are of, in order."""
        return tuple(dict.fromkeys(scene.name for scene, _ in self.places))

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Chip: ...
    @overload
    def __getitem__(self, index: slice) -> "ChipSequence": ...
    def __getitem__(self, index: int | slice) -> "Chip | ChipSequence":
        if isinstance(index, slice):
            return ChipSequence(self.source, self.places[index])
        return self.source.read(*self.places[index])


def cut_scenes(
    source: SceneSource,
    scenes: Sequence[Scene],
    chip: int,
    most: int | None,
    *,
    whole: bool = False,
) -> ChipSequence:
    """Cut scenes into chips without overlap.

    Args:
        source: reads them.
        scenes: in order.
        chip: most pixels along a side of a chip.
        most: how many chips are kept, drawn evenly; None: all.
        whole: take chips of full size alone, of which the last ones begin earlier, so that some
            pixels are seen twice, as in the authors' code.
    """
    settings = WindowSettings(chip, overlap=0, last="whole")

    places = []
    for scene in scenes:
        grid = source.grid(scene)
        if whole:
            cut = [one for row in cover(grid.height, grid.width, settings) for one in row]
        else:
            cut = tiles(grid.height, grid.width, chip)
        places += [(scene, window) for window in cut]
    if most is not None and len(places) > most:
        places = [places[index * len(places) // most] for index in range(most)]
    return ChipSequence(source, places)


def _tensor(labels: NDArray[np.uint8] | None) -> torch.Tensor | None:
    return None if labels is None else torch.from_numpy(labels)
