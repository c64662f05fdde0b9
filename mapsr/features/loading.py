"""From a file of weights to an encoder: published ones, those of one's own, random ones."""

import hashlib
import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from mapsr.errors import WeightsError
from mapsr.features.encoder import Encoder
from mapsr.weights import load_state, resolve, weights_name

logger = logging.getLogger(__name__)

State = dict[str, Tensor]

_HEADS = ("head.", "head_dist.", "heads.", "fc.", "fc_norm.", "classifier.")
"""Prefixes of the classifier's entries, which features do without."""
_OF_TRAINING = ("mask_token", "decoder", "dino_head.", "ibot_head.", "projector")
"""Prefixes of entries that pretraining alone uses."""
_COMPUTED = ("num_batches_tracked", "relative_position_index", "attn_mask", "rope.periods")
"""How entries end that models compute themselves, or that have no effect here."""
_SHOWN = 3


class Start(Protocol):
    """What settings say of the weights that an encoder starts from."""

    @property
    def weights(self) -> str | None:
        """Name of published weights; None: those of the model's name."""
        ...

    @property
    def checkpoint(self) -> str | None:
        """A file to use instead."""
        ...

    @property
    def pretrained(self) -> bool:
        """False: random weights."""
        ...

    @property
    def seed(self) -> int:
        """Of random weights."""
        ...

    @property
    def accept_licence(self) -> str | None:
        """Word of the licence that was accepted."""
        ...


class LoadedEncoder(Encoder):
    """An encoder that takes a state dict."""

    @abstractmethod
    def load(self, state: State, source: str) -> None:
        """Load a state dict.

        Args:
            state: tensors by name.
            source: what an error calls it.

        Raises:
            WeightsError: an entry is missing, is not the model's, or has another shape.
        """
        ...


Made = TypeVar("Made", bound=LoadedEncoder)


def started(start: Start, make: Callable[[], Made], weights_folder: str | None) -> Made:
    """Make an encoder with the weights that its settings ask for, recorded by name and hash.

    Args:
        start: which weights.
        make: makes the encoder with random weights of the settings' seed.
        weights_folder: where to look for weights first.

    Raises:
        ConfigError: settings that don't fit the model.
        WeightsError: the weights are absent, damaged, of another architecture, or ask for a licence
            to be accepted.
    """
    if not start.pretrained:
        encoder = make()
        encoder.weights = {"name": f"random, seed {start.seed}", "sha256": sha256_of_state(encoder)}
        return encoder
    # first of all: they may be absent, and making the encoder takes seconds
    name = weights_name(start) or ""
    found = resolve(name, start.checkpoint, weights_folder, start.accept_licence)
    encoder = make()
    encoder.load(load_state(found.path), str(found.path))
    encoder.weights = {"name": found.name, "sha256": found.sha256}
    return encoder


def sha256_of_state(module: nn.Module) -> str:
    """Hash over the names, shapes and values of a module's entries, in their order."""
    whole = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        whole.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        whole.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return whole.hexdigest()


def load_whole(
    module: nn.Module,
    state: State,
    what: str,
    source: str,
    converters: Iterable[Callable[[State], State]] = (),
) -> None:
    """Load a state dict that must have every entry that features need, and no others.

    Entries may lie under a prefix that all of them share ("backbone.", "module.encoder."); what
    lies beside them, such as another head, is left out. So are entries of classifiers and of
    pretraining.

    Args:
        module: to load into.
        state: tensors by name.
        what: what an error calls the model.
        source: what an error calls the file.
        converters: turn the names of a model's authors into the module's, tried where the names are
            not the module's already.

    Raises:
        WeightsError: an entry is missing, is not the model's, or has another shape; or the file
            holds the model twice.
    """
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    inner = _unwrapped(state, own, source)
    wrong = _differences(own, inner)
    for convert in converters if wrong else ():
        for raw in (inner, state):
            # what it meets in a file that is not of its model is as it may be
            try:
                turned = convert(dict(raw))
            except (LookupError, ValueError, RuntimeError, AttributeError, TypeError) as error:
                logger.debug("%s can't be converted: %s", source, error)
                continue
            if not _differences(own, turned):
                logger.info("the names in %s are those of the model's authors", source)
                inner, wrong = turned, []
                break
    if wrong:
        raise WeightsError(
            f"{source} is not a checkpoint of {what}: {'; '.join(wrong)}. Choose the model that it "
            "belongs to."
        )
    module.load_state_dict({k: v for k, v in inner.items() if k in own}, strict=False)


def _unwrapped(state: State, own: Mapping[str, object], source: str) -> State:
    """The entries under the prefix below which most of the module's names are found."""
    counts: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in own:
                counts[name[: len(".".join(parts[:start])) + (start > 0)]] += 1
    if not counts or counts[""] == max(counts.values()):
        return state
    best, *others = [name for name, count in counts.most_common() if count == max(counts.values())]
    if others and counts[best] > len(own) // 2:
        raise WeightsError(
            f"{source} holds the model {1 + len(others)} times (under '{best}' and '{others[0]}'), "
            "expected once: save the entries of one alone."
        )
    found = {k.removeprefix(best): one for k, one in state.items() if k.startswith(best)}
    logger.info("%s: %d entries beside '%s' are left out", source, len(state) - len(found), best)
    return found


def _differences(own: Mapping[str, tuple[int, ...]], state: State) -> list[str]:
    """What of a state dict does not fit, one clause for each kind; nothing where all does."""
    missing = [k for k in own if k not in state and not _spare(k, _HEADS)]
    surplus = [k for k in state if k not in own and not _spare(k, _HEADS + _OF_TRAINING)]
    shapes = [
        f"{k} {tuple(state[k].shape)}, expected {shape}"
        for k, shape in own.items()
        if k in state and tuple(state[k].shape) != shape
    ]
    kinds = ((missing, "missing"), (surplus, "not the model's"), (shapes, "of another shape"))
    return [
        f"{len(names)} {'entry is' if len(names) == 1 else 'entries are'} {kind} "
        f"({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for names, kind in kinds
        if names
    ]


def _spare(name: str, prefixes: tuple[str, ...]) -> bool:
    return name.startswith(prefixes) or name.endswith(_COMPUTED)
