"""Chips as features and labels to fit on."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property

import torch
from torch import Tensor

from mapsr.data import Chip, ChipSequence
from mapsr.errors import DataError, PromptError
from mapsr.legends import NODATA, Crosswalk, SoftCrosswalk, load_soft_crosswalk
from mapsr.legends.outputs import lookup
from mapsr.methods.ahead import in_order
from mapsr.methods.extractor import FeatureExtractor, batches
from mapsr.methods.parts import Runtime
from mapsr.progress import Progress, up_to
from mapsr.prompts import Sample, class_shares
from mapsr.upsample import PixelFeatures


class ChipMaterial:
    """Features and labels of chips, for ways of making prompts; see `mapsr.prompts.Material`.

    Args:
        extractor: gives features, and remembers them for a second pass.
        chips: read one by one, each time they are needed.
        coarse: from the coarse product to the target classes.
        runtime: where the work is done.
        seed: of the pixels that are drawn, and of their order.
        progress: shows the work.
        soft: name or file of the soft crosswalk.
        recut: gives all chips of so many scenes; None: ``of_scenes`` is not asked for.
        ahead: how many batches' features are computed at once.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        chips: Sequence[Chip],
        coarse: Crosswalk,
        runtime: Runtime,
        seed: int,
        progress: Progress,
        soft: str = "definition",
        recut: Callable[[int], Sequence[Chip]] | None = None,
        ahead: int = 1,
    ) -> None:
        self.names = coarse.target.names
        self.table = coarse.table
        self.dim = extractor.encoder.dim
        self.device = runtime.device
        self.precision = runtime.precision
        self.seed = seed
        self.watch = runtime.watch
        self._coarse = coarse
        self._soft = soft
        self._extractor = extractor
        self._chips = chips
        self._batch = runtime.batch or 1
        self.progress = progress
        self._recut = recut
        self._ahead = ahead

    def __len__(self) -> int:
        return len(self._chips)

    @property
    def scenes(self) -> tuple[str, ...]:
        """Names of the scenes that the chips are of."""
        if isinstance(self._chips, ChipSequence):  # without reading them
            return self._chips.scenes
        return tuple(dict.fromkeys(chip.scene for chip in self._chips))

    def of_scenes(self, count: int) -> "ChipMaterial":
        """All chips of so many of the scenes to fit on, drawn by the seed."""
        if self._recut is None:
            raise RuntimeError("chips that were cut elsewhere can't be cut again")
        part = copy(self)
        part._chips = self._recut(count)
        return part

    @cached_property
    def soft(self) -> SoftCrosswalk:
        """How much of each target class the product's classes hold.

        Raises:
            LegendError: there is no such table, or it is not whole.
        """
        return load_soft_crosswalk(self._soft, self._coarse)

    def area(self) -> Tensor:
        """Shares of the target classes in all chips, (C,) float64, as the product has them."""
        shares = torch.from_numpy(self.soft.shares)
        counts = torch.zeros(NODATA + 1, dtype=torch.int64)
        for chip in self._chips:
            labels = coarse_labels(chip, self.soft.learned)
            counts += torch.bincount(labels.flatten().long(), minlength=NODATA + 1)
        return class_shares(counts[: len(shares)], shares)

    def batches(self, labels: str, what: str) -> Iterator[tuple[PixelFeatures, Tensor]]:
        """Yield all chips with labels in order, neighbouring ones of one size together.

        Raises:
            PromptError: there is no labelled pixel.
            DataError: a scene has not the labels.
        """
        for _, features, planes in self._labelled(labels, what):
            yield features, planes

    def _labelled(self, labels: str, what: str) -> Iterator[tuple[int, PixelFeatures, Tensor]]:
        """Yield batches with the number of their first chip; those without labels are left out."""
        pairs = in_order(self._extracted, self._read_all(labels), self._ahead)
        ends = ((pair[0][0] + len(pair[0][1]), pair) for pair in pairs)
        none = True
        for (first, batch, planes), features in up_to(self.progress, ends, what, len(self._chips)):
            none = False
            self._extractor.keep(batch, features)
            yield first, features, padded(planes, features)
        if none:
            label, check = "a coarse label", "coarse product, legend.coarse and legend.crosswalk"
            if labels == "truth":
                label, check = "truth", "truth and legend.truth"
            raise PromptError(
                f"No pixel of the scenes to fit on has {label} of a target class: check the "
                f"{check}."
            )

    def _read_all(self, labels: str) -> Iterator[tuple[int, list[Chip], Tensor]]:
        """Batches with some label, each with the number of its first chip and its labels."""
        first = 0
        for batch in batches(self._chips, self._batch):
            planes = torch.stack([self._read(chip, labels) for chip in batch])
            if (planes != NODATA).any():
                yield first, batch, planes
            first += len(batch)

    def _extracted(self, found: tuple[int, list[Chip], Tensor]) -> PixelFeatures:
        return self._extractor(found[1], remember=False)  # threads would remember in any order

    def sample(self, pixels: int, labels: str) -> Sample:
        """Draw labelled pixels evenly from the chips.

        Raises:
            PromptError: there is no labelled pixel.
            DataError: a scene has not the labels.
        """
        share = -(-pixels // len(self._chips))
        features: list[Tensor] = []
        found: list[Tensor] = []
        chips: list[Tensor] = []
        for first, some, planes in self._labelled(labels, "features"):
            for part, plane in enumerate(planes):
                flat, number = plane.flatten(), first + part
                choices = (flat != NODATA).nonzero()[:, 0]
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
                order = torch.randperm(len(choices), generator=generator)[:share]
                drawn = choices[order.to(choices.device)]
                features.append(some.select(part).at(drawn)[0])
                found.append(flat[drawn])
                chips.append(torch.full((len(drawn),), number))
        return Sample(torch.cat(features), torch.cat(found), torch.cat(chips))

    def _read(self, chip: Chip, labels: str) -> Tensor:
        if labels == "truth":
            return truth_labels(chip)
        if labels == "shares":
            return coarse_labels(chip, self.soft.learned)
        table = self.table if labels == "target" else tuple(range(len(self.table)))
        return coarse_labels(chip, table)


def coarse_labels(chip: Chip, table: Sequence[int]) -> Tensor:
    """Coarse labels of a chip through a table.

    Args:
        chip: whose labels are wanted.
        table: what each class of the product becomes, 255 for none.

    Returns:
        (H, W) uint8, 255 where the product or the image has no data.

    Raises:
        DataError: the scene has no coarse product.
    """
    if chip.coarse is None:
        raise DataError(f"Scene '{chip.scene}' has no coarse product to fit on.")
    return torch.where(chip.valid, lookup(table, chip.coarse), NODATA)


def truth_labels(chip: Chip) -> Tensor:
    """Truth of a chip, (H, W) uint8, 255 where it or the image has no data.

    Raises:
        DataError: the scene has no truth.
    """
    if chip.truth is None:
        raise DataError(f"Scene '{chip.scene}' has no truth to take prompts from.")
    return torch.where(chip.valid, chip.truth, NODATA)


def padded(labels: Tensor, features: PixelFeatures) -> Tensor:
    """Carry (B, H, W) uint8 labels to the padded plane, int64, 255 on the padding."""
    height, width = features.size
    add = (0, width - labels.shape[2], 0, height - labels.shape[1])
    plane = torch.nn.functional.pad(labels, add, value=NODATA)
    return plane.long().to(features.tokens.device)
