import math

import pytest
import torch
from lightning.pytorch.trainer import setup
from stand_ins import normal, pixel_features, random_features, uniform

from mapsr.errors import PromptError
from mapsr.prompts import LinearProbe, PixelSample, ProbeSettings, train_probe

DIM = 3


def probe(table=(0, 1, 2), classes=3, scale=1.0, dim=DIM, **changes):
    values = {"bias": False, "epochs": 20, "batch": 32, "learning_rate": 0.05, "weight_decay": 0.0}
    return LinearProbe(dim, table, classes, scale, ProbeSettings(**(values | changes)))


def three_groups(count=120, spread=0.3):
    """Pixels around the three axes, and which of them."""
    labels = torch.arange(count) % 3
    return torch.eye(DIM)[labels] + spread * normal(100, count, DIM), labels


class OneChip:
    """A chip an epoch; Lightning would take a list for several loaders."""

    def __init__(self, features, labels):
        self.batch = features, labels

    def __len__(self):
        return 1

    def __iter__(self):
        yield self.batch


def train(one, sample):
    train_probe(one, sample, "cpu", "32-true")


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_groups_that_a_line_separates_are_learned(bias, scale):
    features, labels = three_groups()
    one = probe(bias=bias, scale=scale)
    train(one, PixelSample(features * scale, labels, 32, 0))
    scores = one.scores(pixel_features((features * scale).T[None, :, None]))
    assert (scores[0, :, 0].argmax(0) == labels).double().mean() > 0.98
    assert not any(parameter.requires_grad for parameter in one.parameters())


def test_pixels_of_nodata_are_not_learned():
    features, labels = three_groups()
    wrong = torch.cat([labels, torch.full((60,), 255)])
    with_nodata, without = probe(epochs=1, batch=1000), probe(epochs=1, batch=1000)
    train(with_nodata, PixelSample(torch.cat([features, -features[:60]]), wrong, 1000, 0))
    train(without, PixelSample(features, labels, 1000, 0))
    torch.testing.assert_close(with_nodata.weight, without.weight)


def test_training_needs_no_seed_and_touches_no_global_state():
    features, labels = three_groups()
    before = torch.random.get_rng_state()
    first, second = probe(epochs=2), probe(epochs=2)
    for one in (first, second):
        assert not one.weight.any()
        train(one, PixelSample(features, labels, 16, 5))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(torch.random.get_rng_state(), before)
    other = probe(epochs=2)
    train(other, PixelSample(features, labels, 16, 6))
    assert not torch.equal(first.weight, other.weight)


def test_parameters_are_counted():
    assert probe((0, 1, 2, 3), 4, dim=768).trained_parameters == 4 * 768
    seventeen = probe(tuple(range(17)), 17, dim=768, bias=True)
    assert seventeen.trained_parameters == 17 * 768 + 17


def test_through_the_operator_the_same_classes_are_learned_as_from_pixels():
    size = (8, 12)
    labels = (torch.arange(12) // 4).expand(size)
    image = torch.eye(DIM)[labels].permute(2, 0, 1)[None] + 0.2 * uniform(101, 1, DIM, *size)
    features = pixel_features(image)
    by_operator, by_pixels = probe(epochs=40), probe(epochs=40)
    train(by_operator, OneChip(features, labels[None]))
    train(by_pixels, PixelSample(image[0].flatten(1).T, labels.flatten(), 24, 0))
    for one in (by_operator, by_pixels):
        assert torch.equal(one.scores(features)[0].argmax(0), labels)


@pytest.mark.parametrize("bias", [False, True])
def test_the_loss_through_the_operator_is_that_of_the_pixels(bias):
    features = random_features(102, (6, 9), (2, 3), DIM)
    labels = torch.randint(0, 3, (1, 6, 9), generator=torch.Generator().manual_seed(103))
    labels[0, 0] = 255
    one = probe(bias=bias, scale=2.0)
    one.weight.data.copy_(normal(104, 3, DIM))
    if one.bias is not None:
        one.bias.data.copy_(normal(105, 3))
    dense = features.linear(torch.eye(DIM)).flatten(2)[0].T
    torch.testing.assert_close(one.loss(features, labels), one.loss(dense, labels.flatten()))


def test_product_classes_are_scored_as_argmax_then_map():
    table, classes = (2, 0, 2, 0, 1), 3
    one = probe(table, classes)
    one.weight.data.copy_(normal(106, 5, DIM))
    features = random_features(107, (7, 11), (3, 4), DIM, batch=2)
    best = one.logits(features).argmax(1)
    scores = one.scores(features)
    assert scores.shape == (2, classes, 7, 11)
    assert torch.equal(scores.argmax(1), torch.tensor(table)[best])


def test_a_product_class_without_target_is_left_out():
    one = probe((1, 255, 1), 3)
    one.weight.data.copy_(torch.tensor([[1.0, 0, 0], [9, 9, 9], [0, 2, 0]]))
    scores = one.scores(pixel_features(torch.ones(1, DIM, 1, 1)))
    assert scores.flatten().tolist() == [-math.inf, 2, -math.inf]


def test_a_training_that_diverges_is_an_error():
    features, labels = three_groups()
    features[7] = math.inf
    with pytest.raises(PromptError, match=r"training diverged.*prompts.learning_rate, now 0.05"):
        train(probe(epochs=1), PixelSample(features, labels, 32, 0))


def test_an_idle_gpu_is_no_reason_for_a_warning(monkeypatch):
    monkeypatch.setattr(setup.CUDAAccelerator, "is_available", lambda: True)
    features, labels = three_groups()
    train(probe(epochs=1), PixelSample(features, labels, 32, 0))


def test_each_epoch_serves_each_pixel_once():
    sample = PixelSample(normal(108, 10, 2), torch.arange(10), 4, 0)
    assert len(sample) == 3
    epochs = [list(sample), list(sample)]
    orders = []
    for epoch in epochs:
        assert [len(labels) for _, labels in epoch] == [4, 4, 2]
        order = torch.cat([labels for _, labels in epoch])
        assert sorted(order.tolist()) == list(range(10))
        assert torch.equal(torch.cat([features for features, _ in epoch]), sample.features[order])
        orders.append(order.tolist())
    assert orders[0] != orders[1]
    again = PixelSample(sample.features, sample.labels, 4, 0)
    assert [torch.cat([labels for _, labels in list(again)]).tolist() for _ in range(2)] == orders
