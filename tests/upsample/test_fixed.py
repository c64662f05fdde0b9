import pytest
import torch
import torch.nn.functional as F
from stand_ins import dense, normal, uniform

from mapsr.errors import ConfigError
from mapsr.upsample import Bilinear, BilinearSettings, Nearest, NearestSettings

# (pixels, tokens): H != W, odd sizes, fewer pixels than tokens, one row, one token
SHAPES = [
    ((12, 20), (3, 5)),
    ((13, 7), (4, 3)),
    ((3, 4), (7, 5)),
    ((1, 9), (1, 4)),
    ((9, 1), (2, 1)),
    ((6, 5), (1, 1)),
    ((5, 11), (5, 2)),
]


def carried(upsampler, size, grid):
    """What the operator and what torch makes of the same two images of tokens."""
    tokens = normal(3, 2, 6, *grid)
    operator = upsampler(uniform(4, 2, 3, *size), tokens)
    return operator.apply(tokens.flatten(2).transpose(1, 2)), tokens


@pytest.mark.parametrize(("size", "grid"), SHAPES)
def test_nearest_is_what_torch_gives(size, grid):
    ours, tokens = carried(NearestSettings().build(), size, grid)
    torch.testing.assert_close(ours, F.interpolate(tokens, size, mode="nearest-exact"))


@pytest.mark.parametrize(("size", "grid"), SHAPES)
def test_bilinear_is_what_torch_gives(size, grid):
    ours, tokens = carried(BilinearSettings().build(), size, grid)
    torch.testing.assert_close(
        ours, F.interpolate(tokens, size, mode="bilinear"), rtol=1e-5, atol=1e-6
    )


def test_bilinear_weights_of_four_pixels_over_two_tokens():
    operator = Bilinear()(torch.zeros(1, 3, 4, 1), torch.zeros(1, 1, 2, 1))
    expected = torch.tensor([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    torch.testing.assert_close(dense(operator)[0], expected)


@pytest.mark.parametrize("upsampler", [Nearest(), Bilinear()])
def test_another_size_than_the_images_may_be_asked_for(upsampler):
    tokens = normal(5, 1, 4, 3, 2)
    operator = upsampler(uniform(6, 1, 3, 12, 8), tokens, (5, 9))
    assert operator.size == (5, 9)
    assert operator.grid == (3, 2)
    torch.testing.assert_close(dense(operator).sum(2), torch.ones(1, 45))


def test_images_and_tokens_of_different_batches_are_refused():
    with pytest.raises(ConfigError, match=r"batch of 2 image\(s\) but tokens of 3"):
        Nearest()(torch.zeros(2, 3, 4, 4), torch.zeros(3, 5, 2, 2))
