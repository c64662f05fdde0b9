import math

import pytest
import torch
from stand_ins import generator, normal, random_features, uniform

from mapsr.errors import ConfigError, PromptError
from mapsr.prompts import EmPromptSettings, FactoredPixels, SampledPixels, fit_em
from mapsr.prompts.em import log_shares

NAMES = ("water", "trees", "grass")
SHARES = torch.tensor([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0, 0.3, 0.7], [0.3, 0.3, 0.4]]).double()
DIM = 5


def fitted(features, products, shares=SHARES, **changes):
    settings = EmPromptSettings(**changes)
    return fit_em(SampledPixels(features, products), shares, NAMES[: shares.shape[1]], settings)


def planted(seed, count=4000, apart=1.0):
    """Pixels of a mixture that is just what EM assumes: means, features, products and classes."""
    means = apart * normal(seed, 3, DIM)
    products = torch.randint(0, 4, (count,), generator=generator(seed + 1))
    classes = torch.multinomial(SHARES[products], 1, generator=generator(seed + 2))[:, 0]
    mixing = normal(seed + 3, DIM, DIM) * 0.3
    features = means[classes] + normal(seed + 4, count, DIM) @ mixing + 3
    return means + 3, features, products, classes


def reference(features, products, shares, settings):
    """EM by loops, straight from its equations: means and the log-likelihood's rise by step."""
    f = features.double()
    n, dim = f.shape
    classes = shares.shape[1]
    p = shares.double().clamp_min(settings.floor)
    p = p / p.sum(1, keepdim=True)
    centre = f.mean(0)
    total = sum(torch.outer(x - centre, x - centre) for x in f) / n
    sphere = total.trace() / dim * torch.eye(dim).double()
    r = torch.stack([p[k] for k in products])
    objectives = []
    for _ in range(settings.steps):
        m = [sum(r[i, c] * f[i] for i in range(n)) / r[:, c].sum() for c in range(classes)]
        s = torch.zeros(dim, dim).double()
        for i in range(n):
            for c in range(classes):
                s += r[i, c] * torch.outer(f[i] - m[c], f[i] - m[c]) / n
        lam, heat = settings.shrinkage, settings.temperature
        s = (1 - lam) * s + lam * sphere
        inverse, log_det = s.inverse(), s.logdet()
        objective = 0.0
        for i in range(n):
            terms = torch.empty(classes).double()
            for c in range(classes):
                d = f[i] - m[c]
                terms[c] = p[products[i], c].log() - (d @ inverse @ d + log_det) / (2 * heat)
            objective += float(terms.logsumexp(0)) / n
            r[i] = terms.softmax(0)
        penalty = lam / (1 - lam) * (log_det + (inverse * sphere).sum())
        objectives.append(objective - float(penalty) / (2 * heat))
    means = torch.stack([(r[:, c, None] * f).sum(0) / r[:, c].sum() for c in range(classes)])
    return means, objectives, r.sum(0) / n


def test_one_step_by_hand():
    features = torch.tensor([[-1.0], [-1.0], [1.0], [1.0]])
    shares = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    found = fitted(
        features, torch.tensor([0, 0, 1, 1]), shares, steps=1, temperature=1, shrinkage=0
    )
    # means -0.8 and 0.8, variance 1 - 0.64; the odds of a pixel at its own class
    odds = 9 * math.exp(2 * 0.8 / 0.36)
    mean = 1 - 2 * odds / (odds + 1)
    assert found.prompts.vectors[:, 0].tolist() == pytest.approx([mean, -mean])
    assert found.prompts.counts.tolist() == [2, 2]
    assert found.weights == pytest.approx([0.5, 0.5])
    density = math.exp(-0.5 * 0.04 / 0.36) / math.sqrt(0.36)
    other = math.exp(-0.5 * 3.24 / 0.36) / math.sqrt(0.36)
    assert found.objective == pytest.approx([math.log(0.9 * density + 0.1 * other)])


@pytest.mark.parametrize("changes", [{}, {"temperature": 1.0, "shrinkage": 0.2}])
def test_em_is_what_its_equations_say(changes):
    _, features, products, _ = planted(10, count=60)
    settings = EmPromptSettings(steps=4, **changes)
    found = fitted(features, products, steps=4, **changes)
    means, objectives, weights = reference(features, products, SHARES, settings)
    torch.testing.assert_close(found.prompts.vectors.double(), means, rtol=1e-5, atol=1e-5)
    assert found.objective == pytest.approx(objectives, rel=1e-7)
    assert found.weights == pytest.approx(weights.tolist())


@pytest.mark.parametrize("temperature", [1.0, 3.3])
@pytest.mark.parametrize("shrinkage", [0.0, 0.05, 0.6])
def test_the_objective_never_falls(temperature, shrinkage):
    features = uniform(20, 500, DIM) ** 3  # far from a mixture of Gaussians
    products = torch.randint(0, 4, (500,), generator=generator(21))
    found = fitted(features, products, temperature=temperature, shrinkage=shrinkage, steps=40)
    steps = torch.tensor(found.objective, dtype=torch.float64).diff()
    assert (steps > -1e-10).all() and steps[0] > 1e-5


