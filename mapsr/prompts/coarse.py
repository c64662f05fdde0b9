"""Class prompts from coarse labels, which a linear probe has to agree with."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from mapsr.errors import require_choice, require_range
from mapsr.extras import require_extra
from mapsr.legends import NODATA
from mapsr.prompts.fitting import Batch, Material, PromptFit
from mapsr.prompts.probe import LinearProbe, PixelSample, ProbeSettings, train_probe
from mapsr.prompts.prompts import ClassPrompts, PromptState, agreement, check_prompts
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

    prompt_scenes: int | None = None
    """How many of the scenes to fit on the prompts themselves come from, by all of their chips,
    while the probe learns from all; the seed says which. null: the probe's chips. 1 is the released
    code's, whatever state is mapped."""

    learns_from: ClassVar[str] = "coarse"
    scenes: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        require_choice(self.classes, ("target", "product"), "prompts.classes")
        require_choice(self.through, ("pixels", "operator"), "prompts.through")
        for name in ("pixels", "epochs", "batch"):
            require_range(getattr(self, name), f"prompts.{name}", low=1)
        require_range(self.learning_rate, "prompts.learning_rate", open_low=True)
        require_range(self.weight_decay, "prompts.weight_decay")
        for name in ("chips", "prompt_scenes"):
            if getattr(self, name) is not None:
                require_range(getattr(self, name), f"prompts.{name}", low=1)

    @property
    def sampled(self) -> int:
        """Pixels whose features are held at once."""
        return self.pixels if self.through == "pixels" else 0

    @property
    def probe(self) -> ProbeSettings:
        """The part that the probe itself needs."""
        return ProbeSettings(
            self.bias, self.epochs, self.batch, self.learning_rate, self.weight_decay
        )

    def fit(self, material: Material) -> PromptFit:
        """Train the probe, and average the features of the pixels on which it agrees.

        Source: MapSR, equations (5) to (7).
        """
        require_extra("lightning", "The probe of these prompts", "choose method=mapsr_em")
        probe = self._trained(material)
        few = self.prompt_scenes
        part = material if few is None else material.of_scenes(few)
        state = PromptState(len(material.names), material.dim, material.device)
        with material.watch("prompts"), torch.no_grad():
            for features, labels in part.batches("target", "prompts"):
                state.update(features, agreement(probe.scores(features), labels))
        prompts = ClassPrompts(*state.compute())
        check_prompts(prompts, material.names, "pixels on which probe and coarse product agree")
        facts = {} if few is None else {"prompt_scenes": list(part.scenes)}
        return PromptFit(prompts, probe, facts=facts)

    def _trained(self, material: Material) -> LinearProbe:
        """Train a probe on a sample of pixels, or on all of them through the operator."""
        count = len(material.names)
        labels, table = "target", tuple(range(count))
        if self.classes == "product":
            labels, table = "product", material.table
        sample: PixelSample | EveryPixel
        if self.through == "pixels":
            drawn = material.sample(self.pixels, labels)
            sample = PixelSample(drawn.features, drawn.labels, self.batch, material.seed)
            typical = sample.features
        else:
            sample = EveryPixel(material, labels)
            typical = next(material.batches(labels, "features"))[0].tokens
        scale = float(typical.square().mean().sqrt())
        probe = LinearProbe(material.dim, table, count, scale, self.probe)
        with material.watch("probe"):
            kinds = material.device.type, material.precision
            train_probe(probe, sample, *kinds, material.progress)
        return probe.to(material.device)


class EveryPixel:
    """All labelled pixels of chips: batches for a probe, one a chip, read in each pass."""

    def __init__(self, material: Material, labels: str) -> None:
        self.material = material
        self.labels = labels

    def __len__(self) -> int:
        return len(self.material)

    def __iter__(self) -> Iterator[Batch]:
        for features, labels in self.material.batches(self.labels, "probe"):
            for part in range(len(labels)):
                if (labels[part] != NODATA).any():
                    yield features.select(part), labels[part : part + 1]
