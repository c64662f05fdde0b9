"""Superpixels by SLIC, on a scale that does not depend on the chip."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# The chip that the paper's number of segments is meant for.
PAPER_CHIP_PX = 448
# Rounds of assignment and update; the paper of SLIC finds ten enough for most images.
ROUNDS = 10


def superpixels(
    image: Tensor,
    valid: Tensor,
    segments: int,
    compactness: float,
    *,
    stretched: bool = False,
    rounds: int = ROUNDS,
) -> tuple[Tensor, int]:
    """Cut an image into superpixels.

    scikit-image rescales each image by its own minimum and maximum, so that two chips of one
    raster would be cut by different rules. Here colours are CIELAB of the values as they are, and
    that rescaling is undone through the compactness.

    Args:
        image: (3 or more, H, W) float32 in [0, 1]; red, green and blue come first.
        valid: (H, W) bool.
        segments: how many superpixels a chip of 448 x 448 px gets; other sizes in proportion.
        compactness: weight of distance against colour (in CIELAB units); vary it by factors of
            ten: 1 follows colours, 100 makes squares.
        stretched: stretch the chip's values to [0, 1] first, by the least and the largest of all
            three bands, as scikit-image does with the authors' call.
        rounds: of assignment and update.

    Returns:
        labels (H, W) int64, 0 .. count - 1, -1 outside the valid area; count.

    Source: Achanta et al., SLIC superpixels, TPAMI 2012, doi:10.1109/TPAMI.2012.120, equation (3).
    """
    height, width = valid.shape
    inside = valid.cpu().numpy()
    if not inside.any():
        return torch.full((height, width), -1), 0
    from skimage.color import rgb2lab  # seconds, which settings alone need not
    from skimage.segmentation import slic

    rgb = image[:3].permute(1, 2, 0).cpu().numpy()
    if stretched:
        low, high = rgb[inside].min(), rgb[inside].max()
        rgb = np.clip((rgb - low) / ((high - low) or 1), 0, 1)
    lab = rgb2lab(rgb)
    if not inside.all():
        lab[~inside] = lab[inside].mean(axis=0)  # nodata is not an edge
    spread = float(lab.max() - lab.min()) or 1.0
    wanted = wanted_segments(height, width, segments)
    cut: NDArray[np.int64] = slic(
        lab,
        n_segments=wanted,
        compactness=compactness / spread,
        max_num_iter=rounds,
        convert2lab=False,
        start_label=0,
        channel_axis=-1,
    )
    labels = np.full((height, width), -1, dtype=np.int64)
    # number again those that the valid area has; counting takes a tenth of the time of sorting
    there = np.bincount(cut[inside]) > 0
    labels[inside] = (np.cumsum(there) - 1)[cut[inside]]
    return torch.from_numpy(labels), int(there.sum())


def wanted_segments(height: int, width: int, segments: int) -> int:
    """Superpixels of an image, from those of a chip of 448 x 448 px."""
    return max(1, round(segments * height * width / PAPER_CHIP_PX**2))
