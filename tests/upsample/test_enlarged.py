import pytest
import torch
import torch.nn.functional as F
from stand_ins import dense, normal, random_operator, uniform

from mapsr.upsample import (
    EnlargedOperator,
    GlobalOperator,
    GroupedOperator,
    Nearest,
    PixelFeatures,
    carried,
)

GRID, DIM = (3, 5), 6
# smaller and larger plane: twice, uneven, along one axis alone, not at all
PLANES = [((6, 11), (12, 22)), ((6, 11), (13, 25)), ((7, 10), (7, 23)), ((6, 11), (6, 11))]


@pytest.fixture(params=PLANES)
def made(request):
    """An operator of three channel groups for two images, enlarged, and U A of each group.

    Two groups look at a few tokens, one at all of them.
    """
    small, size = request.param
    queries, keys = normal(3, 2, small[0] * small[1], 8), normal(4, 2, GRID[0] * GRID[1], 8)
    everywhere = GlobalOperator(queries, keys, 2, small, GRID)
    parts = (random_operator(1, small, GRID, 2), everywhere, random_operator(2, small, GRID, 2))
    rows, columns = (
        ((torch.arange(n) + 0.5) * few / n).long() for n, few in zip(size, small, strict=True)
    )
    below = (rows[:, None] * small[1] + columns).flatten()
    return EnlargedOperator(GroupedOperator(parts), size), [
        dense(one, 2)[:, below] for one in parts
    ]


def test_two_pixels_enlarged_by_hand():
    inner = Nearest()(torch.zeros(1, 3, 1, 2), torch.zeros(1, 1, 1, 2))
    operator = EnlargedOperator(inner, (2, 3))
    values = torch.tensor([[[5.0], [-7.0]]])
    # the middle of three columns lies over the second of two pixels
    assert operator.apply(values).tolist() == [[[[5, -7, -7], [5, -7, -7]]]]
    assert operator.norm(values).tolist() == [[[5, 7, 7], [5, 7, 7]]]
    labels = torch.tensor([[[0, 1, 1], [1, 0, -1]]])
    assert operator.pool(values, labels, 2).tolist() == [[[-2], [-9]]]
    assert operator.at(values, torch.tensor([0, 4])).tolist() == [[[5], [-7]]]
    assert (operator.grid, operator.nbytes) == ((1, 2), inner.nbytes)


def test_the_algebra_equals_that_of_the_dense_features(made):
    operator, matrices = made
    height, width = operator.size
    tokens = normal(4, 2, GRID[0] * GRID[1], DIM)
    parts = zip(matrices, tokens.chunk(3, dim=2), strict=True)
    whole = torch.cat([matrix @ some for matrix, some in parts], dim=2)  # (2, H W, D)
    features = PixelFeatures(tokens, operator)
    weight, bias = normal(5, 4, DIM), normal(6, 4)
    labels = torch.randint(-1, 4, (2, height, width), generator=torch.Generator().manual_seed(7))
    indicator = F.one_hot(labels.flatten(1) + 1, 5)[..., 1:].transpose(1, 2).float()
    pixels = torch.tensor([0, height * width - 1, width, 3])
    plane = (whole @ weight.T + bias).transpose(1, 2).unflatten(2, operator.size)
    close(operator.apply(tokens).flatten(2).transpose(1, 2), whole)
    close(features.linear(weight, bias), plane)
    close(features.norm, whole.norm(dim=2).unflatten(1, operator.size))
    close(features.sums(labels, 4), indicator @ whole)
    close(features.unit_sums(labels, 4), indicator @ F.normalize(whole, dim=2))
    close(features.at(pixels), whole[:, pixels])
    close(features.select(1).at(pixels), whole[1:, pixels])


def close(ours, expected):
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_every_pixel_is_summed_once(made):
    operator, _ = made
    ones = torch.ones(2, GRID[0] * GRID[1], 3)
    labels = torch.zeros(2, *operator.size, dtype=torch.int64)
    count = operator.size[0] * operator.size[1]
    torch.testing.assert_close(operator.pool(ones, labels, 1), torch.full((2, 1, 3), float(count)))


def test_scores_are_carried_along_the_edge_of_a_colour():
    """An edge between two columns of the image that share one of the smaller plane."""
    image = torch.zeros(1, 3, 8, 14)
    image[..., 7:] = 0.8
    values = torch.zeros(1, 2, 4, 7)
    values[:, 0, :, :3], values[:, 1, :, 4:] = 1, 1
    values[..., 3] = 0.5
    labels = carried(image, values)[0].argmax(0)
    assert (labels == (torch.arange(14) >= 7)).all()


def test_constant_values_are_carried_as_they_are():
    values = normal(8, 2, 3, 1, 1).expand(-1, -1, 5, 4)
    plane = carried(uniform(9, 2, 4, 11, 8), values)
    torch.testing.assert_close(plane, values[..., :1, :1].expand(-1, -1, 11, 8))
