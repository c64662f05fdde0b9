"""Attention of every pixel to every token, as an operator that never holds its matrix."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mapsr import budgets
from mapsr.upsample.operator import OneMatrix


@dataclass(frozen=True)
class GlobalOperator(OneMatrix):
    """An operator whose pixels look at all tokens: A = mean over heads of softmax(Q K').

    A pixel's row of A is made when it is needed and dropped again, so each call computes the whole
    attention again.

    Memory: 4 B (H W + h w) heads d bytes in float32; with 4 heads of 32 on a chip of 448 px with
    32 x 32 tokens 103 MB, where A has 822 MB. A call adds a block of at most 2^20 weights (2^24
    on a GPU) a few times over, and what it returns.

    Attributes:
        queries: (B, H W, heads d) of pixels, scaled for the dot product.
        keys: (B, h w, heads d) of tokens.
        heads: how many attentions are averaged.
        size: (H, W) pixels.
        grid: (h, w) tokens.
    """

    queries: Tensor
    keys: Tensor
    heads: int
    size: tuple[int, int]
    grid: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes of the queries and keys."""
        return self.queries.nbytes + self.keys.nbytes

    def apply(self, values: Tensor) -> Tensor:
        """A V: carry (B, h w, C) values of tokens to (B, C, H, W) pixels."""
        batch, pixels, _ = self.queries.shape
        carried = values.new_empty(batch, values.shape[2], pixels)
        for image, part in self._blocks():
            carried[image, :, part] = (self._weights(image, part) @ values[image]).T
        plane: Tensor = carried.unflatten(2, self.size)
        return plane

    def norm(self, tokens: Tensor) -> Tensor:
        """|A T| per pixel, (B, H, W), a block of features or products at a time.

        With fewer tokens than their length D, |A T|^2 = a (T T') a' for each row a of A, from the
        Gram matrix of tokens (B, h w, D); else a block's features are the shorter way.
        """
        count, dim = tokens.shape[1:]
        gram = tokens @ tokens.transpose(1, 2) if count < dim else None  # (B, h w, h w)
        squares = tokens.new_empty(self.queries.shape[:2])
        for image, part in self._blocks():
            weights = self._weights(image, part)  # (n, h w)
            if gram is None:
                squares[image, part] = (weights @ tokens[image]).square_().sum(1)
            else:
                squares[image, part] = (weights @ gram[image]).mul_(weights).sum(1)
        plane: Tensor = squares.clamp_min_(0).sqrt_().unflatten(1, self.size)
        return plane

    def pool(
        self, values: Tensor, labels: Tensor, count: int, weights: Tensor | None = None
    ) -> Tensor:
        """S diag(weights) A V, (B, count, C); see `PixelOperator.pool`.

        Pixels are taken in the order of their sets, so that a block has few sets: the rows of A
        are summed over a set before values are carried. Pixels of no set cost nothing.
        """
        pooled = values.new_zeros(len(values), count, values.shape[2], dtype=torch.float64)
        plane = self.size[0] * self.size[1]
        for image, label in enumerate(labels.flatten(1)):
            ordered, order = label.sort(stable=True)
            first = int(torch.searchsorted(ordered, 0))
            for some in order[first:].split(self._step):
                names, local = label[some].unique_consecutive(return_inverse=True)
                rows = self._weights(image, some % plane)  # (n, h w)
                if weights is not None:
                    rows *= weights[image].flatten()[some, None]
                sums = rows.new_zeros(len(names), rows.shape[1]).index_add_(0, local, rows)
                pooled[image].index_add_(0, names, (sums @ values[image]).double())
        return pooled.to(values.dtype)

    def rows(self, pixels: Tensor) -> Tensor:
        """The rows of A at flat pixel positions (n,): (B, n, h w)."""
        batch, count, _ = self.keys.shape
        rows = self.keys.new_empty(batch, len(pixels), count)
        for image in range(batch):
            for start in range(0, len(pixels), self._step):
                part = slice(start, start + self._step)
                rows[image, part] = self._weights(image, pixels[part])
        return rows

    def select(self, part: int) -> "GlobalOperator":
        """The operator of one image of the batch, as a batch of one."""
        one = slice(part, part + 1)
        return GlobalOperator(self.queries[one], self.keys[one], self.heads, self.size, self.grid)

    @property
    def _step(self) -> int:
        """Pixels of a block."""
        elements = budgets.ATTENTION.on(self.queries)
        return max(1, elements // self.keys.shape[1])

    def _blocks(self) -> Iterator[tuple[int, slice]]:
        batch, pixels, _ = self.queries.shape
        for image in range(batch):
            for start in range(0, pixels, self._step):
                yield image, slice(start, start + self._step)

    def _weights(self, image: int, pixels: slice | Tensor) -> Tensor:
        """The rows of A of some pixels of an image, (n, h w)."""
        heads = zip(
            self.queries[image, pixels].chunk(self.heads, 1),
            self.keys[image].chunk(self.heads, 1),
            strict=True,
        )
        total: Tensor | None = None
        for query, key in heads:
            weights = (query @ key.T).softmax(1)
            total = weights if total is None else total.add_(weights)
        assert total is not None, self.heads
        return total.div_(self.heads)
