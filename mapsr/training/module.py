"""One Lightning module trains every network."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from mapsr.errors import ConfigError
from mapsr.legends import NODATA
from mapsr.networks import Paraformer, SegmentationNetwork
from mapsr.networks.losses import (
    confident_area,
    confident_area_loss,
    cross_entropy,
    plat_loss,
    unetformer_loss,
)
from mapsr.training.optim import START, Lookahead, Schedule, make_optimizer
from mapsr.training.plan import Plan
from mapsr.training.sampling import Batch
from mapsr.training.settings import TrainingSettings

OnStep = Callable[[int, Mapping[str, float]], None]
"""Takes the number of a step and its figures."""
# so that dropout's random numbers are not those that chips are drawn with
_DROPOUT = 3


class NetworkTraining(L.LightningModule):
    """A network in training.

    Attributes:
        step: how many steps are done.
        rejected: chips that were drawn in vain.
        first_loss: of the first step.
        last_loss: of the last step that was done.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        settings: TrainingSettings,
        plan: Plan,
        *,
        seed: int,
        released: bool,
        on_step: OnStep,
    ) -> None:
        """Make the optimiser of a network.

        Args:
            network: to be trained in place.
            settings: the recipe.
            plan: how many steps there are.
            seed: of dropout.
            released: repeat the faults of the authors' code.
            on_step: takes loss and learning rate after each step.

        Raises:
            ConfigError: the network and the recipe do not fit.
        """
        super().__init__()
        if settings.loss == "plat" and not isinstance(network, Paraformer):
            raise ConfigError(
                f"training.loss=plat needs Paraformer's two branches, but the network is "
                f"{type(network).__name__}: choose network=paraformer or another loss."
            )
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
        """The optimiser; the schedule is set by hand, from the number of the step."""
        return self.optimizer

    def on_train_start(self) -> None:
        """Set the modes of the layers; take over a training that was cut short."""
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
        """The loss of a batch.

        Raises:
            ConfigError: the loss is no number, or a layer normalises over a single value.
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
        loss = self.loss(outputs, batch.labels)
        self.last_loss = float(loss.detach())
        if not np.isfinite(self.last_loss):
            raise ConfigError(self._why_no_number(outputs, batch.labels))
        if self.step == 0:
            self.first_loss = self.last_loss
        self.rejected += batch.rejected
        return loss

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """Look back, report, and let a checkpoint be kept."""
        self.step += 1
        if self.lookahead is not None:
            self.lookahead.after(self.step)
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        self.on_step(self.step, {"train/loss": self.last_loss, "train/learning_rate": rate})
        self.after_step()

    def loss(self, outputs: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        """The recipe's loss at this step.

        Args:
            outputs: logits (N, C, H, W), the map's first.
            labels: (N, H, W) int64, 255 where there is none.
        """
        settings, released = self.settings, self.released
        if settings.loss == "plat":
            return plat_loss(outputs[1], outputs[2], labels, released=released)
        if settings.loss == "unetformer":
            return unetformer_loss(outputs, labels, released=released)
        if settings.loss == "confident_area" and self.step >= settings.warm_up * self.plan.steps:
            return confident_area_loss(
                outputs[0],
                labels,
                threshold=settings.confident_threshold,
                entropy=settings.confident_entropy,
            )
        return cross_entropy(outputs[0], labels, released=released)

    def _why_no_number(self, outputs: tuple[Tensor, ...], labels: Tensor) -> str:
        start = f"The loss of step {self.step + 1} is no number: "
        empty = not (labels != NODATA).any()
        if self.settings.loss == "plat":
            empty = empty or not confident_area(outputs[1], labels).any()
        if self.released and empty and self.settings.loss != "unetformer":
            return (
                f"{start}no pixel of the batch is labelled, or none has the label that the first "
                "branch finds, over which the authors' code takes a mean: set recipe=corrected."
            )
        return (
            f"{start}the training diverged. Lower training.learning_rate, now "
            f"{self.settings.learning_rate:g}."
        )


def freeze_norm(network: SegmentationNetwork) -> None:
    """Let the encoder's batch norms use the statistics that they have, and keep them.

    Raises:
        ConfigError: the network has no encoder.
    """
    encoder = getattr(network, "encoder", None)
    if encoder is None:
        raise ConfigError(
            f"training.freeze_norm=true, but {type(network).__name__} has no encoder: set it to "
            "false."
        )
    for module in encoder.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


@contextmanager
def drawn_from(key: tuple[int, ...], device: torch.device) -> Iterator[None]:
    """Draw torch's random numbers from a key, and leave the global state as it was."""
    seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.random.manual_seed(seed)
        yield
