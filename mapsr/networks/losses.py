"""The losses that the networks were published with, and the errors of the published code.

All take logits (B, C, H, W) and labels (B, H, W), integers 0 .. C - 1 or ``nodata``, and return a
scalar. Where a function has ``released``, true repeats the authors' code, false corrects it: the
mean is over the labelled pixels, or over the classes that occur.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

NODATA = 255
# Label smoothing, Dice smoothing and weight of the auxiliary head in UNetFormer's code.
SMOOTHING = 0.05
AUXILIARY = 0.4


def cross_entropy(
    logits: Tensor, labels: Tensor, *, nodata: int = NODATA, released: bool = False
) -> Tensor:
    """Mean cross-entropy over the labelled pixels.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) integers.
        nodata: the label to ignore.
        released: NaN where no pixel is labelled, as in torch; else 0 with a gradient of zero.
    """
    total = F.cross_entropy(logits, labels.long(), ignore_index=nodata, reduction="sum")
    return total / _count(labels != nodata, released)


def plat_loss(
    cnn: Tensor, vit: Tensor, labels: Tensor, *, nodata: int = NODATA, released: bool = False
) -> Tensor:
    """Paraformer's pseudo-label-assisted training (PLAT).

    Half the cross-entropy of the convolutional branch on all labels, plus half that of the
    transformer's branch on the pixels where the convolutional branch predicts the label:
    L = CE(cnn, y) / 2 + CE(vit, y where argmax(cnn) = y) / 2, without a gradient through argmax.

    Args:
        cnn: logits of the convolutional branch, (B, C, H, W).
        vit: logits of the transformer's branch, (B, C, H, W).
        labels: (B, H, W) integers.
        nodata: the label to ignore; it is class 0 in the authors' code.
        released: NaN where no pixel is labelled or none agrees, as in the authors' code; else that
            half of the loss is 0.

    Source: Li et al., CVPR 2024, doi:10.48550/arXiv.2403.02746, L_ce + L_mce;
    LiZhuoHong/Paraformer, trainer.py.
    """
    agreed = torch.where(confident_area(cnn, labels, nodata=nodata), labels, nodata)
    own = cross_entropy(cnn, labels, nodata=nodata, released=released)
    other = cross_entropy(vit, agreed, nodata=nodata, released=released)
    return (own + other) / 2


def confident_area(
    logits: Tensor, labels: Tensor, *, threshold: float | None = None, nodata: int = NODATA
) -> Tensor:
    """Select the pixels whose label the logits support.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) integers.
        threshold: smallest probability of the label, in [0, 1]; None: the label must be the most
            probable class.
        nodata: the label that is never selected.

    Returns:
        (B, H, W) bool.
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

    L2HNet's paper names a confident-area selection and a low-to-high loss; this function follows
    their description, not their equations. It needs a warm-up with `cross_entropy`: before that,
    the confident area is arbitrary.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) integers.
        threshold: see `confident_area`.
        entropy: weight, at least 0, of the mean entropy, in nats, of the pixels outside the area,
            which pushes them to a decision.
        nodata: the label that counts as outside.

    Source: the description in Li et al., ISPRS Journal 192, 2022,
    doi:10.1016/j.isprsjprs.2022.08.008.
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
    """Mean cross-entropy with label smoothing.

    (1 - e) (-log p_y) + (e / C) sum_c (-log p_c), with e the smoothing.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) integers.
        smoothing: share of each label that is spread over all classes, in [0, 1].
        nodata: the label to ignore.
        released: divide by all pixels, unlabelled ones included, as UNetFormer's code does.

    Source: Szegedy et al., Rethinking the Inception architecture, CVPR 2016, section 7,
    doi:10.48550/arXiv.1512.00567.
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
        smoothing: added to numerator and denominator.
        nodata: the label to ignore.
        released: a class without a labelled pixel has a loss of 0 and counts in the mean, as in
            UNetFormer's code; else it is left out of the mean.

    Source: Milletari et al., V-Net, 3DV 2016, equation in section 3, doi:10.1109/3DV.2016.79.
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
    """UNetFormer's loss: smooth cross-entropy plus Dice, plus 0.4 of the former per auxiliary head.

    Args:
        outputs: logits of the map, (B, C, H, W), then those of auxiliary heads, if any.
        labels: (B, H, W) integers.
        nodata: the label to ignore.
        released: see `smooth_cross_entropy` and `dice_loss`.

    Source: Wang et al., ISPRS Journal 190, 2022, section 3, doi:10.1016/j.isprsjprs.2022.06.008;
    the weights are those of WangLibo1995/GeoSeg.
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
    """Return the entry of (B, C, H, W) at each label, and any entry where there is no label."""
    index = torch.where(labelled, labels, 0).long()
    return values.gather(1, index[:, None])[:, 0]
