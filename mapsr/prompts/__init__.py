"""Class prompts: the linear probe or EM that finds them, the product as a prior, their file."""

from mapsr.prompts.em import EmFit, EmPromptSettings, fit_em
from mapsr.prompts.file import PromptFile, load_prompts, save_prompts
from mapsr.prompts.observations import FactoredPixels, SampledPixels
from mapsr.prompts.prior import (
    PriorSettings,
    class_shares,
    log_prior,
    posterior,
    product_doubt,
    renormalised,
)
from mapsr.prompts.probe import LinearProbe, PixelSample, ProbeSettings, train_probe
from mapsr.prompts.prompts import ClassPrompts, PromptState
from mapsr.prompts.settings import CoarsePromptSettings, PromptSettings, TruthPromptSettings

__all__ = [
    "ClassPrompts",
    "CoarsePromptSettings",
    "EmFit",
    "EmPromptSettings",
    "FactoredPixels",
    "LinearProbe",
    "PixelSample",
    "PriorSettings",
    "ProbeSettings",
    "PromptFile",
    "PromptSettings",
    "PromptState",
    "SampledPixels",
    "TruthPromptSettings",
    "class_shares",
    "fit_em",
    "load_prompts",
    "log_prior",
    "posterior",
    "product_doubt",
    "renormalised",
    "save_prompts",
    "train_probe",
]
