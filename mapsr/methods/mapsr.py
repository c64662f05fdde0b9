"""MapSR: class prompts from coarse labels, cosine inference, refinement over a graph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mapsr.data import Chip
from mapsr.errors import FittedError, PromptError
from mapsr.legends import Crosswalk, Legend
from mapsr.methods.ahead import chips_ahead
from mapsr.methods.extractor import FeatureExtractor, build_extractor
from mapsr.methods.material import ChipMaterial
from mapsr.methods.method import FitWork, ImageFacts, Method, State, Task
from mapsr.methods.parts import MethodParts, Runtime
from mapsr.methods.product_calibration import product_calibration
from mapsr.methods.prompt_state import prior_of, probe_of, prompts_of
from mapsr.methods.said import mapping
from mapsr.methods.speed import cosines
from mapsr.processors import one_thread
from mapsr.progress import Progress
from mapsr.prompts import (
    ClassPrompts,
    LinearProbe,
    PriorSettings,
    ProductPrior,
    PromptSettings,
    renormalised,
)
from mapsr.refine import RefineSettings, refine
from mapsr.settings import Plain, choice, kind_of


@choice("method", "mapsr")
@dataclass(frozen=True)
class MapSRSettings:
    """MapSR: prompts, upsampler, backbone and refinement have groups of their own."""

    adjustable: ClassVar[tuple[str, ...]] = ("refine", "prior", "speed")

    @property
    def uses(self) -> tuple[str, ...]:
        """Groups and keys that results depend on."""
        parts = ("backbone", "upsampler", "prompts", "prior", "refine", "speed")
        return (*parts, "compute.precision")

    def learns_from(self, parts: MethodParts) -> str:
        """The labels that the prompts are made from."""
        return parts.prompts.learns_from if parts.prompts else "coarse"

    def build(self, parts: MethodParts, runtime: Runtime, target: Legend) -> "MapSR":
        """Build encoder and upsampler.

        Raises:
            WeightsError: weights are absent, damaged or of another architecture.
        """
        assert parts.refine is not None, "a group that the method uses is there"
        extractor = build_extractor(parts, runtime)
        refine = parts.speed.eased(parts.refine) if parts.speed else parts.refine
        return MapSR(extractor, refine, target.names, parts.prompts, runtime, parts.prior)


class MapSR(Method):
    """The method: fit prompts once, then score any chip without training.

    Attributes:
        prompts: class prompts once fitted or loaded.
        probe: the linear probe; None where none was trained for the prompts.
        prior: what the fit knows of the product; None where it has no say.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        refine_settings: RefineSettings,
        class_names: Sequence[str],
        prompt_settings: PromptSettings | None = None,
        runtime: Runtime | None = None,
        prior_settings: PriorSettings | None = None,
    ) -> None:
        """Make it without prompts.

        Args:
            extractor: gives pixel features.
            refine_settings: how scores are refined.
            class_names: of the C target classes.
            prompt_settings: how ``fit`` makes prompts; None where they are loaded.
            runtime: where it computes; None: where the extractor does.
            prior_settings: whether the product has a say where a map is made; None: it has none.
        """
        self.extractor = extractor
        self.refine_settings = refine_settings
        self.class_names = tuple(class_names)
        self.prompt_settings = prompt_settings
        self.runtime = runtime or Runtime(extractor.device, watch=extractor.watch)
        self.prompts: ClassPrompts | None = None
        self.probe: LinearProbe | None = None
        self.prior_settings = prior_settings
        self.prior: ProductPrior | None = None
        self._facts: Plain = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """The map's scores, and the probe's where there is one."""
        return ("map", "probe") if self.probe else ("map",)

    @property
    def trained_parameters(self) -> int:
        """Parameters that training changed: the probe's."""
        return self.probe.trained_parameters if self.probe else 0

    @property
    def weights(self) -> dict[str, dict[str, str] | None]:
        """Of encoder and upsampler."""
        return self.extractor.weights

    @property
    def features_from(self) -> FeatureExtractor:
        """What gives it pixel features."""
        return self.extractor

    def fit(self, task: Task) -> None:
        """Fit the prompts as the settings say.

        Raises:
            PromptError: no labelled pixel, or fewer than two classes with prompts.
            DataError: a scene has not the labels that the prompts are to come from.
        """
        settings = self.prompt_settings
        if settings is None:
            raise RuntimeError("a method without prompt settings loads its prompts")
        chips = task.chips(settings.chips, task.drawn(settings.scenes))
        self.fit_chips(
            chips,
            task.coarse,
            task.seed,
            task.progress,
            task.soft,
            lambda count: task.chips(None, task.drawn(count)),
        )

    def fit_chips(
        self,
        chips: Sequence[Chip],
        coarse: Crosswalk,
        seed: int,
        progress: Progress,
        soft: str = "definition",
        recut: Callable[[int], Sequence[Chip]] | None = None,
    ) -> None:
        """Fit the prompts on chips, read one by one; see ``fit``."""
        assert self.prompt_settings is not None, "asked by fit"
        runtime, ahead = self.runtime, chips_ahead(self.runtime.device)
        material = ChipMaterial(
            self.extractor, chips, coarse, runtime, seed, progress, soft, recut, ahead
        )
        with one_thread():  # steps of probe and EM are as short as those of a chip
            fitted = self.prompt_settings.fit(material)
        self.prompts, self.probe, self._facts = fitted.prompts, fitted.probe, fitted.facts
        if self.prior_settings is not None and self.prior_settings.gives_probabilities:
            shares = torch.from_numpy(material.soft.shares)
            self.prior = self.prior_settings.learned(shares, material.area())
            self._facts = self._facts | material.soft.facts
            if self.prior is not None and fitted.unseen is not None:
                found = product_calibration(fitted.unseen, self.prior)
                self._facts = self._facts | {"product_calibration": found}

    def state(self) -> State:
        """Prompts, and the probe where there is one.

        Raises:
            PromptError: there are no prompts yet.
        """
        prompts, probe = self._fitted(), self.probe
        tensors = {"vectors": prompts.vectors, "counts": prompts.counts}
        facts: Plain = {"fit": self._facts}
        if probe is not None:
            tensors["probe.weight"] = probe.weight.detach().cpu()
            if probe.bias is not None:
                tensors["probe.bias"] = probe.bias.detach().cpu()
            facts["probe"] = {"table": list(probe.table), "scale": probe.scale}
        if self.prior is not None:
            tensors |= {"prior.shares": self.prior.shares, "prior.area": self.prior.area}
        return State(tensors, facts)

    def load(self, state: State) -> None:
        """Take prompts, and the probe where there is one.

        Raises:
            FittedError: they are not whole, or have another length than the encoder's tokens.
        """
        self.use(prompts_of(state, len(self.class_names)))
        try:
            self._facts = mapping(state.facts.get("fit") or {}, "facts.fit")
        except ValueError as error:
            raise FittedError(f"What the file says of its fit is not whole: {error}.") from error
        self.probe = probe_of(state, len(self.class_names))
        if self.probe is not None and self.probe.weight.shape[1] != self.extractor.encoder.dim:
            raise FittedError(
                f"The probe has {self.probe.weight.shape[1]} channels, the encoder "
                f"{self.extractor.encoder.dim}: they belong to another backbone."
            )
        if self.probe is not None:
            self.probe.to(self.extractor.device).requires_grad_(False)
        if self.prior_settings is not None and self.prior_settings.gives_probabilities:
            self.prior = prior_of(state, len(self.class_names), self.prior_settings)

    def use(self, prompts: ClassPrompts) -> None:
        """Take prompts that were fitted elsewhere.

        Raises:
            FittedError: they have another length than the encoder's tokens.
        """
        if prompts.vectors.shape[1] != self.extractor.encoder.dim:
            raise FittedError(
                f"The prompts have {prompts.vectors.shape[1]} channels, the encoder "
                f"{self.extractor.encoder.dim}: they belong to another backbone."
            )
        self.prompts = prompts

    def settle(self) -> None:
        """Give up the features that were kept for the fit."""
        self.extractor.forget()

    @torch.no_grad()
    def score(self, chips: Sequence[Chip], layers: Sequence[str] = ("map",)) -> dict[str, Tensor]:
        """Score chips of one size.

        Returns:
            "map": (B, C, H, W) refined cosine to each prompt, -inf for a class without one; with
                ``prior``, probabilities;
            "probe": (B, C, H, W) its probabilities.

        Source: MapSR, equations (8) to (13).
        """
        prompts = self._fitted()
        features = self.extractor(chips, remember=False)  # scored once
        height, width = chips[0].valid.shape
        image = torch.stack([chip.image for chip in chips])
        valid = torch.stack([chip.valid for chip in chips])
        with self.runtime.watch("score"):
            found = cosines(prompts, features, lambda: self._padded(image), self.refine_settings)
            found = found[..., :height, :width]
            if self.prior is not None:
                found = self.prior.posterior(found, prompts, *_products_of(chips))
        with self.runtime.watch("refine"):
            refined = refine(features, found, image, valid, self.refine_settings)
        refined = renormalised(refined) if self.prior else prompts.expand(refined)
        scores = {"map": refined}
        if "probe" in layers and self.probe is not None:
            scores["probe"] = self.probe.scores(features)[..., :height, :width].softmax(1)
        return scores

    def facts(self) -> Plain:
        """Where the prompts came from, and how many pixels stand behind each."""
        counts = self.prompts.counts.tolist() if self.prompts else []
        return {
            "prompts_from": kind_of(self.prompt_settings) if self.prompt_settings else "file",
            "prompt_pixels": dict(zip(self.class_names, counts, strict=bool(counts))),
            "cache": self.extractor.cache_facts(),
            "speed": self.extractor.pace.facts(),
            **self._facts,
        }

    def stand_in(self, coarse: Crosswalk, image: ImageFacts) -> None:
        """Take random prompts of length one."""
        generator = torch.Generator().manual_seed(0)
        size = len(self.class_names), self.extractor.encoder.dim
        vectors = torch.nn.functional.normalize(torch.randn(*size, generator=generator))
        self.use(ClassPrompts(vectors, torch.ones(size[0], dtype=torch.int64)))

    def work(self, chips: int) -> FitWork:
        """Two passes over the chips, of which the second finds the features that were kept."""
        settings = self.prompt_settings
        if settings is None:
            return FitWork(0, 0)
        count = chips if settings.chips is None else min(chips, settings.chips)
        # floats of the sample, once in parts and once as a whole
        sample = 8 * self.extractor.encoder.dim * settings.sampled / (1 << 20)
        return FitWork(count, 2, sample, "prompts")

    def _padded(self, image: Tensor) -> Tensor:
        return self.extractor.pad(image.to(self.extractor.device))

    def _fitted(self) -> ClassPrompts:
        if self.prompts is None:
            raise PromptError("There are no prompts yet: fit them, or load them from a run.")
        return self.prompts


def _products_of(chips: Sequence[Chip]) -> tuple[Tensor | None, tuple[float, float] | None]:
    """Products of chips of one raster, (B, H, W), and the span of a cell; None without one."""
    planes = [chip.coarse for chip in chips if chip.coarse is not None and chip.cell]
    if len(planes) < len(chips):
        return None, None
    return torch.stack(planes), chips[0].cell