def test_a_planted_mixture_is_found_from_shares_alone():
    means, features, products, classes = planted(30)
    found = fitted(features, products, temperature=1.0, shrinkage=0.0)
    assert (found.prompts.vectors - means).norm(dim=1).max() < 0.1
    truth = torch.bincount(classes) / len(classes)
    assert found.weights == pytest.approx(truth.tolist(), abs=0.01)


def test_means_turn_with_the_feature_space():
    _, features, products, _ = planted(40, count=500)
    turn = torch.linalg.qr(normal(41, DIM, DIM).double())[0]
    turned = fitted(features.double() @ turn, products)
    plain = fitted(features.double(), products)
    expected = plain.prompts.vectors.double() @ turn
    torch.testing.assert_close(turned.prompts.vectors.double(), expected, rtol=1e-5, atol=1e-5)
    assert turned.objective == pytest.approx(plain.objective)


def factored(seed):
    """Batches of features and products, some without a class; the same as a sample."""
    batches, dense, labels = [], [], []
    for number in range(2):
        features = random_features(seed + number, (9, 14), (3, 4), DIM, batch=2)
        numbers = generator(seed + 5 + number)
        products = torch.randint(0, 5, (2, 9, 14), generator=numbers)
        products[products == 4] = 255
        batches.append((features, products))
        dense.append(features.linear(torch.eye(DIM)).movedim(1, 3).reshape(-1, DIM))
        labels.append(products.flatten())
    return batches, torch.cat(dense), torch.cat(labels)


def test_all_pixels_in_factored_form_give_what_dense_ones_give():
    batches, dense, products = factored(50)
    settings = EmPromptSettings(steps=5)
    found = fit_em(FactoredPixels(batches), SHARES, NAMES, settings)
    expected = fit_em(SampledPixels(dense, products), SHARES, NAMES, settings)
    torch.testing.assert_close(found.prompts.vectors, expected.prompts.vectors)
    assert torch.equal(found.prompts.counts, expected.prompts.counts)
    assert found.objective == pytest.approx(expected.objective, rel=1e-6)


def test_moments_of_factored_pixels_are_those_of_dense_ones():
    batches, dense, products = factored(60)
    found, expected = FactoredPixels(batches).moments(), SampledPixels(dense, products).moments()
    assert found.count == expected.count == int((products != 255).sum())
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.scatter, expected.scatter, rtol=1e-5, atol=1e-6)


def test_the_same_pixels_give_the_same_prompts():
    _, features, products, _ = planted(70, count=300)
    first, second = fitted(features, products), fitted(features, products)
    assert torch.equal(first.prompts.vectors, second.prompts.vectors)
    assert first.objective == second.objective


def test_a_class_without_weight_has_no_prompt(caplog):
    _, features, products, _ = planted(80, count=600)
    lacking = torch.tensor([[0.9, 0.1, 0], [0.3, 0.7, 0], [0.1, 0.9, 0], [0.4, 0.6, 0]])
    with caplog.at_level("WARNING", "mapsr"):
        found = fitted(features, products, lacking.double(), temperature=1.0)
    assert found.prompts.present.tolist() == [True, True, False]
    assert not found.prompts.vectors[2].any() and found.weights[2] < 1e-3
    assert "no pixels for a prompt of grass (EM)" in caplog.text


def test_pixels_of_no_product_class_do_not_count():
    _, features, products, _ = planted(90, count=400)
    more = torch.cat([features, features * 100])
    none = torch.full_like(products, 255)
    found = fitted(more, torch.cat([products, none]))
    torch.testing.assert_close(found.prompts.vectors, fitted(features, products).prompts.vectors)


def test_features_without_any_spread_leave_the_shares_of_the_table():
    found = fitted(torch.ones(8, DIM), torch.tensor([0, 1, 2, 3] * 2))
    table = log_shares(SHARES, 1e-4).exp()
    assert found.weights == pytest.approx(table.mean(0).tolist(), abs=1e-6)


def test_em_that_ends_in_one_class_says_why():
    one = torch.tensor([[1.0, 0, 0]])
    with pytest.raises(PromptError, match=r"one class \(water 99\.98%, .*prompts\.temperature"):
        fitted(normal(100, 50, DIM), torch.zeros(50, dtype=torch.long), one)


def test_no_labelled_pixel_is_an_error():
    none = torch.full((50,), 255)
    with pytest.raises(PromptError, match=r"No pixel .* legend\.coarse and legend\.soft"):
        fitted(normal(101, 50, DIM), none)


def test_features_that_are_not_finite_are_an_error():
    features = normal(102, 50, DIM)
    features[3, 2] = math.nan
    with pytest.raises(PromptError, match="values that are not finite"):
        fitted(features, torch.zeros(50, dtype=torch.long))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("through", "probe"),
        ("pixels", 0),
        ("steps", 0),
        ("chips", 0),
        ("temperature", 0.5),
        ("shrinkage", 1.0),
        ("floor", 0.0),
        ("least", 0.6),
    ],
)
def test_settings_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=rf"prompts\.{key} is '?{value}"):
        EmPromptSettings(**{key: value})
