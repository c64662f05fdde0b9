"""Optimisers, weight averaging and learning-rate schedules of the published recipes."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mapsr.errors import ConfigError
from mapsr.networks import SegmentationNetwork
from mapsr.training.draws import DrawPlan
from mapsr.training.settings import TrainingSettings

# Paraformer's code scales the learning rate by batch / 24, but only for multiples of 6.
_BATCH, _DIVISOR = 24, 6
START = "start_learning_rate"
"""Key of a parameter group for its learning rate before the schedule."""


class Schedule:
    """The learning rate at each step.

    With t the step or epoch, T their number, s the start and e the end:
    poly is e + (s - e) (1 - t / T)^power; cosine is e + (s - e) (1 + cos(pi t / T)) / 2; restarts
    is a cosine over cycles of growing T.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017, equation 5, doi:10.48550/arXiv.1608.03983, for
    cosine and restarts; Chen et al., DeepLab, TPAMI 2018, section 4.1,
    doi:10.1109/TPAMI.2017.2699184, for poly.
    """

    def __init__(
        self, settings: TrainingSettings, plan: DrawPlan, *, in_chips: bool = False
    ) -> None:
        """Make a schedule.

        Args:
            settings: its form and where it ends.
            plan: number of steps and epochs.
            in_chips: divide steps by the number of chips rather than of steps, as Paraformer's
                code does by mistake: the learning rate hardly decays.
        """
        self.settings = settings
        self.unit = plan.steps_per_epoch if settings.schedule_by == "epoch" else 1
        # by epoch, max_steps ends the schedule with the epoch that it falls in
        self.length = math.ceil((plan.chips if in_chips else plan.steps) / self.unit)
        self.cycle = settings.restart * (plan.steps_per_epoch // self.unit)

    def rate(self, start: float, step: int) -> float:
        """Return the learning rate of a step.

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
    """Return the learning rate at the start.

    Args:
        rate: as set.
        settings: batch and flaws.
        released: whether to repeat Paraformer's flaw, which scales the learning rate by the batch
            only where that is a multiple of six.
    """
    if not released or settings.flaws != "paraformer" or settings.batch % _DIVISOR:
        return rate
    return rate * settings.batch / _BATCH


def make_optimizer(
    network: SegmentationNetwork, settings: TrainingSettings, *, released: bool
) -> torch.optim.Optimizer:
    """Make the optimiser, with a parameter group for each learning rate and weight decay.

    Args:
        network: whose parameters to train.
        settings: optimiser, learning rates and weight decay.
        released: repeat the errors of the authors' code.

    Raises:
        ConfigError: there is a learning rate for an encoder that the network does not have.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019,
    doi:10.48550/arXiv.1711.05101, for AdamW.
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
    """Slow weights that every k steps move part of the way to the trained, fast weights.

    slow <- slow + share (fast - slow), then fast <- slow.

    Source: Zhang et al., Lookahead optimizer: k steps forward, 1 step back, NeurIPS 2019,
    algorithm 1, doi:10.48550/arXiv.1907.08610.

    Attributes:
        slow: the slow weights, in the order of the parameters.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], every: int, share: float) -> None:
        """Copy the weights.

        Args:
            parameters: the fast weights.
            every: steps k between two updates, at least 1.
            share: of the way, in (0, 1].
        """
        self.parameters = list(parameters)
        self.every = every
        self.share = share
        self.slow = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def after(self, step: int) -> None:
        """Update the weights if it is due; ``step`` is the number of finished steps."""
        if step % self.every:
            return
        for slow, fast in zip(self.slow, self.parameters, strict=True):
            slow.lerp_(fast, self.share)
            fast.copy_(slow)

    @torch.no_grad()
    def load(self, slow: Sequence[Tensor]) -> None:
        """Restore the slow weights of an interrupted training."""
        for own, loaded in zip(self.slow, slow, strict=True):
            own.copy_(loaded)
