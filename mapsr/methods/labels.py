"""Labels of chips as classes to learn, on the plane of their features."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from mapsr.data import Chip
from mapsr.errors import DataError, PromptError
from mapsr.legends import NODATA
from mapsr.methods.extractor import FeatureExtractor
from mapsr.upsample import PixelFeatures


class ChipLabels:
    """Features of chips, factored, and their coarse labels: batches for a probe."""

    def __init__(
        self, extractor: FeatureExtractor, chips: Sequence[Chip], table: tuple[int, ...]
    ) -> None:
        self.extractor = extractor
        self.chips = chips
        self.table = table

    def __len__(self) -> int:
        return len(self.chips)

    def __iter__(self) -> Iterator[tuple[PixelFeatures, Tensor]]:
        for chip in self.chips:
            coarse = coarse_labels(chip, self.table)
            if (coarse != NODATA).any():
                features = self.extractor([chip])
                yield features, padded(coarse[None], features)


def sample_pixels(
    extractor: FeatureExtractor,
    batches: Iterable[Sequence[Chip]],
    table: tuple[int, ...],
    share: int,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Draw labelled pixels of each chip; the draw depends on nothing but seed and chip.

    Args:
        extractor: gives features.
        batches: chips of one size each.
        table: what each class of the product is learnt as, 255 for none.
        share: most pixels of a chip.
        seed: of the draw.

    Returns:
        Features (n, D) and labels (n,) int64.

    Raises:
        PromptError: there is no labelled pixel.
        DataError: a scene has no coarse product.
    """
    features: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in batches:
        found = extractor(batch)
        for part, chip in enumerate(batch):
            label = padded(coarse_labels(chip, table)[None], found)[0].flatten()
            choices = (label != NODATA).nonzero()[:, 0]
            generator = torch.Generator().manual_seed(seed * 1_000_003 + len(labels))
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
    return torch.cat(features), every


def coarse_labels(chip: Chip, table: tuple[int, ...]) -> Tensor:
    """Coarse labels of a chip through a table of 256 or fewer entries.

    Returns:
        (H, W) uint8, 255 where the product or the image has no data.

    Raises:
        DataError: the scene has no coarse product.
    """
    if chip.coarse is None:
        raise DataError(f"Scene '{chip.scene}' has no coarse product to fit on.")
    every = torch.full((256,), NODATA, dtype=torch.uint8)
    every[: len(table)] = torch.tensor(table, dtype=torch.uint8)
    return torch.where(chip.valid, every[chip.coarse.long()], NODATA)


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
