"""Training as a whole: that it learns, that it goes on, that it is the same again."""

import math

import pytest
import timm
import torch
from make_training import make_scene, source
from safetensors.torch import save_file

from mapsr.errors import ConfigError, WeightsError
from mapsr.networks import (
    EfficientViMSettings,
    EfficientViTSettings,
    L2HNetSettings,
    ParaformerSettings,
    UNetFormerSettings,
)
from mapsr.progress import Quiet
from mapsr.training import (
    Checkpoint,
    LabelledScenes,
    TrainContext,
    TrainingSettings,
    identity_of,
    train_network,
)
from mapsr.training.checkpoint import FILE
from mapsr.training.draws import DrawPlan
from mapsr.training.module import NetworkTraining, drawn_from
from mapsr.training.sampling import Batch

CLASSES = 3
L2HNET = L2HNetSettings(variant="original", width=8)
UNETFORMER = UNetFormerSettings(pretrained=False)
VIM = EfficientViMSettings(encoder="efficientvim_m1", pretrained=False)
PARAFORMER = ParaformerSettings(width=8, image=32, encoder="test_vit", pretrained=False)


class Killed(Exception):
    """Stands for whatever ends a training."""


@pytest.fixture(scope="module")
def trained_vim(tmp_path_factory):
    """EfficientViM whose encoder starts from a file, with statistics that no fresh norm has."""
    path = tmp_path_factory.mktemp("weights") / "vim.safetensors"
    model = timm.create_model("efficientvim_m1", pretrained=False, num_classes=2)
    state = {name: one.clone() for name, one in model.state_dict().items()}
    for name, values in state.items():
        if "running" in name:
            values += 0.1
    save_file(state, path)
    return EfficientViMSettings(encoder="efficientvim_m1", checkpoint=str(path))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return tuple(make_scene(folder, name, (24, 32), seed=k) for k, name in enumerate("ab"))


def recipe(**values):
    defaults = {"epochs": 3, "batch": 2, "crop": 32, "chips_per_scene": 4, "learning_rate": 5e-3}
    return TrainingSettings(**defaults | values)


def train(
    folder,
    scenes,
    network,
    settings,
    *,
    seed=0,
    released=False,
    kill=None,
    identity=None,
    progress=None,
):
    """Train; return the network, what is recorded of it, and the losses."""
    losses = []

    def seen(step, values):
        losses.append(values["train/loss"])
        if step == kill:
            raise Killed

    built = network.build(3, CLASSES, seed=seed)
    where = TrainContext(
        checkpoint=Checkpoint(folder / "checkpoints", identity or identity_of(settings)),
        device=torch.device("cpu"),
        precision="32-true",
        seed=seed,
        released=released,
        progress=progress or Quiet(),
        on_step=seen,
    )
    labelled = LabelledScenes(source(), scenes, "truth", (0, 1, 2), 3)
    facts = train_network(built, labelled, settings, where)
    return built, facts, losses


def same(one, other):
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in one.state_dict().items())


OVERFIT = {
    "l2hnet": (L2HNetSettings(width=8), {"learning_rate": 1e-2}),
    "l2hnet original": (L2HNET, {"learning_rate": 1e-2}),
    "efficientvit": (EfficientViTSettings(encoder="efficientvit_b0", pretrained=False), {}),
    "efficientvim": (VIM, {"crop": 64}),
    # its own loss has a floor of 0.28 from smoothed labels, so that it can't fall so far
    "unetformer": (UNETFORMER, {"learning_rate": 2e-3}),
}


@pytest.mark.parametrize("name", OVERFIT)
def test_a_network_overfits_a_small_scene(tmp_path, scenes, name):
    network, values = OVERFIT[name]
    # EfficientViM's logits have stride 16: it can't draw a border in less
    scene = make_scene(tmp_path, "large", (48, 64)) if network is VIM else scenes[0]
    settings = recipe(epochs=None, max_steps=35, checkpoint_every=None, **values)
    _, facts, losses = train(tmp_path, [scene], network, settings)
    assert min(losses[-5:]) < losses[0] / 10
    assert facts["steps"] == len(losses) == 35
    assert (facts["first_loss"], facts["last_loss"]) == (losses[0], losses[-1])


