"""Trains tiny networks on tiny scenes, for the tests of the training."""

import torch
from make_training import source

from mapsr.networks import L2HNetSettings, UNetFormerSettings
from mapsr.progress import Quiet
from mapsr.training import (
    Checkpoint,
    LabelledScenes,
    TrainContext,
    TrainingSettings,
    identity_of,
    train_network,
)

CLASSES = 3
L2HNET = L2HNetSettings(variant="original", width=8)
UNETFORMER = UNetFormerSettings(encoder="test_resnet", pretrained=False)  # timm's smallest


class Killed(Exception):
    """Stands for whatever ends a training."""


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
    learned=(0, 1, 2),
    reported=None,
):
    """Train; return the network, what is recorded of it, and the losses."""
    losses = []

    def on_step(step, values):
        losses.append(values["train/loss"])
        if reported is not None:
            reported.append(values)
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
        on_step=on_step,
    )
    labelled = LabelledScenes(source(), scenes, "truth", learned, 3)
    facts = train_network(built, labelled, settings, where)
    return built, facts, losses


def same(one, other):
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in one.state_dict().items())
