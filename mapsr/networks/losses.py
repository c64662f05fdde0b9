"""The losses that the networks were published with, and what is wrong in the published code.

All take logits (B, C, H, W) and labels (B, H, W), integers 0 .. C - 1 or ``nodata``, and return a
scalar. Where a function has ``released``, true gives what the authors' code computes, false what it
should: a mean over the pixels, or the classes, that there are.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

NODATA = 255
# Smoothing of labels and of Dice, and the share of the auxiliary head, in UNetFormer's code.
SMOOTHING = 0.05
AUXILIARY = 0.4


def cross_entropy(
    logits: Tensor, labels: Tensor, *, nodata: int = NODATA, released: bool = False
) -> Tensor:
    """Mean cross-entropy over the labelled pixels.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) integers.
        nodata: the label that does not count.
        released: NaN where no pixel is labelled, as in torch; else 0 with a gradient of zero.
    """
    total = F.cross_entropy(logits, labels.long(), ignore_index=nodata, reduction="sum")
    return total / _count(labels != nodata, released)


def plat_loss(
    cnn: Tensor, vit: Tensor, labels: Tensor, *, nodata: int = NODATA, released: bool = False
) -> Tensor:
    """Paraformer's loss: the transformer learns from labels that the other branch agrees with.

    Half the cross-entropy of the convolutional branch on all labels, and half that of the
    transformer's branch on the pixels where the former's class is the label.

    Args:
        cnn: logits of the convolutional branch, (B, C, H, W).
        vit: logits of the transformer's branch, (B, C, H, W).
        labels: (B, H, W) integers.
        nodata: the label that does not count; the authors' code has its class 0 there.
        released: NaN where no pixel is labelled or none agrees, as the authors' code; else such
            a half is 0.

    Source: Li et al., CVPR 2024, pseudo-label-assisted training; LiZhuoHong/Paraformer, trainer.py.
    """
    agreed = torch.where(confident_area(cnn, labels, nodata=nodata), labels, nodata)
    own = cross_entropy(cnn, labels, nodata=nodata, released=released)
    other = cross_entropy(vit, agreed, nodata=nodata, released=released)
    return (own + other) / 2


def confident_area(
    logits: Tensor, labels: Tensor, *, threshold: float | None = None, nodata: int = NODATA
) -> Tensor:
    """Pixels whose label the logits bear out, (B, H, W) bool.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) integers.
        threshold: least probability of the label, in [0, 1]; None: the label's class must be the
            most probable one.
        nodata: the label that is never borne out.
    """
    labelled = labels != nodata
    with torch.no_grad():
        if threshold is None:
            return labelled & (logits.argmax(1) == labels)
        of_label = _at_label(logits.softmax(1), labels, labelled)
        return labelled & (of_label >= threshold)


def confident_area_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    threshold: float | None = None,
    entropy: float = 0.0,
    nodata: int = NODATA,
) -> Tensor:
    """A stand-in for L2HNet's loss: cross-entropy within the confident area, entropy outside.

    L2HNet's publications name a confident-area selection and a low-to-high loss; their equations
    are not those of this function, which only follows the description. It supposes a warm-up with
    `cross_entropy`, without which the area is arbitrary.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) integers.
        threshold: see `confident_area`.
        entropy: weight of the mean entropy, in nats, of the pixels outside the area, which pushes
            them to a decision.
        nodata: the label that counts as outside.
    """
    inside = confident_area(logits, labels, threshold=threshold, nodata=nodata)
    loss = cross_entropy(logits, torch.where(inside, labels, nodata), nodata=nodata)
    if not entropy:
        return loss
    logs = logits.log_softmax(1)
    spread = -(logs.exp() * logs).sum(1)  # (B, H, W)
    return loss + entropy * (spread * ~inside).sum() / _count(~inside, False)


def smooth_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    smoothing: float = SMOOTHING,
    nodata: int = NODATA,
    released: bool = False,
) -> Tensor:
    """Mean cross-entropy to labels of which a share is spread over all classes.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) integers.
        smoothing: that share, in [0, 1].
        nodata: the label that does not count.
        released: divide by all pixels, unlabelled ones included, as UNetFormer's code.
    """
    labelled = labels != nodata
    logs = logits.log_softmax(1)
    spread = -logs.mean(1)  # (B, H, W)
    loss = (smoothing - 1) * _at_label(logs, labels, labelled) + smoothing * spread
    count = labels.numel() if released else _count(labelled, False)
    return torch.where(labelled, loss, 0).sum() / count


def dice_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    smoothing: float = SMOOTHING,
    nodata: int = NODATA,
    released: bool = False,
) -> Tensor:
    """One minus the Dice coefficient of each class over the batch, averaged over the classes.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) integers.
        smoothing: added to both sides of the fraction.
        nodata: the label that does not count.
        released: a class without a labelled pixel counts as a perfect one, as in UNetFormer's
            code; else it is left out of the mean.
    """
    labelled = labels != nodata
    probabilities = logits.softmax(1) * labelled[:, None]
    classes = torch.arange(logits.shape[1], device=labels.device).view(1, -1, 1, 1)
    truth = (labels[:, None] == classes) & labelled[:, None]  # (B, C, H, W)
    common = (probabilities * truth).sum((0, 2, 3))  # (C,)
    size = (probabilities + truth).sum((0, 2, 3))
    loss = 1 - (2 * common + smoothing) / (size + smoothing).clamp_min(1e-7)
    present = truth.any(dim=3).any(dim=2).any(dim=0)
    count = len(loss) if released else _count(present, False)
    return (loss * present).sum() / count


def unetformer_loss(
    outputs: tuple[Tensor, ...], labels: Tensor, *, nodata: int = NODATA, released: bool = False
) -> Tensor:
    """UNetFormer's loss: smooth cross-entropy and Dice, and 0.4 of the former for other outputs.

    Args:
        outputs: logits of the map, (B, C, H, W), then those of auxiliary heads, if any.
        labels: (B, H, W) integers.
        nodata: the label that does not count.
        released: see `smooth_cross_entropy` and `dice_loss`.
    """
    main, *others = outputs
    loss = smooth_cross_entropy(main, labels, nodata=nodata, released=released)
    loss = loss + dice_loss(main, labels, nodata=nodata, released=released)
    for other in others:
        loss = loss + AUXILIARY * smooth_cross_entropy(
            other, labels, nodata=nodata, released=released
        )
    return loss


def _count(pixels: Tensor, nan_if_none: bool) -> Tensor:
    count = pixels.sum()
    return count if nan_if_none else count.clamp_min(1)


def _at_label(values: Tensor, labels: Tensor, labelled: Tensor) -> Tensor:
    """The entry of (B, C, H, W) that belongs to each label, any entry where there is none."""
    index = torch.where(labelled, labels, 0).long()
    return values.gather(1, index[:, None])[:, 0]
