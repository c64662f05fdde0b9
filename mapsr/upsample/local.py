"""An operator whose pixels look at few tokens, held as a few batched matrices."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mapsr import budgets
from mapsr.upsample.cells import Cells
from mapsr.upsample.operator import OneMatrix

# Steps of one in sums of weights; float32 resolves 2^24 of them.
_STEPS = 2.0**40
_TINY = 1e-30


@dataclass(frozen=True)
class LocalOperator(OneMatrix):
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

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return self.weights.nbytes

    def apply(self, values: Tensor) -> Tensor:
        """A V: carry (B, h w, C) values of tokens to (B, C, H, W) pixels."""
        carried = values.new_empty(*self.weights.shape[:3], values.shape[2])  # (B, G, M, C)
        for part in self._chunks(values.shape[2]):
            carried[:, part] = self.weights[:, part] @ self._window(values, part)
        flat = carried.flatten(1, 2)[:, self.cells.slots]  # (B, H W, C)
        plane: Tensor = flat.transpose(1, 2).unflatten(2, self.size)
        return plane

    def norm(self, tokens: Tensor) -> Tensor:
        """|A T| per pixel, (B, H, W), from the features or a Gram matrix of tokens (B, h w, D)."""
        (g, m, k), (hw, dim) = self.cells.shape, tokens.shape[1:]
        # multiplications of each cell in three ways to the same sum
        costs = {
            self._squares: m * k * dim,
            self._squares_by_window: k * k * (dim + m),
            self._squares_by_pair: hw * hw * dim // g + k * k * m,
        }
        squares = min(costs, key=lambda way: costs[way])(tokens)  # (B, G, M)
        flat = squares.flatten(1)[:, self.cells.slots]  # (B, H W)
        plane: Tensor = flat.clamp_min_(0).sqrt_().unflatten(1, self.size)
        return plane

    def pool(
        self, values: Tensor, labels: Tensor, count: int, weights: Tensor | None = None
    ) -> Tensor:
        """S diag(weights) A V, (B, count, C); see `PixelOperator.pool`.

        The weights of A are summed over the pixels of a set first, cell by cell: a set touches few
        cells, and cells near each other share most tokens, so that what is left for a chunk of
        cells is a small matrix of sets and tokens.
        """
        if values.is_cuda:
            return self.pool_at_once(values, labels, count, weights)
        shape = len(values), count, values.shape[2]
        # in double precision: sums of hundreds of terms, whose nearest neighbours are told apart
        # by their last digits
        pooled = values.new_zeros(shape, dtype=torch.float64)
        exact = values.double()
        for part in self._chunks(1, budgets.POOLED_CELLS.on(values)):
            names, sums = self._set_sums(part, labels, weights)
            tokens, column = self.cells.tokens[part].unique(return_inverse=True)  # (t,), (g, K)
            for image, name in enumerate(names):
                cell, local = (name >= 0).nonzero(as_tuple=True)  # (n,) each
                sets, row = name[cell, local].unique(return_inverse=True)
                share = exact.new_zeros(len(sets), len(tokens))
                place = row[:, None].expand(-1, column.shape[1]), column[cell]
                share.index_put_(place, sums[image, cell, local].double(), accumulate=True)
                pooled[image].index_add_(0, sets, share @ exact[image, tokens])
        return pooled.to(values.dtype)

    def pool_at_once(
        self, values: Tensor, labels: Tensor, count: int, weights: Tensor | None = None
    ) -> Tensor:
        """``pool`` without a look at the labels, for which a GPU's host would have to wait.

        The weights of A are summed over each set and token, in whole steps of 2^-40 of the largest
        so that the order of the sums does not matter; then one matrix product carries the values.

        Memory: 8 bytes for each pair of a set and a token, 41 MB for 5000 sets and 32 x 32 tokens.
        """
        pooled = []
        for image, some in enumerate(values):
            sets = labels[image].flatten(-2)
            if weights is None:
                pooled.append(self._sums_of_sets(image, sets, count, None) @ some)
                continue
            scale = weights[image].abs().amax().clamp_min(_TINY)
            plane = (weights[image] / scale).flatten(-2)
            pooled.append((self._sums_of_sets(image, sets, count, plane) @ some) * scale)
        return torch.stack(pooled)

    def _sums_of_sets(
        self, image: int, labels: Tensor, count: int, weights: Tensor | None
    ) -> Tensor:
        """S diag(weights) A of an image, (count, h w); labels and weights (..., H W) up to one."""
        tokens = self.grid[0] * self.grid[1]
        # a row more takes pixels of no set
        steps = torch.zeros((count + 1) * tokens, dtype=torch.int64, device=labels.device)
        elements = budgets.SPREAD.on(self.weights)
        for part in self.cells.chunks(elements):
            pixels = self.cells.pixels[part]  # (g, M)
            label = torch.where(pixels < 0, -1, labels[..., pixels.clamp_min(0)])
            label = torch.where(label < 0, count, label)  # (..., g, M)
            place = label[..., None] * tokens + self.cells.tokens[part][:, None]  # (..., g, M, K)
            share = self.weights[image, part].double()
            if weights is not None:
                share = share * weights[..., pixels.clamp_min(0), None]
            whole = (share * _STEPS).round_().long().expand(place.shape)
            steps.scatter_add_(0, place.flatten(), whole.flatten())
        return (steps[: count * tokens].view(count, tokens).double() / _STEPS).to(self.weights)

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

    def _set_sums(
        self, part: slice, labels: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The sets in each cell, (B, g, L), -1 where there is none; their rows, (B, g, L, K)."""
        pixels = self.cells.pixels[part]  # (g, M)
        labels = labels.reshape(len(labels), -1, self.size[0] * self.size[1])
        label = torch.where(pixels < 0, -1, labels[:, :, pixels])  # (B, S, g, M)
        label = label.transpose(1, 2).flatten(2)
        names, indicator = _local_sets(label, self.weights.dtype)  # (B, g, S M, L)
        if weights is not None:
            own = weights.reshape(labels.shape)[:, :, pixels]
            indicator *= own.transpose(1, 2).flatten(2)[..., None]
        if labels.shape[1] > 1:
            indicator = indicator.unflatten(2, (labels.shape[1], -1)).sum(2)
        return names, indicator.transpose(2, 3) @ self.weights[:, part]

    def _squares(self, tokens: Tensor) -> Tensor:
        """|A T|^2 from the features themselves, a chunk at a time: (B, G, M)."""
        squares = tokens.new_empty(self.weights.shape[:3])
        for part in self._chunks(tokens.shape[2]):
            features = self.weights[:, part] @ self._window(tokens, part)  # (B, g, M, D)
            squares[:, part] = features.square_().sum(3)
        return squares

    def _squares_by_window(self, tokens: Tensor) -> Tensor:
        """|A T|^2 = w' (T T') w with the Gram matrix of each cell's window: (B, G, M)."""
        squares = tokens.new_empty(self.weights.shape[:3])
        for part in self._chunks(tokens.shape[2]):
            window = self._window(tokens, part)  # (B, g, K, D)
            squares[:, part] = self._quadratic(part, window @ window.transpose(2, 3))
        return squares

    def _squares_by_pair(self, tokens: Tensor) -> Tensor:
        """|A T|^2 = w' (T T') w with the Gram matrix of all tokens: (B, G, M)."""
        hw = tokens.shape[1]
        whole = (tokens @ tokens.transpose(1, 2)).flatten(1)  # (B, h w h w)
        squares = tokens.new_empty(self.weights.shape[:3])
        for part in self._chunks(self.cells.shape[2]):
            token = self.cells.tokens[part]
            pairs = token[:, :, None] * hw + token[:, None]  # (g, K, K)
            gram = whole.index_select(1, pairs.flatten()).unflatten(1, pairs.shape)
            squares[:, part] = self._quadratic(part, gram)
        return squares

    def _quadratic(self, part: slice, gram: Tensor) -> Tensor:
        weights = self.weights[:, part]
        squares: Tensor = (weights @ gram).mul_(weights).sum(3)  # (B, g, M)
        return squares

    def _window(self, values: Tensor, part: slice) -> Tensor:
        token = self.cells.tokens[part]
        return values.index_select(1, token.flatten()).view(len(values), *token.shape, -1)

    def _chunks(self, channels: int, cells: int | None = None) -> list[slice]:
        _, m, k = self.cells.shape
        # a cell's gathered tokens or products may outweigh its weights
        most = max(1.0, channels / m, channels / k)
        elements = int(budgets.CELLS.on(self.weights) / (len(self.weights) * most))
        return self.cells.chunks(elements if cells is None else min(elements, cells * m * k))


def _local_sets(labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Number the few sets of each cell from zero, so that summing them is a matrix product.

    Args:
        labels: (B, g, M) int64, negative for pixels of no set.
        dtype: of the indicator.

    Returns:
        names (B, g, L): the set behind each local number, -1 where there is none; indicator
        (B, g, M, L).
    """
    ordered, order = labels.sort(dim=2)
    new = torch.zeros_like(ordered)
    new[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    rank = new.cumsum(2)
    local = torch.empty_like(rank).scatter_(2, order, rank)  # (B, g, M)
    most = int(rank[..., -1].max()) + 1
    names = torch.full((*labels.shape[:2], most), -1, device=labels.device)
    names.scatter_(2, rank, ordered.clamp_min(-1))
    indicator = local[..., None] == torch.arange(most, device=labels.device)
    return names, indicator.logical_and_((labels >= 0)[..., None]).to(dtype)
