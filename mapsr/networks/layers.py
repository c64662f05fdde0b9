"""Layers and resampling that several networks share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm(inputs: int, outputs: int, kernel: int, activation: nn.Module) -> nn.Sequential:
    """Return a size-preserving convolution without bias, batch norm and an activation."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), activation)


def zoom(maps: Tensor, size: tuple[int, int], *, aligned: bool = False) -> Tensor:
    """Resample bilinearly.

    Args:
        maps: (B, C, h, w).
        size: rows and columns of the result.
        aligned: whether the centres of the corner pixels coincide (torch's align_corners).
    """
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=aligned)


def size_of(maps: Tensor) -> tuple[int, int]:
    """Return (h, w) of (B, C, h, w)."""
    return maps.shape[2], maps.shape[3]


def reflect(maps: Tensor, bottom: int, right: int) -> Tensor:
    """Pad (B, C, h, w) by reflection, repeatedly where the padding is wider than the map."""
    for axis, padding in ((2, bottom), (3, right)):
        if padding:
            length = maps.shape[axis]
            period = max(1, 2 * (length - 1))
            place = torch.arange(length + padding, device=maps.device) % period
            maps = maps.index_select(axis, torch.minimum(place, period - place))
    return maps
