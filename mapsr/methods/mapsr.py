"""MapSR: class prompts from coarse labels, cosine inference, refinement over a graph."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from mapsr.data import Chip
from mapsr.errors import PromptError
from mapsr.legends import Crosswalk
from mapsr.methods.extractor import FeatureExtractor, batches
from mapsr.methods.labels import (
    ChipLabels,
    coarse_labels,
    padded,
    sample_pixels,
    truth_labels,
)
from mapsr.methods.method import Method, Task
from mapsr.progress import Progress, Quiet, Watch, unwatched
from mapsr.prompts import (
    ClassPrompts,
    CoarsePromptSettings,
    LinearProbe,
    PixelSample,
    PromptFile,
    PromptSettings,
    PromptState,
    TruthPromptSettings,
    save_prompts,
    train_probe,
)
from mapsr.prompts.prompts import agreement, check_prompts
from mapsr.refine import RefineSettings, refine
from mapsr.settings import choice, kind_of

FILE = "prompts.safetensors"


@choice("method", "mapsr")
@dataclass(frozen=True)
class MapSRSettings:
    """MapSR: prompts, upsampler, backbone and refinement have groups of their own."""


class MapSR(Method):
    """The method: fit prompts once, then score any chip without training.

    Attributes:
        prompts: class prompts once fitted or given.
        probe: the linear probe, None where prompts came from truth or from a file.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        refine_settings: RefineSettings,
        class_names: Sequence[str],
        prompt_settings: PromptSettings | None = None,
        *,
        batch: int = 1,
        watch: Watch = unwatched,
    ) -> None:
        """Make it without prompts.

        Args:
            extractor: gives pixel features.
            refine_settings: how scores are refined.
            class_names: of the C target classes.
            prompt_settings: how ``fit`` makes prompts; None where they are given by ``use``.
            batch: most chips that go through the encoder at once while fitting.
            watch: times the stages.
        """
        self.extractor = extractor
        self.refine_settings = refine_settings
        self.class_names = tuple(class_names)
        self.prompt_settings = prompt_settings
        self.batch = batch
        self.watch = watch
        self.prompts: ClassPrompts | None = None
        self.probe: LinearProbe | None = None
        self._task: Task | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The map's scores, and the probe's where there is one."""
        return ("map", "probe") if self.probe else ("map",)

    @property
    def trained_parameters(self) -> int:
        """Parameters that training changed: the probe's."""
        return self.probe.trained_parameters if self.probe else 0

    @property
    def weights(self) -> list[dict[str, str]]:
        """Of encoder and upsampler."""
        found = (self.extractor.encoder.weights, self.extractor.upsampler.weights)
        return [one for one in found if one]

    def fit(self, task: Task) -> None:
        """Fit the prompts as the settings say.

        Raises:
            PromptError: no labelled pixel, or fewer than two classes with prompts.
            DataError: a scene has not the labels that the prompts are to come from.
        """
        settings = self.prompt_settings
        if settings is None:
            raise RuntimeError("a method without prompt settings is given its prompts")
        self._task = task
        if isinstance(settings, TruthPromptSettings):
            chips = task.cut(task.scenes[: settings.scenes], settings.chips)
            self.fit_truth(chips, task.progress)
            return
        self.fit_coarse(
            task.cut(task.scenes, settings.chips),
            task.coarse,
            settings,
            accelerator=task.device.type,
            precision=task.precision,
            seed=task.seed,
            progress=task.progress,
        )

    def fit_coarse(
        self,
        chips: Sequence[Chip],
        crosswalk: Crosswalk,
        settings: CoarsePromptSettings,
        *,
        accelerator: str = "cpu",
        precision: str = "32-true",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Fit prompts on the coarse labels of chips.

        Args:
            chips: with coarse labels; read one by one, twice.
            crosswalk: from the product to the target classes.
            settings: of the probe.
            accelerator: Lightning's name of where the probe is trained.
            precision: Lightning's name of how the probe is trained.
            seed: of the pixels that are drawn, and of their order.
            progress: shows the work.

        Raises:
            PromptError: no labelled pixel, or fewer than two classes with agreeing pixels.
        """
        if settings.classes == "product":
            learned, table = tuple(range(len(crosswalk.source))), crosswalk.table
        else:
            learned, table = crosswalk.table, tuple(range(len(self.class_names)))
        sample: PixelSample | ChipLabels
        if settings.through == "pixels":
            batched = self._batches(chips, "features", progress or Quiet())
            share = -(-settings.pixels // len(chips))
            sample = PixelSample(
                *sample_pixels(self.extractor, batched, learned, share, seed), settings.batch, seed
            )
            typical = sample.features
        else:
            sample = ChipLabels(self.extractor, chips, learned)
            typical = self.extractor([chips[0]]).tokens
        scale = float(typical.square().mean().sqrt())
        self.probe = LinearProbe(
            self.extractor.encoder.dim, table, len(self.class_names), scale, settings.probe
        )
        with self.watch("probe"):
            train_probe(self.probe, sample, accelerator, precision)
        self.probe.to(self.extractor.device)
        self._average(chips, crosswalk, progress or Quiet())

    def fit_truth(self, chips: Sequence[Chip], progress: Progress | None = None) -> None:
        """Fit prompts on the truth of chips: the mean feature of each class's pixels.

        Raises:
            PromptError: fewer than two classes have pixels.
        """
        state = self._state()
        with self.watch("prompts"):
            for batch in self._batches(chips, "prompts", progress or Quiet()):
                features = self.extractor(batch)
                truth = torch.stack([truth_labels(chip) for chip in batch])
                state.update(features, padded(truth, features))
        self._take(state, "truth")

    def use(self, prompts: ClassPrompts) -> None:
        """Take prompts that were fitted elsewhere.

        Raises:
            PromptError: they have another length than the encoder's tokens.
        """
        if prompts.vectors.shape[1] != self.extractor.encoder.dim:
            raise PromptError(
                f"The prompts have {prompts.vectors.shape[1]} channels, the encoder "
                f"{self.extractor.encoder.dim}: they belong to another backbone."
            )
        self.prompts = prompts

    @torch.no_grad()
    def score(self, chips: Sequence[Chip]) -> dict[str, Tensor]:
        """Score chips of one size.

        Returns:
            "map": (B, C, H, W) refined cosine to each prompt, -inf for a class without one; where
            there is a probe, "probe": (B, C, H, W) its probabilities.
        """
        if self.prompts is None:
            raise PromptError("There are no prompts yet: fit them, or load them from a run.")
        features = self.extractor(chips, remember=False)  # scored once
        height, width = chips[0].valid.shape
        image = torch.stack([chip.image for chip in chips])
        valid = torch.stack([chip.valid for chip in chips])
        with self.watch("score"):
            cosine = self.prompts.cosine(features)[..., :height, :width]
        with self.watch("refine"):
            refined = refine(features, cosine, image, valid, self.refine_settings)
        layers = {"map": self.prompts.expand(refined)}
        if self.probe is not None:
            layers["probe"] = self.probe.scores(features)[..., :height, :width].softmax(1)
        return layers

    def facts(self) -> dict[str, object]:
        """Where the prompts came from, and how many pixels stand behind each."""
        counts = self.prompts.counts.tolist() if self.prompts else []
        cached = self.extractor.cached
        return {
            "prompts_from": kind_of(self.prompt_settings) if self.prompt_settings else "file",
            "prompt_pixels": dict(zip(self.class_names, counts, strict=bool(counts))),
            "cache": cached.cache.facts() if cached else None,
        }

    def prompt_file(self) -> PromptFile:
        """The prompts with all that is needed to apply them elsewhere."""
        if self.prompts is None or self._task is None:
            raise RuntimeError("the prompts are fitted before they are kept")
        target = self._task.coarse.target
        return PromptFile(
            prompts=self.prompts,
            legend=asdict(target) | {"nodata": sorted(target.nodata)},
            settings=dict(self._task.settings),
            weights={
                "backbone": self.extractor.encoder.weights,
                "upsampler": self.extractor.upsampler.weights,
            },
            crosswalk=self._task.coarse.name,
        )

    def save(self, folder: Path) -> None:
        """Write the prompt file."""
        save_prompts(folder / FILE, self.prompt_file())

    @torch.no_grad()
    def _average(self, chips: Sequence[Chip], crosswalk: Crosswalk, progress: Progress) -> None:
        if self.probe is None:
            raise PromptError("The probe comes before the prompts.")
        state = self._state()
        with self.watch("prompts"):
            for batch in self._batches(chips, "prompts", progress):
                features = self.extractor(batch)
                coarse = torch.stack([coarse_labels(chip, crosswalk.table) for chip in batch])
                labels = padded(coarse, features)
                state.update(features, agreement(self.probe.scores(features), labels))
        self._take(state, "pixels on which probe and coarse product agree")

    def _take(self, state: PromptState, source: str) -> None:
        prompts = ClassPrompts(*state.compute())
        check_prompts(prompts, self.class_names, source)
        self.prompts = prompts

    def _state(self) -> PromptState:
        state = PromptState(len(self.class_names), self.extractor.encoder.dim)
        return state.to(self.extractor.device)

    def _batches(
        self, chips: Sequence[Chip], what: str, progress: Progress
    ) -> Iterator[list[Chip]]:
        return batches(progress.track(chips, what, len(chips)), self.batch)
