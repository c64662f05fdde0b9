"""Stand-ins for what a table is made with: settings without Hydra, and runs that are made up."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mapsr.cli.compose import compose_run
from mapsr.errors import ConfigError, DataError
from mapsr.evaluation import Confusion
from mapsr.geo import read_grid, write_raster
from mapsr.methods.kmeans import KMeansSettings
from mapsr.methods.mapsr import MapSRSettings
from mapsr.methods.network import NetworkMethodSettings
from mapsr.networks import L2HNetSettings
from mapsr.settings import kind_of, plain
from mapsr.tracking import RunFolder
from mapsr.training import TrainingSettings

NAMES = ("water", "tree canopy", "low vegetation", "impervious")


def settings_on(scene_folder):
    """Settings on the miniature scenes, composed by Hydra."""
    return compose_run(
        [
            *("data=geotiff", f"data.root={scene_folder}", "logger=none"),
            *("data.image=*/{scene}_naip.tif", "data.coarse=*/{scene}_nlcd_30m.tif"),
            *("data.truth=*/{scene}_cclc.tif", "data.fit=train/*", "data.score=val/*"),
        ]
    )


METHODS = {
    "mapsr": {"method": MapSRSettings()},
    "kmeans_voting": {"method": KMeansSettings()},
    "network": {
        "method": NetworkMethodSettings(),
        "network": L2HNetSettings(),
        "training": TrainingSettings(),
    },
}


def compose_with(base):
    """Make a compose(overrides) from settings, for the few keys of these tests.

    ``method=network`` brings a group ``network``; other methods have none.
    """

    def compose(overrides):
        changes = {}
        for override in overrides:
            key, _, value = override.partition("=")
            group, _, name = key.partition(".")
            if key in ("seed", "output", "name", "overwrite"):
                typed = {"seed": int, "overwrite": lambda text: text == "true"}.get(key, str)
                changes[key] = typed(value.strip("'"))
            elif key == "method":
                changes |= {"network": None, "training": None} | METHODS[value]
            elif key == "data":
                pass  # these tests have the data of base
            else:
                old = changes.get(group, getattr(base, group))
                if not hasattr(old, name):
                    raise ConfigError(f"Unknown key '{key}'.")
                kind = type(getattr(old, name))
                changes[group] = replace(old, **{name: kind(value)})
        return replace(base, **changes)

    return compose


@dataclass
class MadeUpRuns:
    """Runs whose mean IoU is what ``mious`` says, by method and then by seed.

    Attributes:
        mious: method -> mean IoU with seed 0; each further seed has 0.02 more.
        broken: methods that fail.
        done: names of the run folders, in the order in which they were run.
    """

    mious: dict = field(
        default_factory=lambda: {"kmeans_voting": 0.30, "mapsr": 0.50, "network": 0.40}
    )
    broken: set = field(default_factory=set)
    done: list = field(default_factory=list)

    def __call__(self, settings, progress):
        method = kind_of(settings.method)
        path = Path(settings.output)
        self.done.append(path.name)
        with RunFolder.open(
            path, plain(settings), settings.fingerprint(), settings.overwrite
        ) as folder:
            if method in self.broken:
                raise DataError(f"{method} can't be fitted.")
            miou = self.mious[method] + 0.02 * settings.seed
            folder.write_confusion({name: self._confusion(miou, name) for name in "ab"}, NAMES)
            folder.write_record({"versions": {"mapsr": "9.9.9"}})
            self._map(settings, folder)
            metrics = self._metrics(miou, 3072 if method == "mapsr" else 0)
            metrics["truth_pixels"] = 7000 * settings.seed
            folder.write_metrics(metrics)
        return path, metrics

    def _confusion(self, miou, scene):
        right = round(100 * miou) + (5 if scene == "a" else -5)
        counts = np.diag([right] * 4 + [0]) + np.diag([100 - right] * 4, 1)
        return Confusion(counts[:4])

    def _metrics(self, miou, parameters):
        return {
            "miou": miou,
            "oa": miou + 0.1,
            "iou": dict.fromkeys(NAMES, miou),
            "intervals": {"miou": [miou - 0.05, miou + 0.05], "level": 0.95, "scenes": 2},
            "coarse": {"miou": 0.2, "oa": 0.3},
            "crosswalk": "paraformer",
            "trained_parameters": parameters,
            "seconds": {"fit": 2.0, "map": 1.0},
        }

    def _map(self, settings, folder):
        image = Path(settings.data.root) / "val" / "village_naip.tif"
        if image.exists():
            grid = read_grid(image)
            labels = np.full((grid.height, grid.width), len(self.done) % 4, np.uint8)
            write_raster(folder.maps / "village.tif", labels, grid, nodata=255)