@pytest.mark.slow  # 60 million parameters, whatever its width
def test_paraformer_overfits_a_small_scene(tmp_path, scenes):
    values = {"batch": 1, "loss": "plat", "optimizer": "sgd", "learning_rate": 0.03}
    settings = recipe(epochs=None, max_steps=18, checkpoint_every=None, **values)
    _, _, losses = train(tmp_path, scenes[:1], PARAFORMER, settings)
    assert losses[-1] < losses[0] / 10


def test_unetformers_own_loss_comes_near_its_floor(tmp_path, scenes):
    settings = recipe(epochs=None, max_steps=35, loss="unetformer", learning_rate=2e-3)
    _, _, losses = train(tmp_path, scenes[:1], UNETFORMER, settings)
    # what is left of the smoothed labels' own entropy, in the map's and the second head's part
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
    "efficientvit": (EfficientViTSettings(encoder="efficientvit_b0", pretrained=False), {}),
}


@pytest.mark.parametrize("kill", [6, 9])
@pytest.mark.parametrize("name", RESUMED)
def test_a_killed_training_ends_with_the_same_weights(tmp_path, scenes, request, name, kill):
    network, values = RESUMED[name]
    if network == "trained_vim":
        network = request.getfixturevalue(network)
    settings = recipe(flip_horizontal=0.5, **values)  # 3 epochs of 4 steps
    whole, facts, losses = train(tmp_path / "whole", scenes, network, settings)
    with pytest.raises(Killed):
        train(tmp_path / "killed", scenes, network, settings, kill=kill)
    resumed, again, rest = train(tmp_path / "killed", scenes, network, settings)
    done = 4 * (kill // 4)
    assert (facts["resumed_from_step"], again["resumed_from_step"]) == (0, done)
    assert rest == losses[done:]
    assert same(whole, resumed)
    timeless = {"resumed_from_step", "train_seconds"}
    for key in facts.keys() - timeless:
        assert facts[key] == again[key], key


@pytest.mark.slow  # 60 million parameters, whatever its width
def test_a_killed_paraformer_ends_with_the_same_weights(tmp_path, scenes):
    values = {"batch": 1, "chips_per_scene": 1, "loss": "plat", "optimizer": "sgd", "epochs": 2}
    settings = recipe(**values)  # 2 epochs of 2 steps
    whole, _, losses = train(tmp_path / "whole", scenes, PARAFORMER, settings)
    with pytest.raises(Killed):
        train(tmp_path / "killed", scenes, PARAFORMER, settings, kill=3)
    resumed, again, rest = train(tmp_path / "killed", scenes, PARAFORMER, settings)
    assert again["resumed_from_step"] == 2
    assert rest == losses[2:]
    assert same(whole, resumed)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path, scenes):
    settings = recipe(epochs=1, flip_vertical=0.5, rotate=0.5)
    state = torch.get_rng_state()
    first, _, _ = train(tmp_path, scenes, VIM, settings)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)  # what was drawn before doesn't matter
    second, _, _ = train(tmp_path, scenes, VIM, recipe(epochs=1, flip_vertical=0.5, rotate=0.5))
    other, _, _ = train(tmp_path, scenes, VIM, settings, seed=1)
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


def test_a_network_without_encoder_has_no_norm_to_freeze():
    with pytest.raises(ConfigError, match=r"training.freeze_norm=true, but L2HNet has no encoder"):
        module(freeze_norm=True)


def test_norms_of_a_random_encoder_were_frozen_at_a_mean_of_zero_and_a_variance_of_one():
    message = r"freeze_norm=true keeps .* pretrained .*: set training.freeze_norm=false or network"
    with pytest.raises(ConfigError, match=message):
        module(VIM, freeze_norm=True)


def test_checkpoints_are_as_frequent_as_asked_and_one_is_kept(tmp_path, scenes):
    with pytest.raises(Killed):
        train(tmp_path, scenes, L2HNET, recipe(checkpoint_every=2, epochs=5), kill=19)
    (file,) = (tmp_path / "checkpoints").iterdir()
    assert file.name == FILE
    assert torch.load(file, weights_only=True)["step"] == 16
    with pytest.raises(Killed):
        train(tmp_path / "none", scenes, L2HNET, recipe(checkpoint_every=None), kill=9)
    assert not (tmp_path / "none").exists()


