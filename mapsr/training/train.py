"""Train a network, from the start or from a checkpoint."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mapsr.networks import SegmentationNetwork
from mapsr.progress import Progress
from mapsr.settings import content_of
from mapsr.training.checkpoint import Checkpoint
from mapsr.training.draws import DrawPlan
from mapsr.training.sampling import Batches, ChipSampler, LabelledScenes
from mapsr.training.settings import OnStep, TrainingSettings

if TYPE_CHECKING:
    from mapsr.training.module import NetworkTraining

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainContext:
    """What a training needs besides network, scenes and recipe.

    Attributes:
        checkpoint: where its state is saved.
        device: that it runs on.
        precision: Lightning's name of the precision, such as "32-true" or "bf16-mixed".
        seed: of chips and dropout.
        released: repeat the errors of the authors' code.
        progress: shows the steps.
        on_step: called with loss and learning rate after each step.
    """

    checkpoint: Checkpoint
    device: torch.device
    precision: str
    seed: int
    released: bool
    progress: Progress
    on_step: OnStep


def identity_of(settings: TrainingSettings) -> dict[str, object]:
    """Settings of a recipe that change the trained weights, by key."""
    values = content_of(settings)
    return {f"training.{key}": value for key, value in values.items() if key != "kind"}


def train_network(
    network: SegmentationNetwork,
    scenes: LabelledScenes,
    settings: TrainingSettings,
    context: TrainContext,
) -> dict[str, object]:
    """Train a network in place and leave it in evaluation mode, without gradients.

    Args:
        network: to train.
        scenes: to draw chips from.
        settings: the recipe.
        context: checkpoint, device, precision, seed and reports.

    Returns:
        Facts for the run's record: steps, epochs, losses, rejected chips, seconds.

    Raises:
        ConfigError: the network does not fit the recipe.
        ConfigError: the training diverged.
        DataError: all chips of a scene have gaps.
        WeightsError: the checkpoint is damaged.
        WeightsError: the checkpoint can't be written.
    """
    # Lightning takes seconds to import, and a trained network does not need it
    from mapsr.quiet import fit_quietly
    from mapsr.training.module import NetworkTraining

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
    # the plan has the epochs: for Lightning the training is one of them
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
    training: "NetworkTraining", checkpoint: Checkpoint, state: Mapping[str, Any] | None
) -> int:
    """Set up checkpoints and resumption; return the first step."""
    every = training.settings.checkpoint_every
    plan = training.plan

    def save_if_due() -> None:
        # not after the last step, when the caller saves the weights
        if (
            every
            and training.step < plan.steps
            and not training.step % (every * plan.steps_per_epoch)
        ):
            checkpoint.save(training)

    training.after_step = save_if_due
    if state is None:
        return 0
    training.on_start = lambda: checkpoint.resume(training, state)
    training.step = int(state["step"])
    logger.info("training resumes from step %d of %d", training.step, plan.steps)
    return training.step
