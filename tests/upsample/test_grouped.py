import pytest
import torch
from stand_ins import dense, normal, random_operator, uniform

from mapsr.errors import ConfigError
from mapsr.upsample import GroupedOperator, Nearest, PixelFeatures

SIZE, GRID = (13, 22), (3, 5)


@pytest.fixture(scope="module")
def operator():
    return GroupedOperator(tuple(random_operator(seed, SIZE, GRID, batch=2) for seed in (1, 2, 3)))


def test_two_groups_by_hand():
    image, tokens = torch.zeros(1, 3, 1, 2), torch.zeros(1, 2, 1, 2)
    straight, crossed = Nearest()(image, tokens), Nearest()(image, tokens)
    crossed = type(crossed)(crossed.cells, crossed.weights.clone() * 3)
    operator = GroupedOperator((straight, crossed))
    values = torch.tensor([[[1.0, 2.0], [-4.0, 1.0]]])  # two tokens of two channels
    assert operator.apply(values).tolist() == [[[[1, -4]], [[6, 3]]]]
    assert operator.linear(values, torch.tensor([[10.0, 1.0]])).tolist() == [[[[16, -37]]]]
    assert operator.norm(values).square().flatten().tolist() == pytest.approx([37, 25])
    assert operator.at(values, torch.tensor([1])).tolist() == [[[-4, 3]]]
    labels = torch.zeros(1, 1, 2, dtype=torch.int64)
    assert operator.pool(values, labels, 1).tolist() == [[[-3, 9]]]


def test_each_group_is_carried_by_its_own_matrix(operator):
    values = normal(4, 2, 15, 6)
    parts = zip(operator.parts, values.split(2, dim=2), strict=True)
    expected = torch.cat([dense(part, 2) @ some for part, some in parts], dim=2)
    ours = operator.apply(values).flatten(2).transpose(1, 2)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        operator.norm(values), expected.norm(dim=2).unflatten(1, SIZE), rtol=1e-5, atol=1e-5
    )


def test_weights_of_pixels_count_in_every_group(operator):
    values, weights = normal(5, 2, 15, 6), uniform(6, 2, *SIZE)
    labels = torch.zeros(2, *SIZE, dtype=torch.int64)
    expected = (operator.apply(values) * weights[:, None]).sum((2, 3))[:, None]
    ours = operator.pool(values, labels, 1, weights)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_linear_adds_the_bias_once(operator):
    tokens, weight = normal(7, 2, 15, 6), normal(8, 4, 6)
    plain = operator.linear(tokens, weight)
    biased = operator.linear(tokens, weight, torch.full((4,), 2.0))
    torch.testing.assert_close(biased, plain + 2, rtol=1e-5, atol=1e-5)


def test_one_group_equals_its_operator():
    alone = random_operator(9, SIZE, GRID)
    tokens = normal(10, 1, 15, 6)
    ours, expected = (PixelFeatures(tokens, some) for some in (GroupedOperator((alone,)), alone))
    pixels = torch.tensor([3, 285])
    assert torch.equal(ours.linear(torch.eye(6)), expected.linear(torch.eye(6)))
    assert torch.equal(ours.at(pixels), expected.at(pixels))
    assert ours.operator.nbytes == alone.nbytes


def test_select_takes_one_image_of_every_group(operator):
    values = normal(11, 2, 15, 6)
    ours = operator.select(1).apply(values[1:])
    torch.testing.assert_close(ours, operator.apply(values)[1:])


def test_channels_that_do_not_fall_into_equal_groups_are_refused(operator):
    with pytest.raises(ConfigError, match=r"got 7 channels for an operator of 3 channel groups"):
        operator.apply(normal(12, 2, 15, 7))
