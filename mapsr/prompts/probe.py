"""The linear probe: the only thing that is trained, once, on coarse labels."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapsr.errors import PromptError
from mapsr.legends import NODATA
from mapsr.legends.outputs import best_of_class
from mapsr.progress import Progress, Quiet
from mapsr.upsample import PixelFeatures


@dataclass(frozen=True)
class ProbeSettings:
    """How the probe is built and trained; see `CoarsePromptSettings` for the meanings."""

    bias: bool
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float


class LinearProbe(nn.Module):
    """A 1 x 1 convolution from features to classes.

    With K outputs and ``table`` it also knows which target class each output stands for: K = C
    and the identity when it is trained on target classes, K product classes and their crosswalk
    when it is trained on the product's own.

    Source: MapSR, equation (5).
    """

    def __init__(
        self, dim: int, table: tuple[int, ...], classes: int, scale: float, settings: ProbeSettings
    ) -> None:
        """Make an untrained probe.

        Args:
            dim: D.
            table: target class of each of the K outputs; 255: none.
            classes: C, how many target classes there are.
            scale: typical length of a feature's entry; training sees features divided by it, so
                that one learning rate fits encoders of any magnitude.
            settings: see there.
        """
        super().__init__()
        self.settings = settings
        self.scale = scale
        self.table = table
        self.classes = classes
        # zero is the natural start of a convex problem, and needs no seed
        self.weight = nn.Parameter(torch.zeros(len(table), dim))
        self.bias = nn.Parameter(torch.zeros(len(table))) if settings.bias else None

    @property
    def trained_parameters(self) -> int:
        """K D, and K more with a bias."""
        return sum(p.numel() for p in self.parameters())

    def logits(self, features: PixelFeatures) -> Tensor:
        """Logits of each output, (B, K, H, W), through the operator."""
        return features.linear(self.weight / self.scale, self.bias)

    def scores(self, features: PixelFeatures) -> Tensor:
        """Logits of each target class, (B, C, H, W): the best of the outputs that stand for it.

        The largest of these belongs to the target class of the largest output, outputs that stand
        for no target class left aside; a class that no output stands for has -inf.
        """
        return best_of_class(self.logits(features), self.table, self.classes)

    def loss(self, features: Tensor | PixelFeatures, labels: Tensor) -> Tensor:
        """Cross-entropy of features, (n, D) or factored, to labels, (n,) or (B, H, W)."""
        if isinstance(features, PixelFeatures):
            logits = self.logits(features)
        else:
            logits = F.linear(features / self.scale, self.weight, self.bias)
        return F.cross_entropy(logits, labels, ignore_index=NODATA)


class PixelSample:
    """Features and labels of sampled pixels, served in shuffled batches.

    Attributes:
        features: (n, D).
        labels: (n,) int64.
    """

    def __init__(self, features: Tensor, labels: Tensor, batch: int, seed: int) -> None:
        self.features = features
        self.labels = labels
        self.batch = batch
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.labels), generator=self.generator)
        for some in order.split(self.batch):
            yield self.features[some], self.labels[some]


class _Shown:
    """Batches of all epochs as one loop that is shown; see `PixelSample`."""

    def __init__(self, batches: PixelSample, epochs: int, progress: Progress) -> None:
        self._batches = batches
        total = epochs * len(batches)
        self._steps = progress.track(range(total), "probe", total)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self._batches:
            next(self._steps, None)
            yield batch

    def finish(self) -> None:
        """Say that the last step is done."""
        for _ in self._steps:
            pass


def train_probe(
    probe: LinearProbe,
    batches: object,
    accelerator: str,
    precision: str,
    progress: Progress | None = None,
) -> None:
    """Train a probe in place.

    Args:
        probe: untrained.
        batches: a sized iterable of (features, labels); see `LinearProbe.loss`.
        accelerator: Lightning's name of the device.
        precision: Lightning's name of the precision.
        progress: shows the steps on a `PixelSample`; other batches are shown as they are read.

    Raises:
        PromptError: the loss is not a number; the features or the learning rate are out of range.
    """
    # Lightning takes seconds to import, and a fitted probe does not need it
    from mapsr.prompts.probe_training import ProbeTraining
    from mapsr.quiet import fit_quietly

    shown: object = batches
    if isinstance(batches, PixelSample):
        shown = _Shown(batches, probe.settings.epochs, progress or Quiet())
    fit_quietly(ProbeTraining(probe), shown, accelerator, precision, probe.settings.epochs)
    if isinstance(shown, _Shown):
        shown.finish()
    probe.requires_grad_(False)
    if not torch.isfinite(probe.weight).all():
        raise PromptError(
            "The probe's training diverged: its weights are not numbers. Lower "
            f"prompts.learning_rate, now {probe.settings.learning_rate:g}."
        )
