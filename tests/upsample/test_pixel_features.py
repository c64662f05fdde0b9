import pytest
import torch
import torch.nn.functional as F
from stand_ins import dense, normal, random_features, uniform

from mapsr import budgets
from mapsr.upsample import Bilinear, PixelFeatures

SIZE, GRID, DIM = (11, 18), (3, 4), 24


@pytest.fixture(scope="module")
def features():
    return random_features(31, SIZE, GRID, DIM, batch=2)


@pytest.fixture(scope="module")
def whole(features):
    """F itself, (2, H W, D), in float64."""
    return dense(features.operator, 2).double() @ features.tokens.double()


def close(ours, expected, tolerance=1e-5):
    largest = float(expected.abs().max())
    torch.testing.assert_close(ours.double(), expected, rtol=0, atol=tolerance * largest)


def test_linear_with_and_without_bias(features, whole):
    weight, bias = normal(32, 5, DIM), normal(33, 5)
    expected = (whole @ weight.T.double()).transpose(1, 2).unflatten(2, SIZE)
    close(features.linear(weight), expected)
    close(features.linear(weight, bias), expected + bias.double()[:, None, None])


def test_norm(features, whole):
    close(features.norm, whole.norm(dim=2).unflatten(1, SIZE))


def test_cosine_is_between_minus_one_and_one(features, whole):
    directions = torch.cat([normal(34, 4, DIM), features.tokens[0, :1], -features.tokens[0, :1]])
    ours = features.cosine(directions)
    unit = F.normalize(whole, dim=2) @ F.normalize(directions.double(), dim=1).T
    close(ours, unit.transpose(1, 2).unflatten(2, SIZE))
    assert ours.abs().max() <= 1 + 1e-6


def test_the_length_of_a_direction_does_not_matter(features):
    directions = normal(35, 3, DIM)
    torch.testing.assert_close(features.cosine(directions), features.cosine(50 * directions))


def test_features_of_length_zero_have_cosine_zero():
    tokens = torch.zeros(1, 3, 2, 2)
    features = PixelFeatures.of(tokens, Bilinear()(torch.zeros(1, 3, 5, 6), tokens))
    assert features.cosine(torch.eye(3)).abs().max() == 0


def test_sums_and_unit_sums(features, whole):
    labels = torch.randint(-1, 5, (2, *SIZE), generator=torch.Generator().manual_seed(36))
    indicator = F.one_hot(labels.flatten(1) + 1, 6)[..., 1:].transpose(1, 2).double()
    close(features.sums(labels, 5), indicator @ whole)
    close(features.unit_sums(labels, 5), indicator @ F.normalize(whole, dim=2))


def test_at_gives_single_pixels_in_order(features, whole, monkeypatch):
    pixels = torch.tensor([190, 3, 197, 0, 3])
    close(features.at(pixels), whole[:, pixels], 1e-6)
    monkeypatch.setattr(budgets, "DENSE_ROWS", budgets.Budget(2))
    close(features.at(pixels), whole[:, pixels], 1e-6)
    assert features.at(pixels[:0]).shape == (2, 0, DIM)


def test_select_gives_one_image(features, whole):
    one = features.select(1)
    assert one.size == SIZE
    close(one.linear(torch.eye(DIM)).flatten(2).transpose(1, 2), whole[1:])


def test_of_takes_tokens_as_an_encoder_gives_them():
    tokens = normal(37, 1, 3, 2, 4)
    image = uniform(38, 1, 3, 2, 4)
    features = PixelFeatures.of(tokens, Bilinear()(image, tokens))
    torch.testing.assert_close(features.linear(torch.eye(3)), tokens)


def test_sums_over_sets_that_no_pixel_has_are_zero(features):
    labels = torch.full((2, *SIZE), -1)
    labels[1, 2, 3] = 4  # one pixel of the second image alone
    sums = features.sums(labels, 6)
    assert sums.shape == (2, 6, DIM)
    pixel = features.at(torch.tensor([2 * SIZE[1] + 3]))[1, 0]
    torch.testing.assert_close(sums[1, 4], pixel)
    sums[1, 4] = 0
    assert sums.abs().max() == 0


@pytest.mark.parametrize("known", [True, False])
def test_an_image_of_a_batch_keeps_its_own_norms(known):
    features = random_features(80, (13, 17), (3, 5), 6, batch=3)
    norms = torch.stack([features.select(part).norm[0] for part in range(3)])
    if known:
        torch.testing.assert_close(features.norm, norms)
    for part in range(3):
        one = features.select(part)
        assert ("norm" in vars(one)) is known and one.norm.shape == (1, 13, 17)
        torch.testing.assert_close(one.norm[0], norms[part])
