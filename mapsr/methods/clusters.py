"""Clusters of pixel features, and the nearest one of each pixel."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from mapsr import budgets
from mapsr.data import Chip
from mapsr.errors import DataError
from mapsr.legends import NODATA
from mapsr.upsample import PixelFeatures

# A channel that varies by less than this share of its size is constant but for rounding.
_LEAST_DEVIATION = 1e-5


@dataclass(frozen=True)
class BandFeatures:
    """Features that are few enough to be held for each pixel.

    Attributes:
        values: (B, D, H, W).
    """

    values: Tensor

    @staticmethod
    def of(chips: Sequence[Chip], radius: int, device: torch.device) -> "BandFeatures":
        """Bands of each pixel and, with a radius, their mean over the valid pixels around it."""
        image = torch.stack([chip.image for chip in chips]).to(device)
        if radius == 0:
            return BandFeatures(image)
        valid = torch.stack([chip.valid for chip in chips])[:, None].to(image)
        around = _box(image * valid, radius) / _box(valid, radius).clamp_min(1e-12)
        return BandFeatures(torch.cat([image, around], dim=1))  # (B, 2 bands, H, W)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) pixels."""
        return self.values.shape[2], self.values.shape[3]

    def linear(self, weight: Tensor, bias: Tensor) -> Tensor:
        """W F + b, (B, C, H, W), for weight (C, D) and bias (C,)."""
        flat = weight @ self.values.flatten(2) + bias[:, None]  # (B, C, H W)
        plane: Tensor = flat.unflatten(2, self.size)
        return plane

    def at(self, pixels: Tensor) -> Tensor:
        """Features at flat pixel positions (n,), the same ones in each image: (B, n, D)."""
        return self.values.flatten(2)[:, :, pixels].transpose(1, 2)


Features = PixelFeatures | BandFeatures


@dataclass(frozen=True)
class Clusters:
    """Clusters of standardised features, and the coarse labels that fell on each.

    Attributes:
        mean: (D,) of the sampled features.
        deviation: (D,) of the sampled features; 1 where a channel is constant.
        centres: (K, D) in standardised features.
        votes: (K, C) int64, labelled pixels of the sample by cluster and class.
    """

    mean: Tensor
    deviation: Tensor
    centres: Tensor
    votes: Tensor

    @cached_property
    def shares(self) -> Tensor:
        """(K, C) float32: each class's share of a cluster's votes.

        A cluster without votes has the shares of the nearest cluster with some.
        """
        voted = self.votes.sum(1).nonzero()[:, 0]
        exact = "donot_use_mm_for_euclid_dist"  # zero from a centre to itself
        between = torch.cdist(self.centres, self.centres[voted], compute_mode=exact)
        votes = self.votes[voted[between.argmin(1)]].double()  # (K, C)
        return (votes / votes.sum(1, keepdim=True)).float()

    def nearest(self, features: Features) -> Tensor:
        """The nearest cluster of each pixel, (B, H, W) int64.

        Standardising is linear and the rows of A sum to one, so it is the tokens, not the pixels,
        that are standardised.
        """
        if isinstance(features, PixelFeatures):
            tokens = (features.tokens - self.mean) / self.deviation
            return nearest(PixelFeatures(tokens, features.operator), self.centres)
        mean, deviation = self.mean[:, None, None], self.deviation[:, None, None]
        return nearest(BandFeatures((features.values - mean) / deviation), self.centres)

    def to(self, device: torch.device) -> "Clusters":
        """The same clusters on another device."""
        tensors = (self.mean, self.deviation, self.centres, self.votes)
        return Clusters(*(tensor.to(device) for tensor in tensors))


