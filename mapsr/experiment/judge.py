"""Hold the maps of a run against the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mapsr.data import Scenes, SceneSource
from mapsr.evaluation import Confusion, Scores, bootstrap
from mapsr.experiment.assemble import Legends
from mapsr.experiment.pictures import probe_map, read_labels
from mapsr.geo import Window

# Rows judged at once.
_BAND_PX = 1024


@dataclass
class Judgement:
    """Confusion matrices by scene: of the map, the probe alone and the coarse product."""

    map: dict[str, Confusion]
    probe: dict[str, Confusion]
    coarse: dict[str, Confusion]


def judge(
    source: SceneSource, scenes: Scenes, legends: Legends, paths: Mapping[str, Path]
) -> Judgement:
    """Hold maps and coarse products against the truth, where there is any, band by band."""
    judgement = Judgement({}, {}, {})
    for scene in scenes.score:
        layers = {"map": paths[scene.name], "probe": probe_map(paths[scene.name])}
        grid = source.grid(scene)
        for top in range(0, grid.height, _BAND_PX):
            window = Window(top, 0, min(_BAND_PX, grid.height - top), grid.width)
            seen = source.read_labels(scene, window)
            if seen["truth"] is None:
                break
            labels = {
                layer: read_labels(path, grid, window)
                for layer, path in layers.items()
                if path.exists()
            }
            if seen["coarse"] is not None:
                labels["coarse"] = legends.coarse.apply(seen["coarse"].numpy())
            for layer, found in labels.items():
                by_scene: dict[str, Confusion] = getattr(judgement, layer)
                one = Confusion.of(seen["truth"].numpy(), found, len(legends.target))
                before = by_scene.get(scene.name, Confusion.zeros(len(legends.target)))
                by_scene[scene.name] = before + one
    return judgement


def metrics_of(judgement: Judgement, names: tuple[str, ...], seed: int) -> dict[str, object]:
    """The scores in metrics.json; None where no scene has truth.

    Args:
        judgement: what was counted.
        names: of the target classes.
        seed: of the bootstrap's draws.
    """
    metrics: dict[str, object] = {"miou": None, "oa": None, "iou": None}
    metrics |= _scores(judgement.map, names)
    spread = bootstrap(list(judgement.map.values()), generator=np.random.default_rng(seed))
    metrics["intervals"] = None if spread is None else spread.as_dict()
    for layer in ("coarse", "probe"):
        found = _scores(getattr(judgement, layer), names)
        metrics[layer] = found or {"miou": None, "oa": None, "iou": None}
    return metrics


def _scores(confusions: dict[str, Confusion], names: tuple[str, ...]) -> dict[str, object]:
    whole = pooled(confusions) if confusions else None
    if whole is None or not whole.counts.any():
        return {}
    return Scores.of(whole).as_dict(names)


def pooled(confusions: Mapping[str, Confusion]) -> Confusion:
    """Sum the matrices of one scene or more."""
    first, *others = confusions.values()
    return sum(others, first)
