"""Upsampling as a linear operator from tokens to pixels.

Every upsampler here gives pixel features as weighted means of tokens, F = A T, with A (H W x h w)
sparse and its rows summing to one. The operator stands for A; F is never built.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mapsr.upsample.cells import Cells

# Elements of the largest temporary array, 32 MiB in float32: small enough to stay far below a
# chip's own weights, large enough to keep two cores or a GPU busy.
_CHUNK = 8 << 20


class PixelOperator(Protocol):
    """A of F = A T for a batch of images.

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

    def apply(self, values: Tensor) -> Tensor:
        """A V: carry (B, h w, C) values of tokens to (B, C, H, W) pixels."""
        ...

    def norm(self, tokens: Tensor) -> Tensor:
        """|A T| per pixel, (B, H, W), from the Gram matrix of tokens (B, h w, D)."""
        ...

    def pool(self, labels: Tensor, count: int, weights: Tensor | None = None) -> Tensor:
        """S diag(weights) A: sum the rows of A over pixel sets.

        Args:
            labels: (B, H, W) int64 set of each pixel, 0 .. count - 1; negative: none.
            count: how many sets there are.
            weights: (B, H, W) weight of each pixel; None: one.

        Returns:
            (B, count, h w).
        """
        ...

    def rows(self, pixels: Tensor) -> Tensor:
        """The rows of A at flat pixel positions (n,): (B, n, h w)."""
        ...

    def select(self, part: int) -> "PixelOperator":
        """The operator of one image of the batch, as a batch of one."""
        ...


@dataclass(frozen=True)
class LocalOperator:
    """An operator whose pixels look at a small window of tokens each.

    Memory: B x G x M x K weights; for AnyUp on a chip of 448 px 51 MB in float32.

    Attributes:
        cells: which pixels look at which tokens.
        weights: (B, G, M, K), each row summing to one over K.
    """

    cells: Cells
    weights: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) pixels."""
        return self.cells.size

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) tokens."""
        return self.cells.grid

    def apply(self, values: Tensor) -> Tensor:
        """A V: carry (B, h w, C) values of tokens to (B, C, H, W) pixels."""
        carried = [
            self.weights[:, part] @ values[:, self.cells.tokens[part]]  # (B, g, M, C)
            for part in self._chunks(values.shape[2])
        ]
        flat = torch.cat(carried, dim=1).flatten(1, 2)[:, self.cells.slots]  # (B, H W, C)
        plane: Tensor = flat.transpose(1, 2).unflatten(2, self.size)
        return plane

    def norm(self, tokens: Tensor) -> Tensor:
        """|A T| per pixel, (B, H, W), from the Gram matrix of tokens (B, h w, D)."""
        squares = []
        g, _, k = self.cells.shape
        whole = None
        if tokens.shape[1] ** 2 <= g * k**2:  # windows overlap so much that one matrix is less
            whole = tokens @ tokens.transpose(1, 2)  # (B, h w, h w)
        for part in self._chunks(0 if whole is not None else tokens.shape[2]):
            token = self.cells.tokens[part]  # (g, K)
            if whole is not None:
                gram = whole[:, token[:, :, None], token[:, None]]  # (B, g, K, K)
            else:
                window = tokens[:, token]  # (B, g, K, D)
                gram = window @ window.transpose(2, 3)
            weights = self.weights[:, part]
            squares.append(((weights @ gram) * weights).sum(3))  # (B, g, M)
        flat = torch.cat(squares, dim=1).flatten(1)[:, self.cells.slots]  # (B, H W)
        plane: Tensor = flat.clamp_min(0).sqrt().unflatten(1, self.size)
        return plane

    def pool(self, labels: Tensor, count: int, weights: Tensor | None = None) -> Tensor:
        """S diag(weights) A, (B, count, h w); see `PixelOperator.pool`."""
        batch, hw = len(labels), self.grid[0] * self.grid[1]
        pooled = self.weights.new_zeros(batch * count * hw)
        offset = torch.arange(batch, device=labels.device)[:, None, None, None] * count
        for part in self._chunks(1):
            pixels = self.cells.pixels[part]  # (g, M)
            label = torch.where(pixels < 0, -1, labels.flatten(1)[:, pixels])  # (B, g, M)
            names, indicator = _local_sets(label, self.weights.dtype)
            if weights is not None:
                indicator = indicator * weights.flatten(1)[:, pixels, None]
            sums = indicator.transpose(2, 3) @ self.weights[:, part]  # (B, g, L, K)
            target = (names[..., None] + offset) * hw + self.cells.tokens[part][:, None]
            pooled.index_add_(0, target.flatten(), sums.flatten())
        return pooled.view(batch, count, hw)

    def rows(self, pixels: Tensor) -> Tensor:
        """The rows of A at flat pixel positions (n,): (B, n, h w)."""
        slot = self.cells.slots[pixels]
        tokens = self.cells.tokens[slot // self.cells.shape[1]]  # (n, K)
        weights = self.weights.flatten(1, 2)[:, slot]  # (B, n, K)
        rows = weights.new_zeros(len(weights), len(pixels), self.grid[0] * self.grid[1])
        return rows.scatter_(2, tokens.expand_as(weights), weights)

    def select(self, part: int) -> "LocalOperator":
        """The operator of one image of the batch, as a batch of one."""
        return LocalOperator(self.cells, self.weights[part : part + 1])

    def _chunks(self, channels: int) -> list[slice]:
        most = max(1, channels // self.cells.shape[1])  # gathered tokens may outweigh the weights
        return self.cells.chunks(_CHUNK // (len(self.weights) * most))


def _local_sets(labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Number the few sets of each cell from zero, so that summing them is a matrix product.

    Args:
        labels: (B, g, M) int64, negative for pixels of no set.
        dtype: of the indicator.

    Returns:
        names (B, g, L): the set behind each local number; indicator (B, g, M, L).
    """
    ordered, order = labels.sort(dim=2)
    new = torch.zeros_like(ordered)
    new[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    rank = new.cumsum(2)
    local = torch.empty_like(rank).scatter_(2, order, rank)  # (B, g, M)
    most = int(rank[..., -1].max()) + 1
    names = torch.zeros(*labels.shape[:2], most, dtype=torch.int64, device=labels.device)
    names.scatter_(2, rank, ordered.clamp_min(0))
    indicator = (local[..., None] == torch.arange(most, device=labels.device)).to(dtype)
    return names, indicator * (labels >= 0)[..., None]
