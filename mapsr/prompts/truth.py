"""Class prompts from the truth of a few scenes."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from mapsr.errors import ConfigError
from mapsr.prompts.fitting import Material, PromptFit
from mapsr.prompts.prompts import ClassPrompts, PromptState, check_prompts
from mapsr.settings import choice


@choice("prompts", "truth")
@dataclass(frozen=True)
class TruthPromptSettings:
    """Prompts from the truth of a few scenes that are not scored; no probe is trained."""

    scenes: int | None = 1
    """How many of the scenes to fit on give their truth; null: all. The seed says which, since that
    is all that chance decides here."""
    chips: int | None = 512
    """Most chips to fit on, drawn evenly from all; null: all."""

    learns_from: ClassVar[str] = "truth"
    sampled: ClassVar[int] = 0

    def __post_init__(self) -> None:
        for name in ("scenes", "chips"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"prompts.{name} is {value}, expected at least 1, or null.")

    def fit(self, material: Material) -> PromptFit:
        """Average the features of each class's pixels.

        Source: MapSR, equations (6) and (7), with truth in place of agreement.
        """
        state = PromptState(len(material.names), material.dim, material.device)
        with material.watch("prompts"), torch.no_grad():
            for features, labels in material.batches("truth", "prompts"):
                state.update(features, labels)
        prompts = ClassPrompts(*state.compute())
        check_prompts(prompts, material.names, "truth")
        return PromptFit(prompts, facts={"truth_scenes": list(material.scenes)})
