"""The losses that training.loss names, and which logits of the network each one needs.

A further loss is a function with `@loss(name)` in a file that this package imports. Settings of its
own go into a subclass of `TrainingSettings`, registered with `@choice("training", kind)`, which the
function finds in `LossContext.settings`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from mapsr.errors import ConfigError
from mapsr.legends import NODATA
from mapsr.networks import MAP, SegmentationNetwork
from mapsr.networks.losses import (
    confident_area,
    confident_area_loss,
    cross_entropy,
    plat_loss,
    unetformer_loss,
)

if TYPE_CHECKING:
    from mapsr.training.settings import TrainingSettings

Logits = Mapping[str, Tensor]
"""Name -> (N, C, H, W): the map's first, then the network's ``extra_logits``."""


@dataclass(frozen=True)
class LossContext:
    """When and how a loss is computed.

    Attributes:
        settings: of the training.
        done: share of the steps before this one, in [0, 1).
        released: repeat the errors of the authors' code.
    """

    settings: "TrainingSettings"
    done: float
    released: bool


Compute = Callable[[Logits, Tensor, LossContext], Tensor]
"""Logits, labels (N, H, W) int64 with 255 for nodata, context -> scalar."""
Empty = Callable[[Logits, Tensor], bool]
"""Logits, labels -> whether no pixel is left for the mean of the authors' code."""


@dataclass(frozen=True)
class Loss:
    """A loss that a training can choose.

    Attributes:
        compute: the loss.
        needs: names of the extra logits that the network must give.
        empty: whether a batch leaves no pixel for the mean, where the authors' code gives NaN.
    """

    compute: Compute
    needs: tuple[str, ...]
    empty: Empty


LOSSES: dict[str, Loss] = {}
"""Name in training.loss -> loss."""


def _unlabelled(logits: Logits, labels: Tensor) -> bool:
    return not (labels != NODATA).any()


def loss(
    name: str, *, needs: tuple[str, ...] = (), empty: Empty = _unlabelled
) -> Callable[[Compute], Compute]:
    """Register a function as a loss.

    Args:
        name: in training.loss.
        needs: names of the extra logits that the network must give.
        empty: whether a batch leaves no pixel for the mean; by default, if none is labelled.
    """

    def register(compute: Compute) -> Compute:
        LOSSES[name] = Loss(compute, needs, empty)
        return compute

    return register


def check_loss(name: str, network: SegmentationNetwork) -> None:
    """Refuse a loss that needs logits which the network does not give.

    Raises:
        ConfigError: the network lacks some of them.
    """
    needs = set(LOSSES[name].needs)
    if needs <= set(network.extra_logits):
        return
    given = ", ".join((MAP, *network.extra_logits))
    networks = SegmentationNetwork.__subclasses__()
    fitting = [kind.__name__ for kind in networks if needs <= set(kind.extra_logits)]
    raise ConfigError(
        f"training.loss={name} needs the logits {' and '.join(sorted(needs))}, but "
        f"{type(network).__name__} gives only {given}: choose another loss, or a network that "
        f"gives them ({', '.join(fitting) or 'none does'})."
    )


@loss("cross_entropy")
def _cross_entropy(logits: Logits, labels: Tensor, context: LossContext) -> Tensor:
    return cross_entropy(logits[MAP], labels, released=context.released)


def _no_agreement(logits: Logits, labels: Tensor) -> bool:
    return not confident_area(logits["cnn"], labels).any()


@loss("plat", needs=("cnn", "vit"), empty=_no_agreement)
def _plat(logits: Logits, labels: Tensor, context: LossContext) -> Tensor:
    return plat_loss(logits["cnn"], logits["vit"], labels, released=context.released)


# the authors' means are over all pixels and all classes, which are never empty
@loss("unetformer", empty=lambda logits, labels: False)
def _unetformer(logits: Logits, labels: Tensor, context: LossContext) -> Tensor:
    return unetformer_loss(tuple(logits.values()), labels, released=context.released)


@loss("confident_area")
def _confident_area(logits: Logits, labels: Tensor, context: LossContext) -> Tensor:
    settings = context.settings
    if context.done < settings.warm_up:
        return cross_entropy(logits[MAP], labels, released=context.released)
    return confident_area_loss(
        logits[MAP],
        labels,
        threshold=settings.confident_threshold,
        entropy=settings.confident_entropy,
    )
