"""An operator per group of channels: F = [A_1 T_1, ..., A_G T_G]."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mapsr.errors import ConfigError
from mapsr.upsample.operator import PixelOperator


@dataclass(frozen=True)
class GroupedOperator:
    """Operators of one plane and grid, each for an equal part of the channels, in order.

    Attributes:
        parts: A_1 .. A_G.
    """

    parts: tuple[PixelOperator, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) pixels."""
        return self.parts[0].size

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) tokens."""
        return self.parts[0].grid

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.nbytes for part in self.parts)

    def apply(self, values: Tensor) -> Tensor:
        """[A_1 V_1, ..., A_G V_G]: carry (B, h w, C) values of tokens to (B, C, H, W) pixels."""
        return torch.cat([part.apply(some) for part, some in self._groups(values)], dim=1)

    def linear(self, tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """W F + b = sum of A_g (T_g W_g^T), and b: (B, C, H, W)."""
        weights = weight.chunk(len(self.parts), dim=1)
        total: Tensor | None = None
        for (part, some), mine in zip(self._groups(tokens), weights, strict=True):
            own = part.linear(some, mine, bias if total is None else None)
            total = own if total is None else total.add_(own)
        assert total is not None, "an operator has at least one group"
        return total

    def norm(self, tokens: Tensor) -> Tensor:
        """|F|, (B, H, W): |F|^2 is the sum of all |A_g T_g|^2."""
        total: Tensor | None = None
        for part, some in self._groups(tokens):
            own = part.norm(some).square_()
            total = own if total is None else total.add_(own)
        assert total is not None, "an operator has at least one group"
        return total.sqrt_()

    def pool(
        self, values: Tensor, labels: Tensor, count: int, weights: Tensor | None = None
    ) -> Tensor:
        """Sums over pixel sets, (B, count, C); see `PixelOperator.pool`."""
        pooled = [part.pool(some, labels, count, weights) for part, some in self._groups(values)]
        return torch.cat(pooled, dim=2)

    def at(self, tokens: Tensor, pixels: Tensor) -> Tensor:
        """F at flat pixel positions (n,), the same ones in each image: (B, n, D)."""
        return torch.cat([part.at(some, pixels) for part, some in self._groups(tokens)], dim=2)

    def select(self, part: int) -> "GroupedOperator":
        """The operator of one image of the batch, as a batch of one."""
        return GroupedOperator(tuple(one.select(part) for one in self.parts))

    def _groups(self, values: Tensor) -> list[tuple[PixelOperator, Tensor]]:
        groups, channels = len(self.parts), values.shape[2]
        if channels % groups:
            raise ConfigError(
                f"got {channels} channels for an operator of {groups} channel groups, expected a "
                f"multiple of {groups}: take an encoder whose tokens have such a length."
            )
        # contiguous: each part gathers its tokens as whole rows
        parts = [some.contiguous() for some in values.chunk(groups, dim=2)]
        return list(zip(self.parts, parts, strict=True))
