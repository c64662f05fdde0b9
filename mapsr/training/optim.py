"""Optimisers and the schedule of the learning rate, as published recipes have them."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mapsr.errors import ConfigError
from mapsr.networks import SegmentationNetwork
from mapsr.training.draws import DrawPlan
from mapsr.training.settings import TrainingSettings

# The batch that Paraformer's code scales its learning rate by, and what a batch must divide by.
_BATCH, _DIVISOR = 24, 6
START = "start_learning_rate"
"""Key of a parameter group: its learning rate before the schedule."""


class Schedule:
    """The learning rate at each step.

    Source: poly and cosine as in torch's and MMSegmentation's documentation; restarts after
    Loshchilov and Hutter, SGDR, ICLR 2017.
    """

    def __init__(
        self, settings: TrainingSettings, plan: DrawPlan, *, in_chips: bool = False
    ) -> None:
        """Make a schedule.

        Args:
            settings: its form and where it ends.
            plan: how long it is.
            in_chips: hold steps against a length in chips, as Paraformer's code: it hardly decays.
        """
        self.settings = settings
        self.unit = plan.steps_per_epoch if settings.schedule_by == "epoch" else 1
        # in epochs, a training that is cut short ends with the epoch that it is cut in
        self.length = math.ceil((plan.chips if in_chips else plan.steps) / self.unit)
        self.cycle = settings.restart * (plan.steps_per_epoch // self.unit)

    def rate(self, start: float, step: int) -> float:
        """The learning rate of a step.

        Args:
            start: learning rate at step 0.
            step: counted from 0.
        """
        settings = self.settings
        place = step // self.unit
        least = min(start, settings.least_learning_rate)
        if settings.schedule == "constant":
            return start
        if settings.schedule == "poly":
            left = max(0.0, 1 - place / self.length)
            return least + (start - least) * float(left**settings.power)
        length = self.length
        if settings.schedule == "restarts":
            length = self.cycle
            while place >= length:
                place -= length
                length *= settings.restart_factor
        return least + (start - least) * (1 + math.cos(math.pi * place / length)) / 2


def start_rate(rate: float, settings: TrainingSettings, *, released: bool) -> float:
    """The learning rate that a training starts with.

    As released, Paraformer's code follows the batch only where it is a multiple of six.
    """
    if not released or settings.flaws != "paraformer" or settings.batch % _DIVISOR:
        return rate
    return rate * settings.batch / _BATCH


def make_optimizer(
    network: SegmentationNetwork, settings: TrainingSettings, *, released: bool
) -> torch.optim.Optimizer:
    """Make the optimiser, with a group for each learning rate and decay.

    Raises:
        ConfigError: the encoder is to have a learning rate, but the network has none.
    """
    encoder = getattr(network, "encoder", None)
    if encoder is None and settings.encoder_learning_rate is not None:
        raise ConfigError(
            f"training.encoder_learning_rate is {settings.encoder_learning_rate:g}, but "
            f"{type(network).__name__} has no encoder: set it to null."
        )
    of_encoder = {id(p) for p in encoder.parameters()} if encoder is not None else set()
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        rate = settings.learning_rate
        if id(parameter) in of_encoder and settings.encoder_learning_rate is not None:
            rate = settings.encoder_learning_rate
        bare = name.endswith("bias") and not settings.decay_biases
        decay = 0.0 if bare else settings.weight_decay
        key = (start_rate(rate, settings, released=released), decay)
        groups.setdefault(key, []).append(parameter)
    listed = [
        {"params": params, "lr": rate, START: rate, "weight_decay": decay}
        for (rate, decay), params in groups.items()
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(listed, lr=settings.learning_rate, momentum=settings.momentum)
    return torch.optim.AdamW(listed, lr=settings.learning_rate)


class Lookahead:
    """Every few steps the weights go only part of the way from where they last stood.

    Source: Zhang et al., Lookahead optimizer: k steps forward, 1 step back, NeurIPS 2019.

    Attributes:
        slow: the weights as they last stood.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], every: int, share: float) -> None:
        """Remember the weights.

        Args:
            parameters: that are trained.
            every: steps between two looks back.
            share: of the way that is kept, in (0, 1].
        """
        self.parameters = list(parameters)
        self.every = every
        self.share = share
        self.slow = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def after(self, step: int) -> None:
        """Look back if it is time; ``step`` counts the steps that are done."""
        if step % self.every:
            return
        for slow, fast in zip(self.slow, self.parameters, strict=True):
            slow.lerp_(fast, self.share)
            fast.copy_(slow)

    @torch.no_grad()
    def load(self, slow: Sequence[Tensor]) -> None:
        """Take over the remembered weights of a training that was cut short."""
        for own, loaded in zip(self.slow, slow, strict=True):
            own.copy_(loaded)
