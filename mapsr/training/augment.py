"""Chips to train on: how they are enlarged, turned, put together and padded.

Every function takes and returns a `Patch`; what it does to the image it does to the labels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mapsr.legends import NODATA
from mapsr.training.settings import TrainingSettings

PARTS = 4


class Patch(NamedTuple):
    """An image and what is to be learned from it.

    Attributes:
        image: (B, H, W) float32 in [0, 1].
        labels: (H, W) uint8, 255 where there is none.
    """

    image: Tensor
    labels: Tensor


def resample(patch: Patch, scale: float) -> Patch:
    """Enlarge a patch: the image bilinearly, the labels by the nearest pixel.

    Args:
        patch: (H, W).
        scale: by how much; sides are rounded, to one pixel at least.
    """
    height, width = patch.labels.shape
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    if size == (height, width):
        return patch
    image = F.interpolate(patch.image[None], size=size, mode="bilinear", align_corners=False)[0]
    labels = patch.labels[None, None].float()  # (1, 1, H, W)
    labels = F.interpolate(labels, size=size, mode="nearest-exact")[0, 0]
    return Patch(image, labels.to(torch.uint8))


def to_square(patch: Patch, side: int) -> Patch:
    """Cut a patch to a square, and repeat its far edges without labels where it is smaller."""
    image, labels = patch.image[:, :side, :side], patch.labels[:side, :side]
    height, width = labels.shape
    padding = (0, side - width, 0, side - height)
    if any(padding):
        image = F.pad(image[None], padding, mode="replicate")[0]
        labels = F.pad(labels, padding, value=NODATA)
    return Patch(image, labels)


def turn(patch: Patch, quarters: int) -> Patch:
    """Turn a patch counterclockwise by right angles; (H, W) becomes (W, H) for an odd number."""
    image = torch.rot90(patch.image, quarters, (1, 2))
    return Patch(image, torch.rot90(patch.labels, quarters, (0, 1)))


def flip(patch: Patch, axis: int) -> Patch:
    """Reverse a patch: its rows (axis 0) or its columns (axis 1)."""
    return Patch(patch.image.flip(axis + 1), patch.labels.flip(axis))


def flip_and_turn(patch: Patch, settings: TrainingSettings, random: np.random.Generator) -> Patch:
    """Flip and turn a patch with the settings' probabilities."""
    chances = random.random(3)
    quarters = int(random.integers(1, 4))
    if chances[0] < settings.flip_horizontal:
        patch = flip(patch, 1)
    if chances[1] < settings.flip_vertical:
        patch = flip(patch, 0)
    return turn(patch, quarters) if chances[2] < settings.rotate else patch


def put_together(patches: Sequence[Patch], row: int, col: int) -> Patch:
    """Take the corners of four patches of one size.

    Args:
        patches: whose upper left, upper right, lower left and lower right parts are taken.
        row: where the upper parts end.
        col: where the left parts end.
    """
    image, labels = patches[0].image.clone(), patches[0].labels.clone()
    rows, cols = (slice(row), slice(row, None)), (slice(col), slice(col, None))
    for part in range(1, PARTS):
        place = (rows[part // 2], cols[part % 2])
        image[:, *place] = patches[part].image[:, *place]
        labels[place] = patches[part].labels[place]
    return Patch(image, labels)


def largest_share(labels: Tensor) -> float:
    """Share of the most frequent class among the labelled pixels of (H, W); 0 without any."""
    counts = torch.bincount(labels[labels != NODATA].flatten().long())
    return float(counts.max() / counts.sum()) if len(counts) else 0.0


def has_gaps(patch: Patch) -> bool:
    """Tell whether a pixel has no label, or is zero in all bands."""
    return bool((patch.labels == NODATA).any() or (patch.image == 0).all(dim=0).any())
