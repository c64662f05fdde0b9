"""Training as a whole: it learns, it resumes, and it is reproducible."""

import math
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from train_small import CLASSES, L2HNET, UNETFORMER, Killed, recipe, same, train

from mapsr.networks import (
    EfficientViMSettings,
    EfficientViTSettings,
    L2HNetSettings,
    ParaformerSettings,
)

PARAFORMER = ParaformerSettings(width=8, image=32, encoder="test_vit", pretrained=False)


@pytest.fixture(scope="module")
def trained_vim(tmp_path_factory):
    """EfficientViM whose encoder starts from a file, with statistics that no fresh norm has."""
    path = tmp_path_factory.mktemp("weights") / "encoder.safetensors"
    model = timm.create_model("test_resnet", pretrained=False, num_classes=2)
    state = {name: one.clone() for name, one in model.state_dict().items()}
    for name, values in state.items():
        if "running" in name:
            values += 0.1
    save_file(state, path)
    return EfficientViMSettings(encoder="test_resnet", checkpoint=str(path))


@pytest.fixture
def thin(monkeypatch):
    """Paraformer with 8 million parameters rather than 60: its reduced maps have few channels."""
    for where in ("paraformer", "l2hnet"):
        monkeypatch.setattr(f"mapsr.networks.{where}.REDUCED", (32, 64, 64))
    return PARAFORMER


OVERFIT = {
    "l2hnet": (L2HNetSettings(width=8), {"learning_rate": 1e-2}),
    "l2hnet original": (L2HNET, {"learning_rate": 1e-2}),
    "efficientvit": (EfficientViTSettings(encoder="efficientvit_b0", pretrained=False), {}),
    "efficientvim": (EfficientViMSettings(encoder="test_resnet", pretrained=False), {}),
}


@pytest.mark.parametrize("name", OVERFIT)
def test_a_network_overfits_a_small_scene(tmp_path, scenes, name):
    network, values = OVERFIT[name]
    settings = recipe(epochs=None, max_steps=35, checkpoint_every=None, **values)
    _, facts, losses = train(tmp_path, scenes[:1], network, settings)
    assert min(losses[-5:]) < losses[0] / 10
    assert facts["steps"] == len(losses) == 35
    assert (facts["first_loss"], facts["last_loss"]) == (losses[0], losses[-1])


def test_paraformer_overfits_a_small_scene(tmp_path, scenes, thin):
    values = {"batch": 1, "loss": "plat", "optimizer": "sgd", "learning_rate": 0.03}
    settings = recipe(epochs=None, max_steps=25, checkpoint_every=None, **values)
    built, _, losses = train(tmp_path, scenes[:1], thin, settings)
    assert losses[-1] < losses[0] / 10
    assert built.trainable_parameters == 0
    assert sum(p.numel() for p in built.parameters()) < 9e6  # the fixture's constants are in use


def test_unetformers_own_loss_comes_near_its_floor(tmp_path, scenes):
    settings = recipe(epochs=None, max_steps=45, loss="unetformer", learning_rate=4e-3)
    _, _, losses = train(tmp_path, scenes[:1], UNETFORMER, settings)
    # what remains is the entropy of the smoothed labels, in the map's and the auxiliary head's part
    smooth = 0.05 / CLASSES
    own = 1 - 0.05 + smooth
    floor = 1.4 * -(own * math.log(own) + (CLASSES - 1) * smooth * math.log(smooth))
    assert losses[-1] - floor < (losses[0] - floor) / 10


