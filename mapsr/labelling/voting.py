"""Stage 1: a pixel gets the first class, by priority, whose weighted votes reach its threshold.

Weights and thresholds are whole tenths: in binary fractions .2 + .1 is more than .3, and which of
two sums reaches a threshold would be chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import ConfigError
from mapsr.labelling.prompts import PatchPrompts, Prompt, check_weights
from mapsr.legends import NODATA

Plane = NDArray[np.uint8]


@dataclass(frozen=True)
class Rule:
    """Thresholds and priority of the classes.

    Raises:
        ConfigError: the priority names a class twice, or one without a threshold, or leaves out
            one with a threshold; or a threshold is below one tenth.
    """

    priority: tuple[int, ...]
    """Indices of the classes that can be labelled, the first one first."""
    thresholds: tuple[int | None, ...]
    """Tenths by class of the target legend; None: the class is never labelled."""
    strict: bool = False
    """Demand more than the threshold. The paper's Algorithm 1 prints so; with its thresholds three
    of its classes could then never be labelled, so leave it off except to show that."""

    def __post_init__(self) -> None:
        named = [index for index, value in enumerate(self.thresholds) if value is not None]
        if sorted(self.priority) != named:
            raise ConfigError(
                f"The priority is {list(self.priority)}, expected each class with a threshold "
                f"once: {named}."
            )
        low = [value for value in self.thresholds if value is not None and value < 1]
        if low:
            raise ConfigError(
                f"A threshold is {low[0]} tenths, expected at least 1: else the class would be "
                "everywhere."
            )


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of a patch after some rounds of voting.

    Attributes:
        label: uint8 (H, W), index of the class; 255 undetermined.
        confidence: uint8 (H, W), tenths that voted for the label; 0 where undetermined.
        provenance: uint32 (H, W), bit i: product i voted for the label; bit number-of-products:
            the model did; 0 where undetermined.
        round: uint8 (H, W), in which the pixel was decided: 0 is stage 1; 255 undetermined.
        reached: uint8 (H, W), how many classes reached their thresholds in that round.
        rounds: the last round that was voted.
    """

    label: Plane
    confidence: Plane
    provenance: NDArray[np.uint32]
    round: Plane
    reached: Plane
    rounds: int = 0

    @property
    def trusted(self) -> NDArray[np.bool_]:
        """Where a class reached its threshold, bool (H, W)."""
        trusted: NDArray[np.bool_] = self.label != NODATA
        return trusted


def vote(patch: PatchPrompts, rule: Rule) -> Labels:
    """Label a patch by priority-based weighted voting.

    Args:
        patch: what the products say.
        rule: thresholds and priority.

    Returns:
        Labels of round 0; all undetermined where there is no prompt.

    Raises:
        ConfigError: the weights of a class sum to more than 25.5.

    Source:
        EcoVision, J. Remote Sens. 2025, 0811, Algorithm 1, with "reaches" for ">" (see ``Rule``)
        and the class in place of its confidence.
    """
    return count_votes(patch.size, patch.prompts, rule, round_number=0)


def count_votes(
    size: tuple[int, int], prompts: Sequence[Prompt], rule: Rule, round_number: int
) -> Labels:
    """Label all pixels of a patch from any prompts; see ``vote``.

    Args:
        size: rows and columns.
        prompts: of products, and of a model.
        rule: thresholds and priority.
        round_number: 0..254, noted where a pixel is decided.
    """
    check_weights(prompts)
    label = np.full(size, NODATA, np.uint8)
    confidence, reached = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    provenance = np.zeros(size, np.uint32)
    for target in rule.priority:
        mine = [prompt for prompt in prompts if prompt.target == target]
        threshold = rule.thresholds[target]
        if not mine or threshold is None:
            continue
        votes = _confidence(size, mine)
        reaches = votes > threshold if rule.strict else votes >= threshold
        reached += reaches
        won = reaches & (label == NODATA)
        label[won] = target
        np.copyto(confidence, votes, where=won)
        for prompt in mine:
            provenance |= (won & prompt.mask).view(np.uint8) * np.uint32(1 << prompt.product)
    decided = np.where(label == NODATA, np.uint8(NODATA), np.uint8(round_number))
    return Labels(label, confidence, provenance, decided, reached, round_number)


def confidences(patch: PatchPrompts, classes: int) -> Plane:
    """Return the votes for every class, whether they reach or not.

    Args:
        patch: what the products say.
        classes: number of classes C of the target legend.

    Returns:
        uint8 (C, H, W), tenths.
    """
    planes = [
        _confidence(patch.size, [prompt for prompt in patch.prompts if prompt.target == target])
        for target in range(classes)
    ]
    return np.stack(planes)


def _confidence(size: tuple[int, int], prompts: Sequence[Prompt]) -> Plane:
    """Tenths that vote for one class, uint8 (H, W)."""
    votes = np.zeros(size, np.uint8)
    for prompt in prompts:
        votes += prompt.mask.view(np.uint8) * np.uint8(prompt.weight)
    return votes
