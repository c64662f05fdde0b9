"""Resampling of a ViT's position embedding to another grid of patches."""

import torch.nn.functional as F
from torch import Tensor


def resample_positions(positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Resample a position embedding as the DINOv2 models behind the paper's features do.

    Bicubic without antialiasing, at scale (new + 0.1) / old rather than new / old: the published
    features were computed with this offset.

    Args:
        positions: (1, old rows * old columns, D), without prefix tokens.
        old: rows and columns of the grid that the embedding was trained on.
        new: rows and columns of the result.

    Returns:
        (1, new rows * new columns, D).

    Source: Hugging Face transformers 4.34, modeling_dinov2, interpolate_pos_encoding; Keys, Cubic
    convolution interpolation, 1981, doi:10.1109/TASSP.1981.1163711.
    """
    if old == new:
        return positions
    grid = positions.reshape(1, *old, -1).permute(0, 3, 1, 2)  # (1, D, old rows, old columns)
    scale = tuple((n + 0.1) / o for n, o in zip(new, old, strict=True))
    grid = F.interpolate(grid, scale_factor=scale, mode="bicubic", align_corners=False)
    return grid.flatten(2).transpose(1, 2)  # (1, new rows * new columns, D)
