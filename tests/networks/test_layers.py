from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from stand_ins import normal

from mapsr.networks.layers import conv_norm, reflect, size_of, zoom


def test_reflection_is_numpys_at_any_width():
    for size, padding in product(
        [(1, 1), (1, 5), (2, 3), (9, 12)], [(0, 0), (1, 1), (0, 7), (7, 3)]
    ):
        maps = normal(1, 2, 3, *size)
        widths = ((0, 0), (0, 0), (0, padding[0]), (0, padding[1]))
        expected = np.pad(maps.numpy(), widths, mode="reflect")
        assert torch.equal(reflect(maps, *padding), torch.from_numpy(expected)), (size, padding)


def test_reflection_is_torchs_where_torch_has_one():
    maps = normal(2, 1, 2, 5, 7)
    assert torch.equal(reflect(maps, 4, 6), F.pad(maps, (0, 6, 0, 4), mode="reflect"))


def test_zoom_by_hand():
    row = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    # aligned corners: equal steps; else sampled at -0.25, 0.25, 0.75, 1.25, clamped to the ends
    aligned = zoom(row, (1, 4), aligned=True).flatten()
    torch.testing.assert_close(aligned, torch.tensor([0, 1 / 3, 2 / 3, 1]))
    torch.testing.assert_close(zoom(row, (1, 4)).flatten(), torch.tensor([0, 0.25, 0.75, 1]))
    assert torch.equal(zoom(row, size_of(row)), row)


def test_a_convolution_keeps_the_size():
    for kernel in (1, 3, 5):
        layer = conv_norm(3, 6, kernel, torch.nn.ReLU())
        out = layer(normal(3, 2, 3, 4, 9))
        assert out.shape == (2, 6, 4, 9)
        assert out.min() == 0
        assert layer[0].bias is None
