"""Weights of chips whose middle counts more, as in Paraformer's code."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mapsr.geo.tiling import Span, near

Counts = NDArray[np.float64]
# How much a pixel in the middle of a chip counts, where one outside of it counts 1.
_CENTRE = 5.0


def centre_weights(rows: Sequence[Span], columns: Sequence[Span], at: Span, overlap: int) -> Tensor:
    """Weights of one chip's pixels, which sum to 1 over the chips that see a pixel.

    A pixel counts five times where it is half an overlap or more away from the chip's edges, and
    once elsewhere: unlike other weights, it is not a product of one of rows and one of columns.

    Args:
        rows: of all chips along the height.
        columns: of all chips along the width.
        at: number of the chip along the height and along the width.
        overlap: of the chips.

    Returns:
        (height, width) float32 in (0, 1].
    """
    (seen, middles, own), (across, amid, mine) = (
        _counts(cut, number, overlap // 2) for cut, number in zip((rows, columns), at, strict=True)
    )
    more = _CENTRE - 1
    weight = 1 + more * np.outer(own, mine)
    total = np.outer(seen, across) + more * np.outer(middles, amid)
    return torch.from_numpy(weight / total).float()


def _counts(cut: Sequence[Span], number: int, half: int) -> tuple[Counts, Counts, Counts]:
    """Of each pixel of a chip along one side: chips that see it, and that have it in the middle.

    Returns:
        Both counts, and whether the chip itself has it in its middle; (length,) each.
    """
    start, length = cut[number]
    seen, middles = np.zeros(length), np.zeros(length)
    for begin, wide in near(cut, number):
        for counts, margin in ((seen, 0), (middles, half)):
            low, high = begin + margin - start, begin + wide - margin - start
            counts[max(0, low) : max(0, high)] += 1
    own = np.zeros(length)
    own[half : length - half] = 1
    return seen, middles, own
