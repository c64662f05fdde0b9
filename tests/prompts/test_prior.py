import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_ins import generator, normal, random_features

from mapsr.errors import ConfigError
from mapsr.prompts import (
    ClassPrompts,
    NoPriorSettings,
    ProductPriorSettings,
    class_shares,
    log_prior,
    posterior,
    renormalised,
)

SHARES = torch.tensor([[0.9, 0.1, 0], [0.2, 0.5, 0.3], [0, 0, 0]]).double()
AREA = torch.tensor([0.5, 0.3, 0.2]).double()


def test_shares_of_an_area_are_means_over_its_product_pixels():
    found = class_shares(torch.tensor([3, 1, 2]), SHARES)  # the third is left out
    torch.testing.assert_close(found, (3 * SHARES[0] + SHARES[1]) / 4)
    nothing = class_shares(torch.zeros(3, dtype=torch.long), SHARES)
    torch.testing.assert_close(nothing, torch.full((3,), 1 / 3).double())


def test_an_unblurred_prior_by_hand():
    products = torch.tensor([[0, 1, 2], [255, 1, 0]])
    found = log_prior(products, SHARES, (3, 3), AREA, blur=0, floor=1e-4).exp()
    one = torch.tensor([0.9, 0.1, 1e-4]).double() / 1.0001
    two, area = SHARES[1], AREA
    expected = torch.stack([one, two, area, area, two, one]).T.view(3, 2, 3)
    torch.testing.assert_close(found, expected.float())


def test_the_blur_is_a_gaussian_over_the_place():
    products = torch.zeros(5, 41, dtype=torch.long)
    products[:, 21:] = 1
    found = log_prior(products, SHARES, (4, 6), AREA, blur=0.5).exp()
    # a step seen through a Gaussian of 3 px: the share of what lies beyond 20.5
    for column in (12, 17, 20, 21, 26):
        weight = 0.5 * (1 + math.erf((column - 20.5) / (3 * math.sqrt(2))))
        expected = (1 - weight) * 0.9 + weight * 0.2
        assert float(found[0, 2, column]) == pytest.approx(expected, abs=1e-3)
    torch.testing.assert_close(found[:, :1].expand_as(found), found)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0, 2),
    st.floats(0.5, 40),
    st.integers(0, 10**6),
)
def test_a_prior_sums_to_one_and_stays_between_its_shares(height, width, blur, cell, seed):
    products = torch.randint(0, 4, (height, width), generator=generator(seed))
    products[products == 3] = 255
    found = log_prior(products, SHARES, (cell, 2 * cell), AREA, blur=blur)
    assert found.shape == (3, height, width)
    torch.testing.assert_close(found.exp().sum(0), torch.ones(height, width))
    assert (found > math.log(0.9e-4)).all()


def prompts(*counts):
    counts = torch.tensor(counts)
    return ClassPrompts(normal(3, len(counts), 6) * (counts > 0)[:, None], counts)


def test_the_posterior_is_the_softmax_of_image_and_product():
    ours = prompts(4, 0, 2)
    cosine = normal(5, 2, 2, 3, 4).clamp(-1, 1)
    prior = normal(6, 2, 3, 3, 4).log_softmax(1)
    found = posterior(cosine, ours, prior, 20.0, 0.7)
    weight = torch.exp(20 * cosine) * prior[:, [0, 2]].exp() ** 0.7
    expected = weight / weight.sum(1, keepdim=True)
    torch.testing.assert_close(found[:, [0, 2]], expected)
    assert not found[:, 1].any()


def test_without_strength_the_product_changes_no_class():
    features = random_features(7, (9, 14), (3, 4), 6)
    ours = prompts(4, 3, 2)
    cosine = ours.cosine(features)
    prior = normal(8, 1, 3, 9, 14).log_softmax(1)
    found = posterior(cosine, ours, prior, 20.0, 0.0)
    assert torch.equal(found.argmax(1), cosine.argmax(1))
    torch.testing.assert_close(found, posterior(cosine, ours, prior + 5 * prior, 20.0, 0.0))


def test_a_strong_product_wins():
    ours = prompts(1, 1, 1)
    cosine = torch.zeros(1, 3, 2, 2)
    cosine[:, 0] = 0.1
    prior = torch.tensor([0.05, 0.05, 0.9]).log().view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert (posterior(cosine, ours, prior, 20.0, 0.0).argmax(1) == 0).all()
    assert (posterior(cosine, ours, prior, 20.0, 1.0).argmax(1) == 2).all()


def test_a_product_that_counts_less_than_nothing_is_refused():
    cosine, prior = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)
    with pytest.raises(ConfigError, match=r"prior.strength is -0.5, expected a number in \[0"):
        posterior(cosine, prompts(1, 1), prior, 20.0, -0.5)


def test_smoothed_probabilities_sum_to_one_again():
    smoothed = torch.tensor([[0.6, 0.2, 0.0], [0.1, 0.1, 0.02]]).T[None, :, None]
    found = renormalised(smoothed)
    torch.testing.assert_close(
        found[0, :, 0].T, torch.tensor([[0.75, 0.25, 0], [5, 5, 1]]) / torch.tensor([[1.0], [11.0]])
    )
    assert torch.equal(found.argmax(1), smoothed.argmax(1))


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("strength", -0.1, "prior.strength"),
        ("blur", -1.0, "prior.blur"),
        ("sharpness", 0.0, "prior.sharpness"),
        ("floor", 0.0, "prior.floor"),
    ],
)
def test_settings_out_of_range_are_refused(key, value, name):
    with pytest.raises(ConfigError, match=rf"{name} is {value}, expected a number in [\[(]0"):
        ProductPriorSettings(**{key: value})


@pytest.mark.parametrize("without", ["product", "cell", "strength"])
def test_without_product_cell_or_strength_the_image_decides(without):
    ours, cosine = prompts(4, 2, 3), normal(9, 1, 3, 5, 6).clamp(-1, 1)
    settings = ProductPriorSettings(strength=0.0 if without == "strength" else 1.0)
    products = None if without == "product" else torch.zeros(1, 5, 6, dtype=torch.uint8)
    cell = None if without == "cell" else (2.0, 3.0)
    found = settings.learned(SHARES, AREA).posterior(cosine, ours, products, cell)
    torch.testing.assert_close(found, (20 * cosine).softmax(1))
    assert ProductPriorSettings.gives_probabilities and not NoPriorSettings.gives_probabilities
