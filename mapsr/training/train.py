"""Train a network, from the start or from where a killed training got to."""

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from mapsr.networks import SegmentationNetwork
from mapsr.progress import Progress
from mapsr.quiet import fit_quietly
from mapsr.training.checkpoint import Checkpoint
from mapsr.training.draws import DrawPlan
from mapsr.training.module import NetworkTraining, OnStep
from mapsr.training.sampling import Batches, ChipSampler, LabelledScenes
from mapsr.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

_SPEED = ("workers", "checkpoint_every")
"""Settings that the trained weights do not depend on."""


@dataclass(frozen=True)
class TrainContext:
    """Where and how a training happens.

    Attributes:
        checkpoint: where its state is kept.
        device: where the work is done.
        precision: Lightning's name of the precision.
        seed: of chips and dropout.
        released: repeat the faults of the authors' code.
        progress: shows the steps.
        on_step: takes loss and learning rate after each step.
    """

    checkpoint: Checkpoint
    device: torch.device
    precision: str
    seed: int
    released: bool
    progress: Progress
    on_step: OnStep


def identity_of(settings: TrainingSettings) -> dict[str, object]:
    """What the trained weights depend on in a recipe, by key."""
    # as lists, which come back from a file as they were
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}
    return {f"training.{key}": value for key, value in values.items() if key not in _SPEED}


def train_network(
    network: SegmentationNetwork,
    scenes: LabelledScenes,
    settings: TrainingSettings,
    context: TrainContext,
) -> dict[str, object]:
    """Train a network in place; it is left in the mode for use, without gradients.

    Args:
        network: as it starts.
        scenes: to draw chips of.
        settings: the recipe.
        context: where and how it is trained.

    Returns:
        What is to be recorded: steps, epochs, losses, chips rejected, seconds.

    Raises:
        ConfigError: the network and the recipe do not fit, or the training diverged.
        DataError: a scene gives no chip without gaps.
        WeightsError: the checkpoint is damaged or can't be written.
    """
    alike = context.released and settings.flaws == "paraformer"
    plan = DrawPlan(len(scenes.scenes), settings, context.seed, alike=alike)
    training = NetworkTraining(
        network,
        settings,
        plan,
        seed=context.seed,
        released=context.released,
        on_step=context.on_step,
    )
    state = context.checkpoint.load()
    start = time.perf_counter()
    first = _begin(training, context.checkpoint, state)
    del state
    sampler = ChipSampler(scenes, plan, settings)
    batches = Batches(sampler, first, settings.workers, context.progress)
    # the plan knows of epochs: to Lightning it is one long one
    fit_quietly(training, batches, context.device.type, context.precision, epochs=1)
    batches.finish()
    network.zero_grad(set_to_none=True)
    network.requires_grad_(False)
    network.to(context.device).eval()
    return {
        "steps": training.step,
        "steps_per_epoch": plan.steps_per_epoch,
        "epochs": round(training.step / plan.steps_per_epoch, 3),
        "first_loss": training.first_loss,
        "last_loss": training.last_loss,
        "rejected_chips": training.rejected,
        "resumed_from_step": first,
        "train_seconds": round(time.perf_counter() - start, 3),
    }


def _begin(
    training: NetworkTraining, checkpoint: Checkpoint, state: Mapping[str, Any] | None
) -> int:
    """Prepare checkpoints, and going on from one; return the first step to be done."""
    every = training.settings.checkpoint_every
    plan = training.plan

    def keep() -> None:
        # the last one would be in vain: the weights are saved at once
        if (
            every
            and training.step < plan.steps
            and not training.step % (every * plan.steps_per_epoch)
        ):
            checkpoint.save(training)

    training.after_step = keep
    if state is None:
        return 0
    training.on_start = lambda: checkpoint.resume(training, state)
    training.step = int(state["step"])
    logger.info("training goes on from step %d of %d", training.step, plan.steps)
    return training.step
