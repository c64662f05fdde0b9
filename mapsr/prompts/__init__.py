"""Class prompts: the linear probe that finds them, their averages, and their file."""

from mapsr.prompts.file import PromptFile, load_prompts, save_prompts
from mapsr.prompts.probe import LinearProbe, PixelSample, ProbeSettings, train_probe
from mapsr.prompts.prompts import ClassPrompts, PromptState
from mapsr.prompts.settings import CoarsePromptSettings, PromptSettings, TruthPromptSettings

__all__ = [
    "ClassPrompts",
    "CoarsePromptSettings",
    "LinearProbe",
    "PixelSample",
    "ProbeSettings",
    "PromptFile",
    "PromptSettings",
    "PromptState",
    "TruthPromptSettings",
    "load_prompts",
    "save_prompts",
    "train_probe",
]
