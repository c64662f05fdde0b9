"""Fit a method's prompts, and keep them with all that is needed to apply them elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from mapsr.data import Scene, SceneSource
from mapsr.errors import PromptError
from mapsr.experiment.assemble import Legends, fit_chips
from mapsr.experiment.settings import MethodSettings
from mapsr.features import TextureSettings, ViTSettings
from mapsr.features.cache import TokenCache
from mapsr.features.cached import CachedEncoder
from mapsr.geo import image_info
from mapsr.methods import FeatureExtractor, MapSR
from mapsr.progress import Watch, unwatched
from mapsr.prompts import PromptFile, TruthPromptSettings
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


def fit(
    method: MapSR,
    settings: MethodSettings,
    source: SceneSource,
    scenes: Sequence[Scene],
    legends: Legends,
) -> None:
    """Fit the method's prompts as the settings say.

    Raises:
        PromptError: no labelled pixel, or fewer than two classes with prompts.
    """
    prompts = settings.prompts
    if isinstance(prompts, TruthPromptSettings):
        chips = fit_chips(source, scenes[: prompts.scenes], settings.windows, prompts.chips)
        method.fit_truth(chips)
        return
    chips = fit_chips(source, scenes, settings.windows, prompts.chips)
    trainer = settings.trainer
    method.fit_coarse(chips, legends.coarse, prompts, trainer.device.type, trainer.precision)


def image_facts(scenes: Sequence[Scene], scale: float, bands: int | None) -> dict[str, object]:
    """What prompts need to know of the images that they were fitted on."""
    info = image_info(scenes[0].image)
    return {"scale": scale, "bands": bands or info.bands, "dtype": info.dtype}


def prompt_file(
    method: MapSR, settings: MethodSettings, config: Plain, legends: Legends, image: Plain
) -> PromptFile:
    """Gather what the prompts need to be applied elsewhere.

    Args:
        method: fitted.
        settings: of the method.
        config: the same as plain containers, by group.
        legends: that the labels went through.
        image: see ``image_facts``.
    """
    if method.prompts is None:
        raise RuntimeError("the prompts are fitted before they are saved")
    kept = ("backbone", "upsampler", "refine", "windows")
    return PromptFile(
        prompts=method.prompts,
        legend=asdict(legends.target) | {"nodata": sorted(legends.target.nodata)},
        settings={key: config[key] for key in kept} | {"image": dict(image)},
        weights={
            "backbone": method.extractor.encoder.weights,
            "upsampler": method.extractor.upsampler.weights,
        },
        crosswalk=settings.legend.crosswalk,
    )


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
