"""Colours as the eye tells them apart: sRGB to CIELAB, for batches on any device.

Source: IEC 61966-2-1 (sRGB); CIE 15, Colorimetry (CIELAB), with the white of daylight D65.
"""

import torch
from torch import Tensor

_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)


def lab_of(rgb: Tensor) -> Tensor:
    """Convert (B, 3, H, W) sRGB in [0, 1] to CIELAB (L in [0, 100]) of the same shape."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = [[one / white for one in row] for row, white in zip(_TO_XYZ, _WHITE, strict=True)]
    # not a matrix product: it would round otherwise in batches of another size
    red, green, blue = linear.unbind(1)
    x, y, z = (_root(red * a + green * b + blue * c) for a, b, c in matrix)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def _root(value: Tensor) -> Tensor:
    """Cube root, and a line through the dark."""
    return torch.where(value > 0.008856, value.clamp_min(0) ** (1 / 3), 7.787 * value + 16 / 116)
