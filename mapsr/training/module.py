"""One Lightning module trains every network; imported only where one is trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from mapsr.errors import ConfigError
from mapsr.networks import MAP, SegmentationNetwork
from mapsr.training.draws import DrawPlan
from mapsr.training.losses import LOSSES, Logits, LossContext, check_loss
from mapsr.training.optim import START, Lookahead, Schedule, make_optimizer
from mapsr.training.sampling import Batch
from mapsr.training.settings import OnStep, TrainingSettings

# so that dropout and chips are drawn from different random numbers
_DROPOUT = 3


class NetworkTraining(L.LightningModule):
    """A network in training.

    Attributes:
        step: number of finished steps.
        rejected: number of rejected chips.
        first_loss: of the first step.
        last_loss: of the last finished step.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        settings: TrainingSettings,
        plan: DrawPlan,
        *,
        seed: int,
        released: bool,
        on_step: OnStep,
    ) -> None:
        """Set up loss, optimiser and schedule.

        Args:
            network: to train in place.
            settings: the recipe.
            plan: number of steps and epochs.
            seed: of dropout.
            released: repeat the errors of the authors' code.
            on_step: called with loss and learning rate after each step.

        Raises:
            ConfigError: the loss needs logits that the network does not give.
            ConfigError: the recipe has a learning rate or frozen norms for an encoder that the
                network does not have, or that has random weights.
        """
        super().__init__()
        check_loss(settings.loss, network)
        if settings.freeze_norm:
            check_norm(network)
        self.network = network
        self.settings = settings
        self.plan = plan
        self.seed = seed
        self.released = released
        self.on_step = on_step
        self.step = self.rejected = 0
        self.first_loss = self.last_loss = float("nan")
        self.schedule = Schedule(
            settings, plan, in_chips=released and settings.flaws == "paraformer"
        )
        self.optimizer = make_optimizer(network, settings, released=released)
        self.lookahead: Lookahead | None = None
        self.after_step: Callable[[], None] = lambda: None
        self.on_start: Callable[[], None] = lambda: None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser; `on_train_batch_start` applies the schedule."""
        return self.optimizer

    def on_train_start(self) -> None:
        """Set the modes of the layers; restore an interrupted training."""
        self.network.train()
        if self.settings.freeze_norm:
            freeze_norm(self.network)
        if self.settings.lookahead is not None:
            self.lookahead = Lookahead(
                self.network.parameters(), self.settings.lookahead, self.settings.lookahead_share
            )
        self.on_start()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate of the step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(group[START], self.step)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch.

        Raises:
            ConfigError: the loss is not a finite number.
            ConfigError: a batch norm has a single value per channel.
        """
        with drawn_from((_DROPOUT, self.seed, self.step), self.device):
            try:
                outputs = self.network(batch.image)
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                raise ConfigError(
                    f"{len(batch.image)} chip(s) of {batch.image.shape[2]} px are too few to "
                    "normalise over: enlarge training.batch or training.crop."
                ) from error
        logits = dict(zip((MAP, *self.network.extra_logits), outputs, strict=True))
        loss = self.loss(logits, batch.labels)
        self.last_loss = float(loss.detach())
        if not np.isfinite(self.last_loss):
            raise ConfigError(self._explain_nan(logits, batch.labels))
        if self.step == 0:
            self.first_loss = self.last_loss
        self.rejected += batch.rejected
        return loss

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """Apply lookahead, report the step, and write a checkpoint where one is due."""
        self.step += 1
        if self.lookahead is not None:
            self.lookahead.after(self.step)
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        self.on_step(self.step, {"train/loss": self.last_loss, "train/learning_rate": rate})
        self.after_step()

    def loss(self, logits: Logits, labels: Tensor) -> Tensor:
        """Return the recipe's loss at this step.

        Args:
            logits: name -> (N, C, H, W), the map's and the network's extra ones.
            labels: (N, H, W) int64, 255 for nodata.
        """
        context = LossContext(self.settings, self.step / self.plan.steps, self.released)
        return LOSSES[self.settings.loss].compute(logits, labels, context)

    def _explain_nan(self, logits: Logits, labels: Tensor) -> str:
        start = f"The loss of step {self.step + 1} is not a finite number: "
        if self.released and LOSSES[self.settings.loss].empty(logits, labels):
            return (
                f"{start}the authors' code averages over the pixels that this loss learns from, "
                "and this batch has none, since no pixel is labelled or no label is predicted: "
                "set recipe=corrected."
            )
        return (
            f"{start}the training diverged. Lower training.learning_rate, now "
            f"{self.settings.learning_rate:g}."
        )


def check_norm(network: SegmentationNetwork) -> None:
    """Refuse to freeze batch statistics that nobody has measured.

    Raises:
        ConfigError: the network has no encoder.
        ConfigError: its encoder starts from random numbers, with means of 0 and variances of 1.
    """
    if getattr(network, "encoder", None) is None:
        raise ConfigError(
            f"training.freeze_norm=true, but {type(network).__name__} has no encoder: set it to "
            "false."
        )
    if network.weights is None:
        raise ConfigError(
            "training.freeze_norm=true keeps the batch statistics of pretrained weights, but the "
            f"encoder of {type(network).__name__} starts from random ones, whose statistics fit no "
            "image: set training.freeze_norm=false or network.pretrained=true."
        )


def freeze_norm(network: SegmentationNetwork) -> None:
    """Let the encoder's batch norms use their stored statistics and leave them unchanged."""
    for module in network.get_submodule("encoder").modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


@contextmanager
def drawn_from(key: tuple[int, ...], device: torch.device) -> Iterator[None]:
    """Seed torch's random numbers within a block and restore the global state after it."""
    seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.random.manual_seed(seed)
        yield
