"""What fitting a method and mapping with it take, whatever the command."""

from dataclasses import dataclass

import torch

from mapsr.errors import require_range
from mapsr.features.cache import CacheSettings
from mapsr.geo import WindowSettings
from mapsr.legends import LegendSettings
from mapsr.mapping.engines import EngineSettings
from mapsr.methods import ComputeSettings, MethodParts, Runtime
from mapsr.progress import Watch, unwatched
from mapsr.settings import aside, group


@dataclass(frozen=True, kw_only=True)
class WorkSettings(MethodParts):
    """A method, the chips that it works with, and where the work is done."""

    windows: WindowSettings = group()
    compute: ComputeSettings = group()
    engine: EngineSettings = group()
    cache: CacheSettings = group()
    seed: int = 0
    """Of every random choice; other seeds show how much depends on chance."""
    weights_folder: str | None = aside(None)
    """Folder searched for weights before all others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self.seed, "seed")

    def runtime(self, watch: Watch = unwatched, device: torch.device | None = None) -> Runtime:
        """Where methods compute.

        Raises:
            ConfigError: this machine does not have the device.
        """
        compute = self.compute
        return Runtime(
            device or compute.find(),
            self.weights_folder,
            compute.precision,
            compute.batch,
            compute.memory_mib,
            self.cache,
            watch,
            compute.compile,
        )


@dataclass(frozen=True, kw_only=True)
class FitAndMapSettings(WorkSettings):
    """A method and its work, with the legends that its labels come from."""

    legend: LegendSettings = group()
