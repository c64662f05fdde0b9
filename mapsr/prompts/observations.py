"""The pixels that EM sees, as a sample or in factored form: their moments and their E step."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mapsr import budgets
from mapsr.legends import NODATA
from mapsr.upsample import PixelFeatures


@dataclass(frozen=True)
class Moments:
    """Of all pixels that EM sees.

    Attributes:
        count: n.
        mean: (D,) float64.
        scatter: (D, D) float64, the covariance S_T with divisor n.
    """

    count: int
    mean: Tensor
    scatter: Tensor


@dataclass(frozen=True)
class Expected:
    """What an E step gives.

    Attributes:
        weights: (C,) float64, N_c: pixels of each class.
        sums: (C, D) float64, of R_ic (f_i - mean).
        evidence: sum over the pixels of log sum_c p(c | k_i) exp(score_ic).
    """

    weights: Tensor
    sums: Tensor
    evidence: float


class Observations(Protocol):
    """The pixels that EM sees: a sample, or all of them in factored form."""

    def moments(self) -> Moments:
        """Count, mean and covariance of the features."""
        ...

    def expect(self, weight: Tensor, bias: Tensor, log_shares: Tensor) -> Expected:
        """One E step for scores weight (f - mean) + bias.

        Args:
            weight: (C, D) float64.
            bias: (C,) float64.
            log_shares: (K, C) float64, log p(c | k).
        """
        ...


class SampledPixels:
    """Features (n, D) and product classes (n,) of sampled pixels; 255 leaves a pixel out.

    Cost: n D^2 once for the covariance, and 4 n C D a step, in double precision; memory 8 n D.
    """

    def __init__(self, features: Tensor, products: Tensor) -> None:
        kept = products != NODATA
        every = features[kept].double()
        self.products = products[kept].long()
        self.mean = every.mean(0) if len(every) else every.new_zeros(every.shape[1])
        self.features = every - self.mean

    def moments(self) -> Moments:
        """Count, mean and covariance of the features."""
        count = len(self.features)
        return Moments(count, self.mean, self.features.T @ self.features / max(1, count))

    def expect(self, weight: Tensor, bias: Tensor, log_shares: Tensor) -> Expected:
        """One E step; see `Observations.expect`."""
        scores = torch.addmm(bias, self.features, weight.T) + log_shares[self.products]
        evidence = scores.logsumexp(1)
        share = (scores - evidence[:, None]).exp()  # (n, C)
        return Expected(share.sum(0), share.T @ self.features, float(evidence.sum()))


class FactoredPixels:
    """All pixels of batches of features, without making them dense: F = A T.

    Scores are A (T W^T), and sums of features weighted by a class's share are pooled by A. Only
    the covariance looks at the features themselves, a few thousand rows at a time, once.

    Cost: n h w D + n D^2 once; a step costs C channels of A for the scores and C pools.
    """

    def __init__(self, batches: Iterable[tuple[PixelFeatures, Tensor]]) -> None:
        """Take features, and the product classes (B, H, W) int64 of their pixels, 255: none.

        Args:
            batches: one or more, each the same at every reading; read once for the moments and
                once a step, so that one that makes its features again pays for each.
        """
        self.batches = batches
        self._moments: Moments | None = None

    def moments(self) -> Moments:
        """Count, mean and covariance of the features."""
        if self._moments is None:
            self._moments = self._measured()
        return self._moments

    def expect(self, weight: Tensor, bias: Tensor, log_shares: Tensor) -> Expected:
        """One E step; see `Observations.expect`."""
        mean = self.moments().mean
        sums = torch.zeros_like(weight)
        weights = torch.zeros_like(bias)
        evidence = 0.0
        for features, products in self.batches:
            # rows of A sum to one, so that tokens may be centred instead of pixels
            tokens = features.tokens - mean.to(features.tokens)
            centred = PixelFeatures(tokens, features.operator)
            inside = products != NODATA
            scores = centred.linear(weight.to(tokens), bias.to(tokens)).double().movedim(1, 3)
            scores = scores[inside] + log_shares[products[inside]]  # (n, C)
            total = scores.logsumexp(1)
            share = (scores - total[:, None]).exp()
            evidence += float(total.sum())
            weights += share.sum(0)
            none = torch.where(inside, 0, -1)
            for number in range(len(bias)):
                plane = torch.zeros_like(products, dtype=tokens.dtype)
                plane[inside] = share[:, number].to(tokens)
                pooled = features.operator.pool(tokens, none, 1, plane)  # (B, 1, D)
                sums[number] += pooled.sum((0, 1), dtype=torch.float64)
        return Expected(weights, sums, evidence)

    def _measured(self) -> Moments:
        # differences to a vector near the mean keep the digits that squares would lose
        shift = next(iter(self.batches))[0].tokens.double().mean((0, 1))
        count, first, second = 0, torch.zeros_like(shift), torch.zeros_like(shift.outer(shift))
        for features, products in self.batches:
            for part in range(len(products)):
                pixels = (products[part].flatten() != NODATA).nonzero()[:, 0]
                one = features.select(part)
                for some in pixels.split(budgets.COVARIANCE_ROWS.on(pixels)):
                    dense = one.at(some)[0].double() - shift
                    count += len(dense)
                    first += dense.sum(0)
                    second += dense.T @ dense
        first, second = first / max(1, count), second / max(1, count)
        return Moments(count, shift + first, second - first.outer(first))
