"""MapSR: class prompts from coarse labels, cosine inference, refinement over a graph."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mapsr.data import Chip
from mapsr.errors import DataError, PromptError
from mapsr.legends import NODATA, Crosswalk
from mapsr.methods.extractor import FeatureExtractor, batches
from mapsr.progress import Progress, Quiet, Watch, unwatched
from mapsr.prompts import (
    ClassPrompts,
    CoarsePromptSettings,
    LinearProbe,
    PixelSample,
    PromptState,
    train_probe,
)
from mapsr.prompts.prompts import agreement, check_prompts
from mapsr.refine import RefineSettings, refine
from mapsr.upsample import PixelFeatures


class MapSR:
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
        *,
        batch: int = 1,
        seed: int = 0,
        progress: Progress | None = None,
        watch: Watch = unwatched,
    ) -> None:
        self.extractor = extractor
        self.refine_settings = refine_settings
        self.class_names = tuple(class_names)
        self.batch = batch
        self.seed = seed
        self.progress = progress or Quiet()
        self.watch = watch
        self.prompts: ClassPrompts | None = None
        self.probe: LinearProbe | None = None

    @property
    def trained_parameters(self) -> int:
        """Parameters that training changed: the probe's."""
        return self.probe.trained_parameters if self.probe else 0

    def fit_coarse(
        self,
        chips: Sequence[Chip],
        crosswalk: Crosswalk,
        settings: CoarsePromptSettings,
        accelerator: str = "cpu",
        precision: str = "32-true",
    ) -> None:
        """Fit prompts on the coarse labels of chips.

        Args:
            chips: with coarse labels; read one by one, twice.
            crosswalk: from the product to the target classes.
            settings: of the probe.
            accelerator: Lightning's name of where the probe is trained.
            precision: Lightning's name of how the probe is trained.

        Raises:
            PromptError: no labelled pixel, or fewer than two classes with agreeing pixels.
        """
        if settings.classes == "product":
            learned, table = tuple(range(len(crosswalk.source))), crosswalk.table
        else:
            learned, table = crosswalk.table, tuple(range(len(self.class_names)))
        sample: PixelSample | ChipLabels
        if settings.through == "pixels":
            sample = self._sample(chips, learned, settings)
            typical = sample.features
        else:
            sample = ChipLabels(self, chips, learned)
            typical = self.extractor([chips[0]]).tokens
        scale = float(typical.square().mean().sqrt())
        self.probe = LinearProbe(
            self.extractor.encoder.dim, table, len(self.class_names), scale, settings.probe
        )
        with self.watch("probe"):
            train_probe(self.probe, sample, accelerator, precision)
        self.probe.to(self.extractor.device)
        self._average(chips, crosswalk)

    def fit_truth(self, chips: Sequence[Chip]) -> None:
        """Fit prompts on the truth of chips: the mean feature of each class's pixels.

        Raises:
            PromptError: fewer than two classes have pixels.
        """
        state = self._state()
        with self.watch("prompts"):
            for batch in self._batches(chips, "prompts"):
                features = self.extractor(batch)
                truth = torch.stack([_truth(chip) for chip in batch])
                state.update(features, self.padded(truth, features))
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
    def score(self, chips: Sequence[Chip], *, probe: bool = False) -> dict[str, Tensor]:
        """Score chips of one size.

        Args:
            chips: a batch.
            probe: also give the scores of the linear probe.

        Returns:
            "map": (B, C, H, W) refined cosine to each prompt, -inf for a class without one; with
            ``probe``, "probe": (B, C, H, W) the probe's probabilities.
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
        if probe and self.probe is not None:
            layers["probe"] = self.probe.scores(features)[..., :height, :width].softmax(1)
        return layers

    def _sample(
        self, chips: Sequence[Chip], learned: tuple[int, ...], settings: CoarsePromptSettings
    ) -> PixelSample:
        """Draw labelled pixels of each chip; the draw depends on nothing but seed and chip."""
        share = -(-settings.pixels // len(chips))
        features: list[Tensor] = []
        labels: list[Tensor] = []
        for batch in self._batches(chips, "features"):
            found = self.extractor(batch)
            for part, chip in enumerate(batch):
                label = self.padded(_coarse(chip, learned)[None], found)[0].flatten()
                choices = (label != NODATA).nonzero()[:, 0]
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + len(labels))
                order = torch.randperm(len(choices), generator=generator)[:share]
                pixels = choices[order.to(choices.device)]
                features.append(found.select(part).at(pixels)[0])
                labels.append(label[pixels])
        every = torch.cat(labels)
        if len(every) == 0:
            raise PromptError(
                "No pixel of the scenes to fit on has a coarse label of a target class: check the "
                "coarse product, legend.coarse and legend.crosswalk."
            )
        return PixelSample(torch.cat(features), every, settings.batch, self.seed)

    @torch.no_grad()
    def _average(self, chips: Sequence[Chip], crosswalk: Crosswalk) -> None:
        if self.probe is None:
            raise PromptError("The probe comes before the prompts.")
        state = self._state()
        with self.watch("prompts"):
            for batch in self._batches(chips, "prompts"):
                features = self.extractor(batch)
                coarse = torch.stack([_coarse(chip, crosswalk.table) for chip in batch])
                labels = self.padded(coarse, features)
                state.update(features, agreement(self.probe.scores(features), labels))
        self._take(state, "pixels on which probe and coarse product agree")

    def _take(self, state: PromptState, source: str) -> None:
        prompts = ClassPrompts(*state.compute())
        check_prompts(prompts, self.class_names, source)
        self.prompts = prompts

    def _state(self) -> PromptState:
        state = PromptState(len(self.class_names), self.extractor.encoder.dim)
        return state.to(self.extractor.device)

    def _batches(self, chips: Sequence[Chip], what: str) -> Iterator[list[Chip]]:
        return batches(self.progress.track(chips, what, len(chips)), self.batch)

    def padded(self, labels: Tensor, features: PixelFeatures) -> Tensor:
        """Carry (B, H, W) uint8 labels to the padded plane, int64, 255 on the padding."""
        height, width = features.size
        add = (0, width - labels.shape[2], 0, height - labels.shape[1])
        padded = torch.nn.functional.pad(labels, add, value=NODATA)
        return padded.long().to(self.extractor.device)


class ChipLabels:
    """Features of chips, factored, and their coarse labels: batches for a probe."""

    def __init__(self, method: MapSR, chips: Sequence[Chip], table: tuple[int, ...]) -> None:
        self.method = method
        self.chips = chips
        self.table = table

    def __len__(self) -> int:
        return len(self.chips)

    def __iter__(self) -> Iterator[tuple[PixelFeatures, Tensor]]:
        for chip in self.chips:
            coarse = _coarse(chip, self.table)
            if (coarse != NODATA).any():
                features = self.method.extractor([chip])
                yield features, self.method.padded(coarse[None], features)


def _coarse(chip: Chip, table: tuple[int, ...]) -> Tensor:
    """Coarse labels of a chip through a table of 256 or fewer entries, 255 where it is invalid."""
    if chip.coarse is None:
        raise DataError(f"Scene '{chip.scene}' has no coarse product to fit on.")
    every = torch.full((256,), NODATA, dtype=torch.uint8)
    every[: len(table)] = torch.tensor(table, dtype=torch.uint8)
    return torch.where(chip.valid, every[chip.coarse.long()], NODATA)


def _truth(chip: Chip) -> Tensor:
    if chip.truth is None:
        raise DataError(f"Scene '{chip.scene}' has no truth to take prompts from.")
    return torch.where(chip.valid, chip.truth, NODATA)
