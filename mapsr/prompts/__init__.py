"""Class prompts: ways of making them, the linear probe that finds them, and their averages."""

from mapsr.prompts.coarse import CoarsePromptSettings
from mapsr.prompts.fitting import Material, PromptFit, PromptSettings
from mapsr.prompts.probe import LinearProbe, PixelSample, ProbeSettings, train_probe
from mapsr.prompts.prompts import ClassPrompts, PromptState
from mapsr.prompts.truth import TruthPromptSettings

__all__ = [
    "ClassPrompts",
    "CoarsePromptSettings",
    "LinearProbe",
    "Material",
    "PixelSample",
    "ProbeSettings",
    "PromptFit",
    "PromptSettings",
    "PromptState",
    "TruthPromptSettings",
    "train_probe",
]