def test_what_a_process_killed_while_writing_left_is_cleared(tmp_path, scenes):
    leftover = tmp_path / "checkpoints" / ".last-abc.pt"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    train(tmp_path, scenes, L2HNET, recipe(epochs=1))
    assert not leftover.exists()


class Counting:
    """Remembers how far a loop came."""

    def track(self, items, what, total):
        self.done, self.total = 0, total
        for item in items:
            yield item
            self.done += 1


def test_the_progress_sees_the_last_step(tmp_path, scenes):
    progress = Counting()
    train(tmp_path, scenes, L2HNET, recipe(epochs=1), progress=progress)
    assert progress.done == progress.total == 4


@pytest.fixture
def killed(tmp_path, scenes):
    with pytest.raises(Killed):
        train(tmp_path, scenes, L2HNET, recipe(), kill=6)
    return tmp_path


def test_a_checkpoint_of_other_settings_is_refused(killed, scenes):
    message = r"checkpoint of another training: training.batch was 2, but is 4"
    with pytest.raises(ConfigError, match=message):
        train(killed, scenes, L2HNET, recipe(batch=4))
    # how fast it goes is no part of what is trained
    train(killed, scenes, L2HNET, recipe(workers=1, checkpoint_every=2))


def test_a_checkpoint_of_another_network_is_refused(killed, scenes):
    other = identity_of(recipe()) | {"network.kind": "unetformer"}
    message = r"checkpoint of another network: network.kind was None, but is unetformer"
    with pytest.raises(WeightsError, match=message):
        train(killed, scenes, UNETFORMER, recipe(), identity=other)


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "shapes"])
def test_a_damaged_checkpoint_says_to_delete_it(killed, scenes, damage):
    file = killed / "checkpoints" / FILE
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "foreign":
        torch.save({"state_dict": {}}, file)
    else:
        state = torch.load(file, weights_only=True)
        state["network"]["head.bias"] = torch.zeros(CLASSES + 1)
        torch.save(state, file)
    with pytest.raises(WeightsError, match=r"last\.pt is damaged .*: delete it to train from"):
        train(killed, scenes, L2HNET, recipe())


def test_a_full_disk_leaves_the_older_checkpoint(killed, scenes, monkeypatch):
    file = killed / "checkpoints" / FILE
    before = file.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mapsr.training.checkpoint.torch.save", full)
    with pytest.raises(WeightsError, match=r"can't be written .*No space left.*make room, or set"):
        train(killed, scenes, L2HNET, recipe())
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


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
    message = r"loss of step 1 is not a finite .*: the authors' .*labelled pixels.*recipe=corrected"
    with pytest.raises(ConfigError, match=message):
        module(released=True).training_step(EMPTY, 0)
    assert module(released=False).training_step(EMPTY, 0) == 0


def test_a_diverged_training_names_the_learning_rate(tmp_path, scenes):
    settings = recipe(epochs=None, max_steps=40, optimizer="sgd", learning_rate=1e8)
    message = r"loss of step \d+ is not a finite .*the training diverged.*learning_rate, now 1e\+08"
    for released in (False, True):
        with pytest.raises(ConfigError, match=message):
            train(tmp_path, scenes, L2HNET, settings, released=released)


def test_plat_needs_two_branches():
    message = r"loss=plat needs the logits cnn and vit, but L2HNet gives only map: choose"
    with pytest.raises(ConfigError, match=message):
        module(loss="plat")


def test_the_confident_area_follows_a_warm_up():
    one = module(loss="confident_area", warm_up=0.5, confident_threshold=1.0)  # 12 steps
    logits, labels = torch.randn(1, CLASSES, 4, 5), torch.zeros(1, 4, 5, dtype=torch.int64)
    one.step = 5
    assert one.loss({"map": logits}, labels) > 0
    one.step = 6
    assert one.loss({"map": logits}, labels) == 0  # no pixel is as sure as that


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
