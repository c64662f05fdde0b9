"""Pictures of scored scenes, from the files that a run wrote."""

from pathlib import Path

from mapsr.data import Scene, SceneSource
from mapsr.evaluation.judging import read_labels
from mapsr.geo import Window
from mapsr.legends import Legends
from mapsr.report.figures import Panel, scene_figure

# Side of the area shown: as much as a panel can show pixel by pixel.
_SIDE_PX = 1024


def scene_picture(
    path: Path, source: SceneSource, scene: Scene, map_path: Path, legends: Legends
) -> None:
    """Draw image, coarse product, map and truth side by side, from the scene's top left corner."""
    grid = source.grid(scene)
    window = Window(0, 0, min(_SIDE_PX, grid.height), min(_SIDE_PX, grid.width))
    chip = source.read(scene, window)
    panels: list[Panel] = [("image", chip.image.numpy())]
    if chip.coarse is not None:
        panels.append(("coarse product", legends.coarse.apply(chip.coarse.numpy())))
    panels.append(("map", read_labels(map_path, grid, window)))
    if chip.truth is not None:
        panels.append(("truth", chip.truth.numpy()))
    scene_figure(path, panels, legends.target, grid.pixel_size[0])
