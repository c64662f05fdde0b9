"""Upsampling as a linear operator from tokens to pixels.

Every upsampler here gives pixel features as weighted means of tokens, F = A T, with A (H W x h w)
sparse and its rows summing to one. The operator stands for A; F is never built. Some upsamplers
have several A, one for each group of channels: F = [A_1 T_1, ..., A_G T_G].
"""

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor

from mapsr import budgets


class PixelOperator(Protocol):
    """A of F = A T for a batch of images; with channel groups, all of F's A.

    Where an operator has G groups, the channels of ``tokens`` and ``values`` fall into G equal
    parts, the g-th of which A_g carries.

    Attributes:
        size: (H, W) pixels.
        grid: (h, w) tokens.
    """

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) pixels."""
        ...

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) tokens."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that stand for A."""
        ...

    def apply(self, values: Tensor) -> Tensor:
        """A V: carry (B, h w, C) values of tokens to (B, C, H, W) pixels."""
        ...

    def linear(self, tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """W F + b, (B, C, H, W), for tokens (B, h w, D), weight (C, D) and bias (C,)."""
        ...

    def norm(self, tokens: Tensor) -> Tensor:
        """|F| per pixel, (B, H, W), of tokens (B, h w, D)."""
        ...

    def pool(
        self, values: Tensor, labels: Tensor, count: int, weights: Tensor | None = None
    ) -> Tensor:
        """S diag(weights) A V: sum values carried to pixels over pixel sets.

        Args:
            values: (B, h w, C) of tokens.
            labels: (B, H, W) int64 set of each pixel, 0 .. count - 1; negative: none. With (B, S,
                H, W), a pixel counts in S sets, more than once where one is named again.
            count: how many sets there are.
            weights: weight of each pixel in each of its sets, as ``labels``; None: one.

        Returns:
            (B, count, C).
        """
        ...

    def at(self, tokens: Tensor, pixels: Tensor) -> Tensor:
        """F at flat pixel positions (n,), the same ones in each image: (B, n, D)."""
        ...

    def select(self, part: int) -> "PixelOperator":
        """The operator of one image of the batch, as a batch of one."""
        ...


class OneMatrix(ABC):
    """What follows from a single A for all channels."""

    @abstractmethod
    def apply(self, values: Tensor) -> Tensor:
        """A V: carry (B, h w, C) values of tokens to (B, C, H, W) pixels."""

    @abstractmethod
    def rows(self, pixels: Tensor) -> Tensor:
        """The rows of A at flat pixel positions (n,): (B, n, h w)."""

    def linear(self, tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """W F + b = A (T W^T + b): the bias may be added to tokens as A's rows sum to one."""
        values = tokens @ weight.T
        return self.apply(values if bias is None else values + bias)

    def at(self, tokens: Tensor, pixels: Tensor) -> Tensor:
        """F at flat pixel positions (n,), the same ones in each image: (B, n, D)."""
        parts = [self.rows(some) @ tokens for some in pixels.split(budgets.DENSE_ROWS.on(tokens))]
        return torch.cat(parts, dim=1) if parts else tokens[:, :0]
