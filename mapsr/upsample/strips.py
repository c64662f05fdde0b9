"""Pixelwise networks on large images, a strip of rows at a time.

A 128-channel map of a 448 px chip has 103 MB. Run as whole-image layers, a residual block reads
and writes it a dozen times; in strips that stay in the cache it is read and written a few times,
and no more than two maps exist. Group norms need sums over the whole image before the first value
can be normalised.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapsr import budgets
from mapsr.upsample.minimal import OUTPUTS, Convolution


@dataclass
class Rows:
    """A batch of maps, channels last, that layers change in place.

    Values may be bfloat16: products are of such numbers then, and sums over the image float32.

    Attributes:
        values: (B, H, W, C) contiguous.
        spare: memory of one more such map, which blocks use in turn: to ask the system for a new
            one costs half as much as a convolution. None until the first block.
    """

    values: Tensor
    spare: Tensor | None = None

    @staticmethod
    def of(image: Tensor) -> "Rows":
        """Take (B, C, H, W)."""
        return Rows(image.permute(0, 2, 3, 1).contiguous())

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.values.shape[1], self.values.shape[2]

    def linear(self, weight: Tensor, into: "Rows | None" = None) -> "Rows":
        """Apply a 1 x 1 convolution; ``into`` may be these rows themselves."""
        matrix = self._matrix(weight)
        if into is None:
            into = Rows(self.values.new_empty(*self.values.shape[:3], len(weight)), self.spare)
        for strip in self._strips():
            here, there = _pixels(self.values[:, strip]), _pixels(into.values[:, strip])
            if into is self:
                there.copy_(here @ matrix)
            else:
                torch.bmm(here, matrix, out=there)
        return into

    def encode(self, encoder: nn.Sequential, into: "Rows | None" = None) -> "Rows":
        """Apply a 1 x 1 convolution and the residual blocks behind it; see ``linear``."""
        rows = self.linear(cast(Any, encoder[0]).weight, into)
        for block in encoder[1:]:
            rows.residual(block)
        return rows

    def rotate(
        self, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor], *, heads: int = 1
    ) -> None:
        """Apply rotary positions in place: x cos(a + b) + turned(x) sin(a + b).

        Args:
            rows: cosine and sine of the row angles a, (H, 1, C / heads).
            columns: cosine and sine of the column angles b, (1, W, C / heads).
            heads: how many parts of the channels are turned alike, each in itself.
        """
        half = self.values.shape[3] // heads // 2
        cos_b, sin_b = (table[:, :, None] for table in columns)
        for strip in self._strips():
            x = self.values[:, strip].unflatten(3, (heads, -1))
            cos_a, sin_a = (table[strip, :, None] for table in rows)
            turned = torch.cat([-x[..., half:], x[..., :half]], dim=4)
            x.mul_((cos_a * cos_b - sin_a * sin_b).to(x.dtype))
            x.add_(turned.mul_((sin_a * cos_b + cos_a * sin_b).to(x.dtype)))

    def residual(self, layer: nn.Module) -> None:
        """Apply a residual block in place."""
        norm, _, first, other, _, second = cast(Any, layer.block)
        inner = self._through(norm, first)
        matrix = self._matrix(second.weight)
        for strip, active in inner._activated(other):
            _pixels(self.values[:, strip]).baddbmm_(_pixels(active), matrix)

    def residual_pooled(self, layer: nn.Module, grid: tuple[int, int]) -> Tensor:
        """Apply a residual block and average to a grid, (B, C, h, w).

        The block's last convolution is linear, so it runs after the average.
        """
        norm, _, first, other, _, second = cast(Any, layer.block)
        mean = self.pooled(grid)
        inner = self._through(norm, first)
        active = _Pool(self, grid)
        for strip, some in inner._activated(other):
            active.add(strip, some)
        pooled: Tensor = mean + F.conv2d(active.total(), second.weight)
        return pooled

    def pooled(self, grid: tuple[int, int]) -> Tensor:
        """Average to a grid, (B, C, h, w)."""
        mean = _Pool(self, grid)
        for strip in self._strips():
            mean.add(strip, self.values[:, strip])
        return mean.total()

    def convolved(
        self,
        convolution: nn.Conv2d,
        norm: nn.GroupNorm | None = None,
        into: "Rows | None" = None,
    ) -> "Rows":
        """Apply a convolution, edges reflected, to the rows or to SiLU(norm(rows)).

        Args:
            convolution: 1 x 1 or 3 x 3, with bias.
            norm: of the input; None: the rows are taken as they are.
            into: takes the result, not these rows themselves; None: new memory.
        """
        reach = convolution.kernel_size[0] // 2
        if into is None:
            channels = convolution.out_channels
            into = Rows(self.values.new_empty(*self.values.shape[:3], channels))
        affine = None if norm is None else self._affine(norm)
        convolve = Convolution(convolution.weight, convolution.bias)
        for strip in self._strips(convolve):
            x = self._around(strip, reach)
            if affine is not None:
                x = F.silu(torch.addcmul(affine[1], x, affine[0]), inplace=True)
            into.values[:, strip] = convolve(x)
        return into

    def _around(self, strip: slice, reach: int) -> Tensor:
        """A strip and ``reach`` pixels around it, the image reflected at its edges."""
        if not reach:
            return self.values[:, strip]
        height, width = self.size
        row = torch.arange(strip.start - reach, strip.stop + reach).abs()
        row = torch.minimum(row, 2 * (height - 1) - row)
        column = torch.arange(-reach, width + reach).abs()
        column = torch.minimum(column, 2 * (width - 1) - column)
        device = self.values.device
        return self.values.index_select(1, row.to(device)).index_select(2, column.to(device))

    def convolve(self, weight: Tensor) -> None:
        """Apply a 3 x 3 convolution with zero padding in place, weight (C, C, 3, 3)."""
        convolve = Convolution(weight.to(self.values.dtype))
        above = torch.zeros_like(self.values[:, 0])  # the row over the strip, before its change
        for strip in self._strips(convolve):
            here = self.values[:, strip]
            last = int(strip.stop == self.size[0])  # there is no row below
            rows = F.pad(self.values[:, strip.start : strip.stop + 1], (0, 0, 1, 1, 1, last))
            rows[:, 0, 1:-1] = above
            above = here[:, -1].clone()
            here.copy_(convolve(rows))

    def _through(self, norm: nn.GroupNorm, convolution: nn.Conv2d) -> "Rows":
        matrix = self._matrix(convolution.weight)
        if self.spare is None or self.spare.shape != self.values.shape:
            self.spare = torch.empty_like(self.values)
        inner = Rows(self.spare)
        for strip, active in self._activated(norm):
            torch.bmm(_pixels(active), matrix, out=_pixels(inner.values[:, strip]))
        return inner

    def _matrix(self, weight: Tensor) -> Tensor:
        """The matrix of a 1 x 1 convolution, once for each image: (B, C, channels)."""
        matrix = weight.flatten(1).T.to(self.values.dtype)
        return matrix.expand(len(self.values), -1, -1)

    def _activated(self, norm: nn.GroupNorm) -> Iterator[tuple[slice, Tensor]]:
        gain, shift = self._affine(norm)
        for strip in self._strips():
            yield strip, F.silu(torch.addcmul(shift, self.values[:, strip], gain), inplace=True)

    def _affine(self, norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
        """Write a group norm as x gain + shift, (B, 1, 1, C) each."""
        batch, height, width, channels = self.values.shape
        sums = self.values.new_zeros(2, batch, channels, dtype=torch.float64)
        for strip in self._strips():
            x = self.values[:, strip]
            sums[0] += x.sum((1, 2), dtype=torch.float32)
            sums[1] += x.square().sum((1, 2), dtype=torch.float32)
        size = height * width * channels // norm.num_groups
        mean, square = sums.unflatten(2, (norm.num_groups, -1)).sum(3) / size  # (B, groups) each
        scale = ((square - mean.square()).clamp_min(0) + norm.eps).rsqrt()
        each = channels // norm.num_groups
        gain = scale.repeat_interleave(each, 1) * norm.weight
        shift = norm.bias - mean.repeat_interleave(each, 1) * gain
        return (
            gain[:, None, None].to(self.values.dtype),
            shift[:, None, None].to(self.values.dtype),
        )

    def _strips(self, convolve: Convolution | None = None) -> Iterator[slice]:
        """Some rows at a time, as many as suit the convolution."""
        batch, height, width, _ = self.values.shape
        filtered = convolve is not None and convolve.minimal
        budget, tile = (budgets.FILTERED, OUTPUTS) if filtered else (budgets.STRIP, 1)
        step = max(1, budget.on(self.values) // (batch * width) // tile) * tile
        for top in range(0, height, step):
            yield slice(top, min(top + step, height))


def _pixels(values: Tensor) -> Tensor:
    """(B, rows, W, C) as (B, rows W, C): a view, since a strip's rows follow each other."""
    return values.view(len(values), -1, values.shape[3])


