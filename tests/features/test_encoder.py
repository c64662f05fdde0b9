import pytest
import torch
from stand_ins import MeanColour, uniform

from mapsr.errors import ConfigError


def test_too_few_bands_are_refused():
    with pytest.raises(ConfigError, match=r"has 2 band\(s\), but MeanColour reads 3: choose"):
        MeanColour()(torch.zeros(1, 2, 8, 8))


@pytest.mark.parametrize("size", [(9, 8), (8, 10)])
def test_sides_that_are_not_multiples_of_the_stride_are_refused(size):
    expected = f"sides {size[0]} x {size[1]} px are not multiples .* stride of 4 px: pad the image"
    with pytest.raises(ConfigError, match=expected):
        MeanColour()(torch.zeros(1, 3, *size))


def test_no_autograd_graph_is_kept():
    image = uniform(1, 1, 3, 8, 12).requires_grad_()
    assert not MeanColour()(image).requires_grad