RESUMED = {
    # dropout, batch norm, an auxiliary head, slow weights, two learning rates
    "unetformer": (
        UNETFORMER,
        {"loss": "unetformer", "lookahead": 3, "encoder_learning_rate": 1e-4, "workers": 2},
    ),
    "sgd": (L2HNET, {"optimizer": "sgd", "schedule": "poly", "loss": "confident_area"}),
    "frozen": ("trained_vim", {"freeze_norm": True, "schedule": "restarts", "restart": 1}),
    "paraformer": ("thin", {"loss": "plat", "optimizer": "sgd"}),
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_killed_training_ends_with_the_same_weights(tmp_path, scenes, request, name):
    network, values = RESUMED[name]
    if isinstance(network, str):
        network = request.getfixturevalue(network)
    settings = recipe(flip_horizontal=0.5, epochs=3, chips_per_scene=2, **values)  # 3 x 2 steps
    whole, facts, losses = train(tmp_path / "whole", scenes, network, settings)
    assert facts["resumed_from_step"] == 0
    # in the middle of the second and of the third epoch; at step 4 lookahead's weights, which moved
    # at step 3, are neither the first nor the present ones
    for kill, done in ((3, 2), (5, 4)) if name == "sgd" else ((5, 4),):
        folder = tmp_path / str(kill)
        with pytest.raises(Killed):
            train(folder, scenes, network, settings, kill=kill)
        resumed, again, rest = train(folder, scenes, network, settings)
        assert again["resumed_from_step"] == done
        assert rest == losses[done:]
        assert same(whole, resumed)
        for key in facts.keys() - {"resumed_from_step", "train_seconds"}:
            assert facts[key] == again[key], key


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path, scenes):
    settings = recipe(epochs=1, flip_vertical=0.5, rotate=0.5)
    state = torch.get_rng_state()
    first, _, _ = train(tmp_path, scenes, UNETFORMER, settings)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)  # what was drawn before doesn't matter
    second, _, _ = train(tmp_path, scenes, UNETFORMER, settings)
    other, _, _ = train(tmp_path, scenes, UNETFORMER, settings, seed=1)
    assert same(first, second)
    assert not same(first, other)
    assert not any(p.requires_grad for p in first.parameters())
    assert not first.training


def test_frozen_batch_norms_keep_their_statistics_and_learn_their_weights(
    tmp_path, scenes, trained_vim
):
    start = trained_vim.build(3, CLASSES)
    end, _, _ = train(tmp_path, scenes, trained_vim, recipe(epochs=1, freeze_norm=True))
    before, after = start.state_dict(), end.state_dict()
    kept = [name for name in before if name.endswith("running_mean")]
    for name in kept:
        assert torch.equal(before[name], after[name]) == name.startswith("encoder."), name
    norms = [name.replace("running_mean", "weight") for name in kept]
    assert any(not torch.equal(before[name], after[name]) for name in norms)


RATES = {
    # poly of power 1 over 3 epochs of 2 steps, in thirds and sixths of the start
    "step": [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6],
    "epoch": [1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3],
}


@pytest.mark.parametrize(("by", "optimizer"), [("step", "sgd"), ("epoch", "adamw")])
def test_schedule_decay_and_groups_are_applied_at_each_step(tmp_path, scenes, by, optimizer):
    # without a label the gradient is zero, and a weight only decays: by 1 - rate * decay each step
    network = replace(UNETFORMER, auxiliary=False)
    settings = recipe(
        chips_per_scene=2,
        optimizer=optimizer,
        learning_rate=0.3,
        encoder_learning_rate=0.06,
        weight_decay=0.5,
        decay_biases=False,
        momentum=0.0,
        schedule="poly",
        power=1.0,
        schedule_by=by,
    )
    reported = []
    end, _, losses = train(
        tmp_path, scenes, network, settings, learned=(255, 255, 255), reported=reported
    )
    assert losses == 6 * [0]
    assert [one["train/learning_rate"] for one in reported] == pytest.approx(
        [0.3 * share for share in RATES[by]]
    )
    for name, before in network.build(3, CLASSES).named_parameters():
        rate = 0.06 if name.startswith("encoder.") else 0.3
        decay = 0.0 if name.endswith("bias") else 0.5
        factor = math.prod(1 - rate * share * decay for share in RATES[by])
        torch.testing.assert_close(end.get_parameter(name).data, before.data * factor, msg=name)
