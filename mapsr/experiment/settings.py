"""The settings of an experiment, as one value."""

from dataclasses import dataclass

import torch

from mapsr.data.chesapeake import ChesapeakeSettings
from mapsr.data.geotiff import GeoTiffSettings
from mapsr.data.synthetic import SyntheticSettings
from mapsr.errors import ConfigError, require_choice, require_range
from mapsr.features import TextureSettings, ViTSettings
from mapsr.features.cache import DiskCacheSettings, NoCacheSettings
from mapsr.mapping import LocalSettings, RaySettings, WindowSettings
from mapsr.methods.kmeans import KMeansSettings
from mapsr.methods.mapsr import MapSRSettings
from mapsr.methods.network import NetworkMethodSettings
from mapsr.networks.network import NetworkSettings
from mapsr.prompts import PromptSettings, TruthPromptSettings
from mapsr.refine import RefineSettings
from mapsr.settings import choice
from mapsr.tracking import LoggerSettings
from mapsr.training import TrainingSettings
from mapsr.upsample import (
    AnyUpSettings,
    BilateralSettings,
    BilinearSettings,
    JafarSettings,
    NearestSettings,
)


@choice("legend", "legend")
@dataclass(frozen=True)
class LegendSettings:
    """Which products the labels come from; a name of the package or a path of a YAML file."""

    target: str = "chesapeake4"
    """Legend of the map."""
    coarse: str = "nlcd"
    """Legend of the coarse product."""
    truth: str = "chesapeake_1m"
    """Legend of the truth."""
    crosswalk: str = "paraformer"
    """Preset that says which target class a product's class stands for."""


@choice("trainer", "lightning")
@dataclass(frozen=True)
class TrainerSettings:
    """Where the work is done."""

    accelerator: str = "auto"
    """"auto" (CUDA where there is one, else CPU), "cpu" or "cuda"."""
    precision: str = "32-true"
    """Lightning's name of the precision that the probe is trained in."""

    def __post_init__(self) -> None:
        require_choice(self.accelerator, ("auto", "cpu", "cuda"), "trainer.accelerator")

    @property
    def device(self) -> torch.device:
        """The torch device.

        Raises:
            ConfigError: this machine does not have it.
        """
        present = torch.cuda.is_available()
        if self.accelerator == "auto":
            return torch.device("cuda" if present else "cpu")
        if self.accelerator == "cuda" and not present:
            raise ConfigError(
                "trainer.accelerator=cuda, but torch finds no CUDA device here: set "
                "trainer.accelerator=auto."
            )
        return torch.device(self.accelerator)


@dataclass(frozen=True, kw_only=True)
class RunBasics:
    """What belongs to no group."""

    name: str = "mapsr"
    """What the run is called."""
    seed: int = 0
    """Of every random choice of the run."""
    transductive: bool = False
    """Fit on the coarse labels of the very scenes that are scored."""
    output: str | None = None
    """Run folder; null: outputs/runs/NAME-HASH-sSEED."""
    overwrite: bool = False
    """Give up another run's results in the same folder."""
    weights_folder: str | None = None
    """Folder searched for weights before all others."""
    recipe: str = "corrected"
    """How networks are trained: "corrected", or as the authors "released" it, faults included."""

    def __post_init__(self) -> None:
        require_choice(self.recipe, ("corrected", "released"), "recipe")
        if not self.name or "/" in self.name:
            raise ConfigError(f"name is '{self.name}', expected a word without slashes.")
        require_range(self.seed, "seed")


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """What a method is made of and fitted with."""

    legend: LegendSettings
    backbone: ViTSettings | TextureSettings
    upsampler: (
        AnyUpSettings | JafarSettings | BilateralSettings | BilinearSettings | NearestSettings
    )
    prompts: PromptSettings
    refine: RefineSettings
    windows: WindowSettings
    trainer: TrainerSettings
    engine: LocalSettings | RaySettings


@dataclass(frozen=True, kw_only=True)
class RunSettings(RunBasics, MethodSettings):
    """Everything that `mapsr run` takes."""

    data: GeoTiffSettings | SyntheticSettings | ChesapeakeSettings
    method: MapSRSettings | KMeansSettings | NetworkMethodSettings
    network: NetworkSettings | None
    training: TrainingSettings | None
    logger: LoggerSettings
    cache: DiskCacheSettings | NoCacheSettings

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.engine, RaySettings):
            raise ConfigError(
                "engine=ray belongs to mapsr map: mapsr run works on this machine, and its prompts "
                "can be mapped with engine=ray afterwards."
            )
        trained = isinstance(self.method, NetworkMethodSettings)
        for group in ("network", "training"):
            given = getattr(self, group) is not None
            if given != trained:
                raise ConfigError(
                    f"{group}= is set, but the method trains no network: choose one, such as "
                    "method=unetformer, which sets it."
                    if given
                    else f"The method trains a network, but {group}= is not set: choose a method "
                    "such as method=unetformer, which sets it."
                )

    @property
    def learns_from_truth(self) -> bool:
        """Whether the truth of the scenes to fit on goes into the method."""
        if isinstance(self.method, NetworkMethodSettings):
            return self.method.labels == "truth"
        mapsr = isinstance(self.method, MapSRSettings)
        return mapsr and isinstance(self.prompts, TruthPromptSettings)