class _Pool:
    """Adaptive average pooling that takes the image strip by strip."""

    def __init__(self, rows: Rows, grid: tuple[int, int]) -> None:
        batch, height, width, channels = rows.values.shape
        self.down = pool_matrix(height, grid[0]).to(rows.values)  # (h, H)
        self.across = pool_matrix(width, grid[1]).to(rows.values.device)  # (w, W)
        self.rows = rows.values.new_zeros(batch, grid[0], width, channels, dtype=torch.float32)

    def add(self, strip: slice, values: Tensor) -> None:
        """Add (B, rows, W, C)."""
        down = self.down[:, strip]
        cells = down.any(1).nonzero()[:, 0]  # the few that the strip touches, side by side
        some = slice(int(cells[0]), int(cells[-1]) + 1)
        self.rows[:, some] += (down[some] @ values.flatten(2)).view_as(self.rows[:, some])

    def total(self) -> Tensor:
        """The means, (B, C, h, w)."""
        return (self.across @ self.rows).permute(0, 3, 1, 2)


def pool_matrix(pixels: int, cells: int) -> Tensor:
    """The (cells, pixels) matrix of adaptive average pooling along one axis."""
    cell = torch.arange(cells)
    low = cell * pixels // cells
    high = -((-(cell + 1) * pixels) // cells)
    pixel = torch.arange(pixels)
    inside = (pixel >= low[:, None]) & (pixel < high[:, None])
    return inside / (high - low)[:, None]
