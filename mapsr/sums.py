"""Sums whose result does not depend on the order of their terms.

Threads of a GPU add to a sum in whatever order they come, and floats then end in other last bits
each time. Whole numbers do not: values are rounded to a fixed step first, far below what float32
resolves, and added as int64.
"""

import torch
from torch import Tensor

# Steps of the largest value: float32 resolves 2^24 of them, and 2^22 terms still fit 63 bits.
_BITS = 40


def sums_by_index(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Sum values by index, the same to the last bit on any device and in any order.

    Args:
        values: (n, C) finite floats; n at most 2^22.
        index: (n,) int64, 0 .. count - 1; negative: left out.
        count: how many sums there are.

    Returns:
        (count, C) float64; each term is rounded to 2^-40 of the column's largest.
    """
    values = torch.where(index[:, None] < 0, 0.0, values.double())
    scale = values.abs().amax(0) if len(values) else values.new_zeros(values.shape[1])
    scale = torch.where(scale > 0, scale, 1.0)
    whole = (values / scale * 2.0**_BITS).round_().long()
    return whole_sums(whole, index, count).double() * (scale * 2.0**-_BITS)


def whole_sums(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Sum whole numbers by index.

    Args:
        values: (n, C) int64.
        index: (n,) int64; negative: left out.
        count: how many sums there are.

    Returns:
        (count, C) int64.
    """
    # a sum more takes what is left out: to select the others, the host would have to count them
    found = values.new_zeros(count + 1, values.shape[1])
    place = torch.where(index < 0, count, index)
    found.scatter_add_(0, place[:, None].expand_as(values), values)
    return found[:count]
