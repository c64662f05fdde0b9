"""Stage 2: a model that learnt from the trusted pixels votes on those that are undetermined."""

from dataclasses import replace

import numpy as np

from mapsr.errors import DataError
from mapsr.labelling.prompts import PatchPrompts, Prompt
from mapsr.labelling.voting import Labels, Plane, Rule, count_votes
from mapsr.legends import NODATA

_LAST_ROUND = NODATA - 1


def revote(previous: Labels, patch: PatchPrompts, model: Plane, weight: int, rule: Rule) -> Labels:
    """Vote again where a patch is undetermined, with the model's map as one more prompt.

    Trusted pixels stay as they are. Only the model's class gains weight and the thresholds stay:
    so, with the prompts and the rule of the earlier rounds, a pixel that is newly trusted has the
    model's class, and the products decide merely which pixels those are.

    Args:
        previous: labels of the round before.
        patch: what the products say, as in stage 1.
        model: uint8 (H, W), the class that the model predicts; 255: none.
        weight: of the model in tenths; see ``model_weight``.
        rule: thresholds and priority, as in stage 1.

    Returns:
        Labels of the next round.

    Raises:
        DataError: the model's map has another size or type, or a class without a threshold entry.
        DataError: there were 254 rounds already.

    Source:
        EcoVision, J. Remote Sens. 2025, 0811, Algorithm 2.
    """
    _check(previous, patch, model, len(rule.thresholds))
    bit = len(patch.products)
    said = [int(target) for target in np.unique(model) if target != NODATA]
    own = tuple(Prompt(bit, target, weight, model == target) for target in said)
    number = previous.rounds + 1
    new = count_votes(patch.size, patch.prompts + own, rule, number)
    keep = previous.trusted
    return replace(
        new,
        label=np.where(keep, previous.label, new.label),
        confidence=np.where(keep, previous.confidence, new.confidence),
        provenance=np.where(keep, previous.provenance, new.provenance),
        round=np.where(keep, previous.round, new.round),
        reached=np.where(keep, previous.reached, new.reached),
    )


def model_weight(accuracy: float) -> int:
    """Return the weight of a model's vote in tenths.

    Args:
        accuracy: overall accuracy on validation pixels, 0 to 100.

    Returns:
        3 above 85, 2 above 80, else 1.

    Raises:
        DataError: the accuracy is outside 0..100.

    Source:
        EcoVision, J. Remote Sens. 2025, 0811: the level rule, by accuracy alone.
    """
    if not 0 <= accuracy <= 100:
        raise DataError(f"The model's accuracy is {accuracy}, expected percent in 0..100.")
    return 3 if accuracy > 85 else 2 if accuracy > 80 else 1


def fill_holes(labels: Labels, model: Plane) -> Plane:
    """Return the final map: the trusted labels, and the model's class where there is none.

    Args:
        labels: after the last round.
        model: uint8 (H, W), the class that the model predicts; 255: none, and the pixel stays 255.

    Raises:
        DataError: the model's map has another size or type.
    """
    _check_plane(model, labels.label.shape)
    return np.where(labels.trusted, labels.label, model)


def _check(previous: Labels, patch: PatchPrompts, model: Plane, classes: int) -> None:
    _check_plane(model, patch.size)
    strangers = model[(model >= classes) & (model != NODATA)]
    if strangers.size:
        raise DataError(
            f"The model's map holds {strangers.flat[0]}, expected 0..{classes - 1} or {NODATA}: "
            "it was trained for another target legend."
        )
    if previous.label.shape != patch.size:
        raise DataError(
            f"The labels of the round before are {previous.label.shape}, expected the patch's "
            f"{patch.size}."
        )
    if previous.rounds + 1 > _LAST_ROUND:
        raise DataError(f"There were {previous.rounds} rounds, expected fewer than {_LAST_ROUND}.")


def _check_plane(model: Plane, size: tuple[int, ...]) -> None:
    if model.shape != size or model.dtype != np.uint8:
        raise DataError(
            f"The model's map is {model.dtype} {model.shape}, expected uint8 {size} with "
            f"{NODATA} for no class."
        )
