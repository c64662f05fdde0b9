"""An operator for a smaller plane, carried to the pixels of a larger one."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mapsr.upsample.bilateral import Bilateral, BilateralSettings
from mapsr.upsample.operator import PixelOperator

# Half-width of the window in pixels of the smaller plane, and the standard deviations of distance
# (in those pixels, too) and colour: 3 x 3 values, of which the like coloured ones count.
_CARRY = BilateralSettings(radius=1.5, distance=0.6, colour=0.05)


@dataclass(frozen=True)
class EnlargedOperator:
    """U A: each pixel has what the pixel of the smaller plane below its centre has.

    All of A's work is done on the smaller plane; U is never written down.

    Attributes:
        inner: A, for the smaller plane.
        size: (H, W) pixels, along each axis at least as many as the smaller plane has.
    """

    inner: PixelOperator
    size: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) tokens."""
        return self.inner.grid

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that stand for A."""
        return self.inner.nbytes

    def apply(self, values: Tensor) -> Tensor:
        """U A V: carry (B, h w, C) values of tokens to (B, C, H, W) pixels."""
        return self._enlarge(self.inner.apply(values))

    def linear(self, tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """W F + b, (B, C, H, W), for tokens (B, h w, D), weight (C, D) and bias (C,)."""
        return self._enlarge(self.inner.linear(tokens, weight, bias))

    def norm(self, tokens: Tensor) -> Tensor:
        """|F| per pixel, (B, H, W), of tokens (B, h w, D)."""
        return self._enlarge(self.inner.norm(tokens))

    def pool(
        self, values: Tensor, labels: Tensor, count: int, weights: Tensor | None = None
    ) -> Tensor:
        """Sums over pixel sets, (B, count, C); see `PixelOperator.pool`.

        A pixel of the smaller plane counts in the sets of all pixels that have what it has.
        """
        over, there = self._over
        over, there = over.to(labels.device), there.to(labels.device)
        flat = labels.flatten(-2)[..., over].masked_fill(~there, -1)  # (B, ..., S, h w)
        sets = flat.reshape(len(labels), -1, *self.inner.size)
        own = None
        if weights is not None:
            own = weights.flatten(-2)[..., over].reshape(sets.shape)
        return self.inner.pool(values, sets, count, own)

    def at(self, tokens: Tensor, pixels: Tensor) -> Tensor:
        """F at flat pixel positions (n,), the same ones in each image: (B, n, D)."""
        rows, columns = (below.to(pixels.device) for below in self._below)
        row, column = rows[pixels // self.size[1]], columns[pixels % self.size[1]]
        return self.inner.at(tokens, row * self.inner.size[1] + column)

    def select(self, part: int) -> "EnlargedOperator":
        """The operator of one image of the batch, as a batch of one."""
        return EnlargedOperator(self.inner.select(part), self.size)

    @cached_property
    def _below(self) -> tuple[Tensor, Tensor]:
        """The pixel of the smaller plane below each row, (H,), and each column, (W,)."""
        rows, columns = (
            (2 * torch.arange(n) + 1) * small // (2 * n)
            for n, small in zip(self.size, self.inner.size, strict=True)
        )
        return rows, columns

    @cached_property
    def _over(self) -> tuple[Tensor, Tensor]:
        """The flat pixels over each of the smaller plane, (S, h w), and which of them there are."""
        rows, columns = (
            _dealt(below, small) for below, small in zip(self._below, self.inner.size, strict=True)
        )
        row, column = rows[:, None, :, None], columns[None, :, None, :]
        there = (row >= 0) & (column >= 0)
        over = torch.where(there, row * self.size[1] + column, 0)
        return over.flatten(2).flatten(0, 1), there.flatten(2).flatten(0, 1)

    def _enlarge(self, plane: Tensor) -> Tensor:
        rows, columns = (below.to(plane.device) for below in self._below)
        return plane.index_select(-2, rows).index_select(-1, columns)


def carried(image: Tensor, values: Tensor) -> Tensor:
    """Carry values of a smaller plane to the pixels of an image, along its edges.

    Args:
        image: (B, bands, H, W) in [0, 1], all of whose bands count as colour.
        values: (B, C, h, w), such as scores.

    Returns:
        (B, C, H, W): means of the nearest values, those below like colours first.

    Source: Kopf et al., Joint bilateral upsampling, ACM TOG 2007, doi:10.1145/1276377.1276497.
    """
    operator: PixelOperator = Bilateral(_CARRY)(image, values)
    return operator.apply(values.flatten(2).transpose(1, 2).contiguous())


def _dealt(below: Tensor, small: int) -> Tensor:
    """Places by turn, (turns, small) int64: those over each smaller place, -1 where none is left.

    Args:
        below: (n,) int64 smaller place below each place, never falling.
        small: how many smaller places there are.
    """
    counts = torch.bincount(below, minlength=small)
    first = counts.cumsum(0) - counts
    turn = torch.arange(int(counts.max()))[:, None]
    return torch.where(turn < counts, first + turn, -1)
