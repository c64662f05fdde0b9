"""Hold the maps of scenes against their truth."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.data import Scene, SceneSource
from mapsr.evaluation.calibration import Reliability
from mapsr.evaluation.confusion import Confusion
from mapsr.evaluation.intervals import bootstrap
from mapsr.evaluation.scores import Scores
from mapsr.geo import Grid, Window, read_codes, read_values
from mapsr.legends import NODATA, Legends

COARSE = "coarse"
"""Layer of the coarse product itself."""
MAP = "map"
"""Layer of the map, whose scores stand first."""

# Rows judged at once.
_BAND_PX = 1024
_NOTHING = {"miou": None, "oa": None, "iou": None}

Judgement = Mapping[str, Mapping[str, Confusion]]
"""Layer -> scene -> confusion matrix; of scenes with truth alone."""


def judge(
    source: SceneSource, scenes: Mapping[Scene, Mapping[str, Path]], legends: Legends
) -> dict[str, dict[str, Confusion]]:
    """Hold maps, and the coarse product, against the truth, band by band.

    Args:
        source: reads labels.
        scenes: of each scene the label maps by layer, such as "map" and "probe".
        legends: of the labels.
    """
    count = len(legends.target)
    judgement: dict[str, dict[str, Confusion]] = {}
    for scene, paths in scenes.items():
        grid = source.grid(scene)
        for window in _bands(grid):
            seen = source.read_labels(scene, window)
            truth, coarse = seen["truth"], seen["coarse"]
            if truth is None:
                break
            labels = {layer: read_labels(path, grid, window) for layer, path in paths.items()}
            if coarse is not None:
                labels[COARSE] = legends.coarse.apply(coarse)
            for layer, found in labels.items():
                by_scene = judgement.setdefault(layer, {})
                before = by_scene.get(scene.name, Confusion.zeros(count))
                by_scene[scene.name] = before + Confusion.of(truth, found, count)
    return judgement


def judge_confidence(source: SceneSource, scenes: Mapping[Scene, tuple[Path, Path]]) -> Reliability:
    """Hold how sure maps are against how right they are, band by band.

    Args:
        source: reads the truth.
        scenes: of each scene the label map, and the probabilities of its labels.
    """
    total = Reliability.zeros()
    for scene, (labels, sure) in scenes.items():
        grid = source.grid(scene)
        for window in _bands(grid):
            truth = source.read_labels(scene, window)["truth"]
            if truth is None:
                break
            found = read_labels(labels, grid, window)
            total += Reliability.of_best(read_values(sure, window)[0], found, truth)
    return total


def metrics_of(
    judgement: Judgement, names: tuple[str, ...], seed: int, layers: tuple[str, ...] = ()
) -> dict[str, object]:
    """The scores in metrics.json; None where no scene has truth.

    Args:
        judgement: what was counted.
        names: of the target classes.
        seed: of the bootstrap's draws.
        layers: that stand there in any case, with None where nothing was counted.

    Returns:
        The map's scores and their intervals, and those of each further layer under its name.
    """
    of_map = judgement.get(MAP, {})
    metrics: dict[str, object] = _NOTHING | _scores(of_map, names)
    spread = bootstrap(list(of_map.values()), generator=np.random.default_rng(seed))
    metrics["intervals"] = None if spread is None else spread.as_dict()
    for layer in dict.fromkeys((*layers, *judgement)):
        if layer != MAP:
            metrics[layer] = _scores(judgement.get(layer, {}), names) or dict(_NOTHING)
    return metrics


def pooled(confusions: Mapping[str, Confusion]) -> Confusion:
    """Sum the matrices of one scene or more."""
    first, *others = confusions.values()
    return sum(others, first)


def read_labels(path: Path, grid: Grid, window: Window) -> NDArray[np.uint8]:
    """Read a window of a map: class indices (H, W), 255 for nodata."""
    codes = read_codes(path, grid, window)
    return np.where(codes < 0, NODATA, codes).astype(np.uint8)


def _bands(grid: Grid) -> Iterator[Window]:
    for top in range(0, grid.height, _BAND_PX):
        yield Window(top, 0, min(_BAND_PX, grid.height - top), grid.width)


def _scores(confusions: Mapping[str, Confusion], names: tuple[str, ...]) -> dict[str, object]:
    whole = pooled(confusions) if confusions else None
    if whole is None or not whole.counts.any():
        return {}
    return Scores.of(whole).as_dict(names)
