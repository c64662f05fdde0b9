"""Single steps of a training, and what it refuses."""

import math

import pytest
import torch
from train_small import CLASSES, L2HNET, recipe, train

from mapsr.errors import ConfigError
from mapsr.networks import EfficientViMSettings
from mapsr.training.draws import DrawPlan
from mapsr.training.module import NetworkTraining, drawn_from
from mapsr.training.sampling import Batch

VIM = EfficientViMSettings(encoder="efficientvim_m1", pretrained=False)


def module(network=L2HNET, released=False, **values):
    settings = recipe(**values)
    return NetworkTraining(
        network.build(3, CLASSES),
        settings,
        DrawPlan(2, settings, 0, alike=False),
        seed=0,
        released=released,
        on_step=lambda step, values: None,
    )


EMPTY = Batch(torch.rand(2, 3, 32, 32), torch.full((2, 32, 32), 255), 0)


def test_an_empty_mask_ends_a_released_training_with_its_remedy():
    message = r"loss of step 1 is not a .*the authors' .*no pixel is labelled.*recipe=corrected"
    with pytest.raises(ConfigError, match=message):
        module(released=True).training_step(EMPTY, 0)
    assert module(released=False).training_step(EMPTY, 0) == 0


def test_a_diverged_training_names_the_learning_rate(tmp_path, scenes):
    settings = recipe(epochs=None, max_steps=40, optimizer="sgd", learning_rate=1e8)
    message = r"loss of step \d+ is not a finite .*the training diverged.*learning_rate, now 1e\+08"
    for released in (False, True):
        with pytest.raises(ConfigError, match=message):
            train(tmp_path, scenes, L2HNET, settings, released=released)


def test_a_network_without_encoder_has_no_norm_to_freeze():
    with pytest.raises(ConfigError, match=r"training.freeze_norm=true, but L2HNet has no encoder"):
        module(freeze_norm=True)


def test_norms_of_a_random_encoder_were_frozen_at_a_mean_of_zero_and_a_variance_of_one():
    message = r"freeze_norm=true keeps .* pretrained .*: set training.freeze_norm=false or network"
    with pytest.raises(ConfigError, match=message):
        module(VIM, freeze_norm=True)


def test_plat_needs_two_branches():
    message = r"loss=plat needs the logits cnn and vit, but L2HNet gives only map: .*Paraformer"
    with pytest.raises(ConfigError, match=message):
        module(loss="plat")


def test_the_confident_area_follows_a_warm_up():
    one = module(loss="confident_area", warm_up=0.5, confident_threshold=1.0)  # 12 steps
    logits, labels = torch.randn(1, CLASSES, 4, 5), torch.zeros(1, 4, 5, dtype=torch.int64)
    one.step = 5
    assert one.loss({"map": logits}, labels) > 0
    one.step = 6
    assert one.loss({"map": logits}, labels) == 0  # no pixel is that certain


def test_too_few_values_to_normalise_over_name_the_keys():
    one = module(VIM, batch=1)
    one.network.train()
    chip = Batch(torch.rand(1, 3, 32, 32), torch.zeros(1, 32, 32, dtype=torch.int64), 0)
    with pytest.raises(ConfigError, match=r"1 chip\(s\) of 32 px are too few .*training.batch or"):
        one.training_step(chip, 0)


def test_dropout_depends_on_the_key_alone():
    cpu = torch.device("cpu")
    drawn = []
    for key in ((3, 0, 1), (3, 0, 1), (3, 0, 2), (3, 1, 1)):
        with drawn_from(key, cpu):
            drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[1])
    assert not any(torch.equal(drawn[0], one) for one in drawn[2:])


class Counting:
    """Counts the iterations of a loop."""

    def track(self, items, what, total):
        self.done, self.total = 0, total
        for item in items:
            yield item
            self.done += 1


def test_the_progress_sees_the_last_step(tmp_path, scenes):
    progress = Counting()
    train(tmp_path, scenes, L2HNET, recipe(epochs=1), progress=progress)
    assert progress.done == progress.total == 4


@pytest.mark.parametrize("released", [True, False])
@pytest.mark.parametrize("flaws", ["none", "paraformer"])
def test_the_released_paraformer_alone_counts_its_schedule_in_chips(released, flaws):
    one = module(released=released, flaws=flaws)
    counted = one.plan.chips if released and flaws == "paraformer" else one.plan.steps
    assert one.plan.chips != one.plan.steps
    assert one.schedule.length == math.ceil(counted / one.schedule.unit)
