"""Augmentation of training chips: resampling, flips, rotations, mosaics, padding.

Every function treats the image and the labels of a `Patch` alike.
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
    """An image and its labels.

    Attributes:
        image: (B, H, W) float32 in [0, 1].
        labels: (H, W) uint8, 255 for nodata.
    """

    image: Tensor
    labels: Tensor


def resample(patch: Patch, scale: float) -> Patch:
    """Rescale a patch: the image bilinearly, the labels by the nearest pixel.

    Args:
        patch: (H, W).
        scale: factor above 0; sides are rounded, to at least one pixel.

    Returns:
        (round(scale H), round(scale W)).
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
    """Crop a patch to a square from its upper left; pad a smaller one by its edges, as nodata."""
    image, labels = patch.image[:, :side, :side], patch.labels[:side, :side]
    height, width = labels.shape
    padding = (0, side - width, 0, side - height)
    if any(padding):
        image = F.pad(image[None], padding, mode="replicate")[0]
        labels = F.pad(labels, padding, value=NODATA)
    return Patch(image, labels)


def rotate(patch: Patch, quarters: int) -> Patch:
    """Rotate a patch counterclockwise by right angles; an odd number makes (H, W) to (W, H)."""
    image = torch.rot90(patch.image, quarters, (1, 2))
    return Patch(image, torch.rot90(patch.labels, quarters, (0, 1)))


def flip(patch: Patch, axis: int) -> Patch:
    """Reverse the rows (axis 0) or columns (axis 1) of a patch."""
    return Patch(patch.image.flip(axis + 1), patch.labels.flip(axis))


def flip_and_rotate(patch: Patch, settings: TrainingSettings, random: np.random.Generator) -> Patch:
    """Flip and rotate a patch with the probabilities of the settings."""
    chances = random.random(3)
    quarters = int(random.integers(1, 4))
    if chances[0] < settings.flip_horizontal:
        patch = flip(patch, 1)
    if chances[1] < settings.flip_vertical:
        patch = flip(patch, 0)
    return rotate(patch, quarters) if chances[2] < settings.rotate else patch


def mosaic(patches: Sequence[Patch], row: int, col: int) -> Patch:
    """Join the corners of four patches of the same size.

    Args:
        patches: give the upper left, upper right, lower left and lower right part.
        row: where the upper parts end, 0 .. H.
        col: where the left parts end, 0 .. W.

    Source: Bochkovskiy et al., YOLOv4, 2020, section 3.3, doi:10.48550/arXiv.2004.10934.
    """
    image, labels = patches[0].image.clone(), patches[0].labels.clone()
    rows, cols = (slice(row), slice(row, None)), (slice(col), slice(col, None))
    for part in range(1, PARTS):
        place = (rows[part // 2], cols[part % 2])
        image[:, *place] = patches[part].image[:, *place]
        labels[place] = patches[part].labels[place]
    return Patch(image, labels)


def largest_share(labels: Tensor) -> float:
    """Return the share of the most frequent class among the labelled pixels of (H, W), else 0."""
    counts = torch.bincount(labels[labels != NODATA].flatten().long())
    return float(counts.max() / counts.sum()) if len(counts) else 0.0


def has_gaps(patch: Patch) -> bool:
    """Tell whether any pixel is unlabelled, or zero in all bands."""
    return bool((patch.labels == NODATA).any() or (patch.image == 0).all(dim=0).any())
