"""Pixels grouped by the tokens they may look at.

Pixels under one token look at almost the same window of tokens. Grouped into cells, a local
operator becomes a few batched matrix products; the mask of all pixels by all tokens never exists.
The windows are separable, so one axis at a time is enough.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """One axis of n pixels in G cells of at most M pixels that look at K tokens each.

    Attributes:
        pixels: (G, M) int64 pixel positions; -1 where a cell has fewer than M.
        tokens: (G, K) int64 token positions, consecutive.
        allowed: (G, M, K) bool; pixels that do not exist are allowed everything.
    """

    pixels: Tensor
    tokens: Tensor
    allowed: Tensor

    @staticmethod
    def of(low: Tensor, high: Tensor, tokens: int) -> "Axis":
        """Group pixels whose windows are low <= token < high.

        Args:
            low: (n,) int64 first token of each pixel, 0 <= low < high.
            high: (n,) int64 end of each pixel's window, at most ``tokens``.
            tokens: how many tokens the axis has.
        """
        n = len(low)
        cell = (2 * torch.arange(n) + 1) * tokens // (2 * n)  # the token above each pixel
        group = torch.unique(cell, return_inverse=True)[1]
        count = torch.bincount(group)
        cells, most = len(count), int(count.max())
        place = torch.arange(n) - (torch.cumsum(count, 0) - count)[group]
        pixels = torch.full((cells, most), -1)
        pixels[group, place] = torch.arange(n)
        first = torch.full((cells,), tokens).scatter_reduce(0, group, low, "amin")
        last = torch.zeros(cells, dtype=torch.int64).scatter_reduce(0, group, high, "amax")
        width = int((last - first).max())
        window = first.clamp(max=tokens - width)[:, None] + torch.arange(width)  # (G, K)
        lows = torch.where(pixels < 0, 0, low[pixels])[..., None]  # (G, M, 1)
        highs = torch.where(pixels < 0, tokens, high[pixels])[..., None]
        allowed = (window[:, None] >= lows) & (window[:, None] < highs)  # (G, M, K)
        return Axis(pixels, window, allowed)

    def to(self, device: torch.device) -> "Axis":
        """Return the axis with its tensors on ``device``."""
        return Axis(self.pixels.to(device), self.tokens.to(device), self.allowed.to(device))


@dataclass(frozen=True)
class Cells:
    """A plane of H x W pixels over h x w tokens: the product of two axes.

    G = cells of rows x cells of columns, M and K likewise; all flat and row-major.
    """

    rows: Axis
    columns: Axis
    size: tuple[int, int]
    grid: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(G, M, K)."""
        (a, m, k), (b, n, j) = self.rows.allowed.shape, self.columns.allowed.shape
        return a * b, m * n, k * j

    @cached_property
    def pixels(self) -> Tensor:
        """(G, M) int64 flat pixel positions, -1 where there is no pixel."""
        row = self.rows.pixels[:, None, :, None]
        column = self.columns.pixels[None, :, None, :]
        flat = torch.where((row < 0) | (column < 0), -1, row * self.size[1] + column)
        return flat.reshape(self.shape[:2])

    @cached_property
    def tokens(self) -> Tensor:
        """(G, K) int64 flat token positions."""
        row = self.rows.tokens[:, None, :, None] * self.grid[1]
        g, _, k = self.shape
        return (row + self.columns.tokens[None, :, None, :]).reshape(g, k)

    @cached_property
    def slots(self) -> Tensor:
        """(H W,) int64: where each pixel stands in the flattened (G, M)."""
        flat = self.pixels.flatten()
        slots = torch.empty(self.size[0] * self.size[1], dtype=torch.int64, device=flat.device)
        filled = flat >= 0
        slots[flat[filled]] = torch.arange(len(flat), device=flat.device)[filled]
        return slots

    def allowed(self, cells: slice) -> Tensor:
        """(cells, M, K) bool: which tokens each pixel of these cells may look at."""
        return self.combine(torch.logical_and, self.rows.allowed, self.columns.allowed, cells=cells)

    def combine(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        rows: Tensor,
        columns: Tensor,
        *,
        cells: slice = slice(None),
    ) -> Tensor:
        """(cells, M, K) from what each axis has, (rows' G, M, K) and (columns' G, M, K)."""
        index = torch.arange(len(rows) * len(columns), device=rows.device)[cells]
        row = rows[index // len(columns)][:, :, None, :, None]
        column = columns[index % len(columns)][:, None, :, None, :]
        return function(row, column).flatten(3, 4).flatten(1, 2)

    def chunks(self, elements: int) -> list[slice]:
        """Split the G cells so that a chunk of (cells, M, K) holds about ``elements`` at most."""
        g, m, k = self.shape
        step = max(1, elements // (m * k))
        return [slice(start, min(start + step, g)) for start in range(0, g, step)]

    def to(self, device: torch.device) -> "Cells":
        """Return the cells with their tensors on ``device``."""
        if self.rows.pixels.device == device:
            return self  # with the tables made already
        return Cells(self.rows.to(device), self.columns.to(device), self.size, self.grid)