def nearest(features: Features, centres: Tensor) -> Tensor:
    """The nearest centre of each pixel, the first of several.

    |f - c|^2 = |f|^2 + 2 (|c|^2 / 2 - f c), whose first term is the same for all centres: what is
    left is linear in f. Some centres are compared at a time, so that no array of H x W x K is held
    for large chips.

    Args:
        features: of B images.
        centres: (K, D).

    Returns:
        (B, H, W) int64.
    """
    offsets = centres.square().sum(1) / 2
    held = features.tokens if isinstance(features, PixelFeatures) else features.values
    each = len(held) * features.size[0] * features.size[1]
    few = max(1, budgets.CLUSTER_DISTANCES.on(held) // each)
    best: Tensor | None = None
    for first in range(0, len(centres), few):
        part = slice(first, first + few)
        least, index = features.linear(-centres[part], offsets[part]).min(dim=1)  # (B, H, W)
        if best is None:
            best, found = least, index
        else:
            closer = least < best
            best = torch.where(closer, least, best)
            found = torch.where(closer, index + first, found)
    return found


def centres_of(sample: Tensor, clusters: int, restarts: int, iterations: int, seed: int) -> Tensor:
    """Cluster points by K-means; the same on every machine's number of threads.

    Args:
        sample: (n, D) float32 on the CPU, n at least the number of clusters.
        clusters: how many, K.
        restarts: starts, of which the one with the tightest clusters is kept.
        iterations: most of a start.
        seed: of the starts.

    Returns:
        Centres, (K, D) float32.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    kmeans = KMeans(
        clusters,
        n_init=restarts,
        max_iter=iterations,
        random_state=seed % (1 << 32),  # what NumPy's generator takes
    )
    # sums of several threads differ in their last digits, and clusters then in everything
    with threadpool_limits(1), warnings.catch_warnings():
        # fewer different points than clusters: some are then empty, which the method reports
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans.fit(sample.numpy())
    return torch.from_numpy(kmeans.cluster_centers_)


def statistics(sample: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of points (n, D): (D,) each; deviation 1 of constants."""
    mean = sample.mean(0, dtype=torch.float64)
    variance = (sample - mean.to(sample)).square_().mean(0, dtype=torch.float64)
    size = (variance + mean.square()).sqrt()
    deviation = variance.sqrt()
    constant = deviation <= _LEAST_DEVIATION * size
    return mean.to(sample), deviation.masked_fill(constant, 1.0).to(sample)


def are_whole(tensors: Sequence[Tensor], classes: int) -> bool:
    """Tell whether tensors are mean (D,), deviation (D,), centres (K, D) and votes (K, C)."""
    mean, deviation, centres, votes = tensors
    return (
        centres.dim() == 2
        and all(one.dtype == torch.float32 for one in (mean, deviation, centres))
        and mean.shape == deviation.shape == centres.shape[1:]
        and votes.shape == (len(centres), classes)
        and votes.dtype == torch.int64
        and all(bool(torch.isfinite(one).all()) for one in (mean, deviation, centres))
        and bool((deviation > 0).all())
        and int(votes.min()) >= 0
        and int(votes.sum()) > 0
    )


def _box(plane: Tensor, radius: int) -> Tensor:
    """Sum over squares, but for a factor: (B, C, H, W); nothing is added beyond the edges."""
    side = 2 * radius + 1
    rows = F.avg_pool2d(plane, (side, 1), stride=1, padding=(radius, 0))
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, radius))


def require_labels(labels: Tensor, clusters: int) -> None:
    """Raise DataError where fewer of the sampled pixels are labelled than there are clusters.

    Args:
        labels: (n,) int64, 255 for none.
        clusters: how many are looked for.
    """
    labelled = int((labels != NODATA).sum())
    if labelled == 0:
        raise DataError(
            f"None of the {len(labels)} sampled pixels has a coarse label of a target class: check "
            "the coarse product, legend.coarse and legend.crosswalk."
        )
    if labelled < clusters:
        raise DataError(
            f"{labelled} of {len(labels)} sampled pixels have a coarse label, expected at least as "
            f"many as clusters ({clusters}): lower method.clusters, raise method.pixels, "
            "or fit on more scenes."
        )
