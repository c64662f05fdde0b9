import math

import pytest
import torch
from stand_ins import normal
from torch import nn

from mapsr.errors import ConfigError
from mapsr.networks import L2HNetSettings, UNetFormerSettings
from mapsr.training import TrainingSettings
from mapsr.training.draws import DrawPlan
from mapsr.training.optim import START, Lookahead, Schedule, make_optimizer, start_rate


def schedule(in_chips=False, scenes=2, **values):
    defaults = {"epochs": 4, "batch": 2, "chips_per_scene": 5}  # 5 steps an epoch, 20 in all
    settings = TrainingSettings(**defaults | values)
    return Schedule(settings, DrawPlan(scenes, settings, 0, alike=False), in_chips=in_chips)


def rates(one, start=1.0, steps=20):
    return [one.rate(start, step) for step in range(steps)]


def theirs(make, start=1.0, steps=20, every=1):
    """The learning rates of one of torch's schedulers."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=start)
    scheduler = make(optimizer)
    found = []
    for step in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0:
            scheduler.step()
    return found


def test_poly_by_hand():
    one = schedule(schedule="poly")
    assert one.rate(0.01, 0) == 0.01
    assert one.rate(0.01, 10) == pytest.approx(0.01 * 0.5**0.9)
    assert one.rate(0.01, 19) == pytest.approx(0.01 * 0.05**0.9)


def test_poly_is_torchs():
    expected = theirs(lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 20, 0.9))
    assert rates(schedule(schedule="poly")) == pytest.approx(expected)


def test_poly_ends_at_the_least():
    one = schedule(schedule="poly", least_learning_rate=0.2)
    assert one.rate(1.0, 10) == pytest.approx(0.2 + 0.8 * 0.5**0.9)
    assert one.rate(1.0, 20) == pytest.approx(0.2)
    assert one.rate(0.1, 7) == 0.1  # a start below it stays


def test_a_released_schedule_counts_chips_and_hardly_decays():
    # 20 batches of 2: 40 chips
    one = schedule(schedule="poly", in_chips=True)
    assert one.rate(1.0, 20) == pytest.approx(0.5**0.9)
    published = schedule(scenes=60, epochs=100, batch=10, schedule="poly", in_chips=True)
    assert published.rate(1.0, 3000) == pytest.approx(0.9**0.9)
    assert published.rate(1.0, 3000) == pytest.approx(0.91, abs=0.001)


def test_cosine_by_epoch_is_torchs():
    expected = theirs(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 4, eta_min=0.1), every=5
    )
    one = schedule(schedule_by="epoch", least_learning_rate=0.1)
    assert rates(one) == pytest.approx(expected)
    assert one.rate(1.0, 4) == 1.0
    assert one.rate(1.0, 5) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2)


@pytest.mark.parametrize(("by", "every", "first"), [("epoch", 5, 1), ("step", 1, 5)])
def test_restarts_are_torchs(by, every, first):
    expected = theirs(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, first, T_mult=2),
        steps=80,
        every=every,
    )
    one = schedule(schedule="restarts", schedule_by=by, restart=1, epochs=16)
    assert rates(one, steps=80) == pytest.approx(expected)


def test_a_training_that_is_cut_short_decays_by_its_end():
    assert schedule(max_steps=10).rate(1.0, 5) == pytest.approx(0.5)
    # in epochs the last one that is begun still counts
    assert schedule(max_steps=8, schedule_by="epoch").rate(1.0, 5) == pytest.approx(0.5)


def test_constant():
    assert set(rates(schedule(schedule="constant"))) == {1.0}


@pytest.mark.parametrize(
    ("batch", "factor"), [(24, 1), (12, 0.5), (48, 2), (10, 1), (16, 1)], ids=str
)
def test_a_released_learning_rate_follows_multiples_of_six(batch, factor):
    settings = TrainingSettings(batch=batch, flaws="paraformer")
    assert start_rate(0.01, settings, released=True) == pytest.approx(0.01 * factor)
    assert start_rate(0.01, settings, released=False) == 0.01
    assert start_rate(0.01, TrainingSettings(batch=batch), released=True) == 0.01


@pytest.fixture(scope="module")
def unetformer():
    return UNetFormerSettings(pretrained=False).build(3, 4)


def test_groups_of_rates_and_decays(unetformer):
    settings = TrainingSettings(
        learning_rate=1e-3, encoder_learning_rate=1e-4, weight_decay=0.01, decay_biases=False
    )
    optimizer = make_optimizer(unetformer, settings, released=False)
    found = {}
    for group in optimizer.param_groups:
        assert group["lr"] == group[START]
        for parameter in group["params"]:
            found[id(parameter)] = (group["lr"], group["weight_decay"])
    for name, parameter in unetformer.named_parameters():
        rate = 1e-4 if name.startswith("encoder.") else 1e-3
        assert found.pop(id(parameter)) == (rate, 0.0 if name.endswith("bias") else 0.01), name
    assert not found


def test_one_group_where_nothing_differs(unetformer):
    settings = TrainingSettings(optimizer="sgd", momentum=0.8, weight_decay=1e-4)
    optimizer = make_optimizer(unetformer, settings, released=False)
    (group,) = optimizer.param_groups
    assert (group["momentum"], group["weight_decay"]) == (0.8, 1e-4)
    assert isinstance(optimizer, torch.optim.SGD)


def test_a_network_without_encoder_takes_no_rate_for_one():
    network = L2HNetSettings(width=8, variant="original").build(3, 4)
    with pytest.raises(ConfigError, match=r"encoder_learning_rate is 0.1, but L2HNet has no enc"):
        make_optimizer(network, TrainingSettings(encoder_learning_rate=0.1), released=False)


def test_lookahead_by_hand():
    weight = nn.Parameter(torch.tensor([0.0]))
    lookahead = Lookahead([weight], every=2, share=0.5)
    stood = []
    for step in range(1, 5):
        with torch.no_grad():
            weight += 1
        lookahead.after(step)
        stood.append(weight.item())
    # 2 goes back to 1, 3 to 2
    assert stood == [1, 1, 2, 2]


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_lookahead_is_a_slow_loop(share):
    start, moves = normal(1, 3, 2), normal(2, 17, 3, 2)
    weight = nn.Parameter(start.clone())
    lookahead = Lookahead([weight], every=5, share=share)
    fast, slow = start.clone(), start.clone()
    for step, move in enumerate(moves, start=1):
        with torch.no_grad():
            weight += move
        lookahead.after(step)
        fast = fast + move
        if step in (5, 10, 15):
            slow = slow + share * (fast - slow)
            fast = slow.clone()
        torch.testing.assert_close(weight.data, fast)


def test_lookahead_goes_on_from_what_it_remembered():
    weight = nn.Parameter(torch.tensor([4.0]))
    lookahead = Lookahead([weight], every=1, share=0.5)
    lookahead.load([torch.tensor([2.0])])
    lookahead.after(1)
    assert weight.item() == 3
    assert lookahead.slow[0].item() == 3
    assert lookahead.slow[0].data_ptr() != weight.data_ptr()
