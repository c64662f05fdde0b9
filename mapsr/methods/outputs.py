"""What the outputs of a network stand for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mapsr.errors import ConfigError
from mapsr.legends import NODATA, Crosswalk
from mapsr.legends.outputs import best_of_class
from mapsr.methods.said import text, whole
from mapsr.settings import Plain


@dataclass(frozen=True)
class Outputs:
    """What the outputs of a network stand for.

    Attributes:
        learned: for each class of the labels the output that it is learned as, 255 for none.
        targets: for each output the index of its target class, 255 for none.
        classes: names of the target classes.
    """

    learned: tuple[int, ...]
    targets: tuple[int, ...]
    classes: tuple[str, ...]

    @staticmethod
    def from_plain(said: Plain) -> "Outputs":
        """Make them again from what a file says.

        Raises:
            KeyError: a part is missing.
            ValueError: a part is not what it should be.
        """
        lists = {key: said[key] for key in ("learned", "targets", "classes")}
        for key, values in lists.items():
            if not isinstance(values, list | tuple) or len(values) > NODATA + 1:
                raise ValueError(f"'outputs.{key}' is {type(values).__name__}, not a short list")
        classes = tuple(text(one, "outputs.classes") for one in lists["classes"])
        learned = [whole(one, "outputs.learned", 0, NODATA) for one in lists["learned"]]
        targets = [whole(one, "outputs.targets", 0, NODATA) for one in lists["targets"]]
        if not all(one == NODATA or one < len(classes) for one in targets):
            raise ValueError(f"'outputs.targets' goes beyond the {len(classes)} classes")
        if all(one == NODATA for one in targets):
            raise ValueError("no output stands for a class")
        return Outputs(tuple(learned), tuple(targets), classes)

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Target class of each output, where one class has several; else None."""
        stands = [target for target in self.targets if target != NODATA]
        return self.targets if len(set(stands)) < len(stands) else None

    def scores(self, logits: torch.Tensor, *, every: bool = False) -> torch.Tensor:
        """Probabilities, of which means over windows may be taken.

        Args:
            logits: (B, outputs, H, W).
            every: where there are ``channels``, those that stand for no class take their share of
                the probability, as in the authors' code, in place of being left aside.

        Returns:
            (B, K, H, W) float32 of each output where there are ``channels``; else (B, C, H, W) of
            each class, -inf for one that no output stands for.
        """
        logits = logits.float()
        aside = torch.tensor([target == NODATA for target in self.targets], device=logits.device)
        if self.channels is None or not every:
            logits = logits.masked_fill(aside.view(1, -1, 1, 1), -torch.inf)
        probabilities = logits.softmax(1)
        if self.channels is not None:
            return probabilities
        return best_of_class(probabilities, self.targets, len(self.classes))


def outputs_of(
    coarse: Crosswalk, skip: Sequence[str] | None, *, truth: bool, background: bool
) -> Outputs:
    """Say what the outputs of a network are.

    Args:
        coarse: from the product to the target classes.
        skip: names of classes of the product that get no output, where the outputs are the
            product's own classes; None: they are target classes.
        truth: it learns from the truth's labels rather than the product's.
        background: one more output, before the others, that is never learned and never wins.

    Raises:
        ConfigError: no class is left to learn.
    """
    classes = coarse.target.names
    if skip is not None:
        kept = [k for k, name in enumerate(coarse.source.names) if name not in skip]
        targets = [coarse.table[k] for k in kept]
        learned = [kept.index(k) if k in kept else NODATA for k in range(len(coarse.source))]
    else:
        targets = list(range(len(classes)))
        learned = targets if truth else list(coarse.table)
    if all(target == NODATA for target in targets):
        raise ConfigError(
            "No class of the product that gets an output stands for a target class: shorten "
            "method.skip, or choose another legend.crosswalk."
        )
    if background:
        targets = [NODATA, *targets]
        learned = [NODATA if one == NODATA else one + 1 for one in learned]
    return Outputs(tuple(learned), tuple(targets), classes)
