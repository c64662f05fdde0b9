"""Pictures of scored scenes, from the files that the run wrote."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.data import Scene, SceneSource
from mapsr.experiment.assemble import Legends
from mapsr.geo import Grid, Window, read_codes
from mapsr.legends import NODATA
from mapsr.report.figures import Panel, scene_figure

# Side of the area shown: as much as a panel can show pixel by pixel.
_SIDE_PX = 1024


def probe_map(path: Path) -> Path:
    """Where the probe's map lies, given the map's path."""
    return path.with_name(f"{path.stem}_probe{path.suffix}")


def read_labels(path: Path, grid: Grid, window: Window) -> NDArray[np.uint8]:
    """Read a window of a map: class indices (H, W), 255 for nodata."""
    codes = read_codes(path, grid, window)
    return np.where(codes < 0, NODATA, codes).astype(np.uint8)


def scene_picture(
    path: Path, source: SceneSource, scene: Scene, map_path: Path, legends: Legends
) -> None:
    """Draw image, coarse product, map and truth side by side, from the scene's top left corner."""
    grid = source.grid(scene)
    window = Window(0, 0, min(_SIDE_PX, grid.height), min(_SIDE_PX, grid.width))
    chip = source.read(scene, window)
    labels = read_labels(map_path, grid, window)
    panels: list[Panel] = [("image", chip.image.numpy())]
    if chip.coarse is not None:
        panels.append(("coarse product", legends.coarse.apply(chip.coarse.numpy())))
    panels.append(("map", labels))
    if chip.truth is not None:
        panels.append(("truth", chip.truth.numpy()))
    scene_figure(path, panels, legends.target, grid.pixel_size[0])
