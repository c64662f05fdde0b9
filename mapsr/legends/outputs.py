"""From the outputs of a model to the classes that they stand for, and from classes to outputs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mapsr.legends.legend import NODATA


def lookup(table: Sequence[int], labels: Tensor) -> Tensor:
    """Carry class indices through a table.

    Args:
        table: what each class becomes, 255 for none; at most 255 entries.
        labels: uint8 of any shape; 255 is nodata.

    Returns:
        uint8 of the same shape; 255 for nodata and for classes beyond the table.
    """
    every = torch.full((NODATA + 1,), NODATA, dtype=torch.uint8)
    every[: len(table)] = torch.tensor(table, dtype=torch.uint8)
    return every.to(labels.device)[labels.long()]


def best_of_class(values: Tensor, table: Sequence[int], classes: int) -> Tensor:
    """The largest of the outputs that stand for each class.

    The class of the largest result is that of the largest output, where outputs that stand for no
    class are left aside.

    Args:
        values: float (B, K, H, W), of each output.
        table: class of each of the K outputs, 255 for none.
        classes: C.

    Returns:
        (B, C, H, W); -inf for a class that no output stands for.
    """
    batch, _, height, width = values.shape
    best = values.new_full((batch, classes, height, width), -torch.inf)
    for output, target in enumerate(table):
        if target != NODATA:
            best[:, target] = torch.maximum(best[:, target], values[:, output])
    return best
