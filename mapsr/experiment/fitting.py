"""From settings to methods: those that are to be fitted, and those that were."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from mapsr.data import Scene, SceneSource
from mapsr.errors import PromptError
from mapsr.experiment.assemble import ChipSequence, Legends, fit_chips
from mapsr.experiment.settings import MethodSettings, RunSettings
from mapsr.features import TextureSettings, ViTSettings
from mapsr.features.cache import TokenCache
from mapsr.features.cached import CachedEncoder
from mapsr.geo import ImageInfo
from mapsr.mapping import WindowSettings
from mapsr.methods import FeatureExtractor, MapSR, Method
from mapsr.methods.kmeans import KMeansSettings, KMeansVoting
from mapsr.methods.mapsr import MapSRSettings
from mapsr.methods.network import NetworkMethod, NetworkMethodSettings
from mapsr.progress import Watch, unwatched
from mapsr.prompts import PromptFile
from mapsr.refine import RefineSettings
from mapsr.upsample import (
    AnyUpSettings,
    BilateralSettings,
    BilinearSettings,
    JafarSettings,
    NearestSettings,
)

Plain = Mapping[str, object]


def build_extractor(
    settings: MethodSettings,
    weights_folder: str | None,
    watch: Watch = unwatched,
    cache: TokenCache | None = None,
) -> FeatureExtractor:
    """Build encoder and upsampler.

    Args:
        settings: of the method.
        weights_folder: searched for weights before all others.
        watch: times the stages.
        cache: where tokens are looked for before they are computed.

    Raises:
        WeightsError: weights are absent, damaged or of another architecture.
    """
    encoder = settings.backbone.build(weights_folder)
    return FeatureExtractor(
        encoder,
        settings.upsampler.build(weights_folder),
        settings.trainer.device,
        settings.engine.memory_mib,
        watch,
        None if cache is None else CachedEncoder(encoder, asdict(settings.backbone), cache),
    )


def build_method(
    settings: RunSettings, legends: Legends, watch: Watch, cache: TokenCache | None
) -> Method:
    """Build the method of a run.

    Raises:
        WeightsError: weights are absent, damaged or of another architecture.
    """
    method = settings.method
    if isinstance(method, NetworkMethodSettings):
        if settings.network is None or settings.training is None:
            raise RuntimeError("the settings are checked when they are made")
        released = settings.recipe == "released"
        return NetworkMethod(
            settings.network, settings.training, method, released, settings.weights_folder
        )
    needs = isinstance(method, MapSRSettings) or method.features == "encoder"
    folder = settings.weights_folder
    extractor = build_extractor(settings, folder, watch, cache) if needs else None
    if isinstance(method, KMeansSettings):
        return KMeansVoting(method, extractor)
    if extractor is None:
        raise RuntimeError("MapSR has an extractor")
    return MapSR(
        extractor,
        settings.refine,
        legends.target.names,
        settings.prompts,
        batch=settings.engine.batch,
        watch=watch,
    )


def cutter(
    source: SceneSource, windows: WindowSettings
) -> Callable[[Sequence[Scene], int | None], ChipSequence]:
    """Give `Task.cut`: scenes to chips of the windows' size."""
    return lambda scenes, most: fit_chips(source, scenes, windows, most)


def settings_kept(config: Plain, scale: float, info: ImageInfo, bands: int) -> dict[str, object]:
    """What applying a method elsewhere must know; see `Task.settings`.

    Args:
        config: the configuration as plain containers, by group.
        scale: raw image value that becomes 1.
        info: of one of the images.
        bands: how many of their bands are read.
    """
    kept = ("backbone", "upsampler", "refine", "windows")
    image = {"scale": scale, "bands": bands, "dtype": info.dtype}
    return {key: config[key] for key in kept} | {"image": image}


@dataclass(frozen=True)
class Applied:
    """All that is needed to build a fitted method, here or in another process.

    Attributes:
        file: the prompts, and what weights they were fitted with.
        backbone: of the prompts.
        upsampler: of the prompts.
        refine: how scores are refined.
        weights_folder: searched for weights before all others.
    """

    file: PromptFile
    backbone: ViTSettings | TextureSettings
    upsampler: (
        AnyUpSettings | JafarSettings | BilateralSettings | BilinearSettings | NearestSettings
    )
    refine: RefineSettings
    weights_folder: str | None = None

    def build(self, device: torch.device) -> MapSR:
        """Build the method on a device.

        Raises:
            WeightsError: weights are absent or damaged.
            PromptError: the weights found here are not those of the prompts, or the prompts don't
                fit the encoder.
        """
        encoder = self.backbone.build(self.weights_folder)
        upsampler = self.upsampler.build(self.weights_folder)
        for name, weights in (("backbone", encoder.weights), ("upsampler", upsampler.weights)):
            if weights != self.file.weights[name]:
                raise PromptError(
                    f"The {name}'s weights here ({weights}) are not those that the prompts were "
                    f"fitted with ({self.file.weights[name]}): fit them again, or fetch those "
                    "weights."
                )
        # every chip is seen once, so there is nothing to remember
        extractor = FeatureExtractor(encoder, upsampler, device, memory_mib=0)
        method = MapSR(extractor, self.refine, self.file.target.names)
        method.use(self.file.prompts)
        return method
