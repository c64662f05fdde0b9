"""Class prompts: ways of making them, the linear probe that finds them, the product as a prior."""

from mapsr.prompts.coarse import CoarsePromptSettings
from mapsr.prompts.em import EmFit, EmPromptSettings, fit_em, log_shares
from mapsr.prompts.fitting import Material, PromptFit, PromptSettings, Sample, Unseen
from mapsr.prompts.observations import FactoredPixels, SampledPixels
from mapsr.prompts.prior import (
    NoPriorSettings,
    PriorSettings,
    ProductPrior,
    ProductPriorSettings,
    class_shares,
    log_prior,
    posterior,
    renormalised,
)
from mapsr.prompts.probe import LinearProbe, PixelSample, ProbeSettings, train_probe
from mapsr.prompts.prompts import ClassPrompts, PromptState
from mapsr.prompts.truth import TruthPromptSettings

__all__ = [
    "ClassPrompts",
    "CoarsePromptSettings",
    "EmFit",
    "EmPromptSettings",
    "FactoredPixels",
    "LinearProbe",
    "Material",
    "NoPriorSettings",
    "PixelSample",
    "PriorSettings",
    "ProbeSettings",
    "ProductPrior",
    "ProductPriorSettings",
    "PromptFit",
    "PromptSettings",
    "PromptState",
    "Sample",
    "SampledPixels",
    "TruthPromptSettings",
    "Unseen",
    "class_shares",
    "fit_em",
    "log_prior",
    "log_shares",
    "posterior",
    "renormalised",
    "train_probe",
]
