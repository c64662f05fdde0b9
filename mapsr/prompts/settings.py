"""Where class prompts come from."""

from dataclasses import dataclass

from mapsr.errors import ConfigError, require_choice, require_range
from mapsr.prompts.probe import ProbeSettings
from mapsr.settings import choice


@choice("prompts", "coarse")
@dataclass(frozen=True)
class CoarsePromptSettings:
    """Prompts from pixels on which a linear probe and the coarse product agree."""

    classes: str = "target"
    """What the probe learns: "target" classes, or the "product"'s own, mapped afterwards."""
    bias: bool = False
    """Give the probe a bias."""
    through: str = "pixels"
    """Train on a sample of pixel features ("pixels") or on all, through the "operator"."""
    pixels: int = 131072
    """Pixels sampled in all, evenly from the chips, with through=pixels."""
    epochs: int = 10
    """Passes over the sample, or over the chips."""
    batch: int = 1024
    """Pixels of a step, with through=pixels; through=operator takes a chip a step."""
    learning_rate: float = 1e-2
    """Of AdamW at the start; decays to zero."""
    weight_decay: float = 1e-2
    """Of AdamW."""
    chips: int | None = 512
    """Most chips to fit on, drawn evenly from all; null: all."""

    def __post_init__(self) -> None:
        require_choice(self.classes, ("target", "product"), "prompts.classes")
        require_choice(self.through, ("pixels", "operator"), "prompts.through")
        for name in ("pixels", "epochs", "batch"):
            require_range(getattr(self, name), f"prompts.{name}", low=1)
        require_range(self.learning_rate, "prompts.learning_rate", open_low=True)
        require_range(self.weight_decay, "prompts.weight_decay")
        if self.chips is not None:
            require_range(self.chips, "prompts.chips", low=1)

    @property
    def probe(self) -> ProbeSettings:
        """The part that the probe itself needs."""
        return ProbeSettings(
            self.bias, self.epochs, self.batch, self.learning_rate, self.weight_decay
        )


@choice("prompts", "truth")
@dataclass(frozen=True)
class TruthPromptSettings:
    """Prompts from the truth of a few scenes that are not scored; no probe is trained."""

    scenes: int | None = 1
    """How many of the scenes to fit on give their truth, in order; null: all."""
    chips: int | None = 512
    """Most chips to fit on, drawn evenly from all; null: all."""

    def __post_init__(self) -> None:
        for name in ("scenes", "chips"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"prompts.{name} is {value}, expected at least 1, or null.")


PromptSettings = CoarsePromptSettings | TruthPromptSettings
