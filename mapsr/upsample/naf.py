"""NAF: neighbourhood attention that looks at the image alone, head by head.

The modules carry the names of the public checkpoint. Queries and keys come from the image, so one
checkpoint serves tokens of any encoder; each of four heads carries a quarter of their channels.

Source: Chambon et al., NAF: Zero-Shot Feature Upsampling via Neighborhood Attention Filtering,
2025, doi:10.48550/arXiv.2511.18452 (valeoai/NAF, Apache-2.0).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapsr import budgets
from mapsr.errors import ConfigError
from mapsr.settings import choice
from mapsr.upsample.anyup import MEAN, STD
from mapsr.upsample.cells import Axis, Cells
from mapsr.upsample.checkpoints import load_published, required_file
from mapsr.upsample.grouped import GroupedOperator
from mapsr.upsample.local import LocalOperator
from mapsr.upsample.operator import PixelOperator
from mapsr.upsample.strips import Rows
from mapsr.upsample.upsampler import Upsampler
from mapsr.weights import load_state, sha256_of

RELEASE = "https://github.com/valeoai/NAF/releases/tag/model"
PUBLISHED = "naf_release.pth"
# Channels of each of the two image encoders, and of a head.
WIDTH = 128
HEAD = 64
HEADS = 4
GROUPS = 8
# Tokens of a pixel's neighbourhood along one axis.
KERNEL = 9
# Longest side of the image against the output's; a larger image is reduced first.
LARGEST = 4


@choice("upsampler", "naf")
@dataclass(frozen=True)
class NafSettings:
    """Neighbourhood attention with a checkpoint that serves every encoder."""

    checkpoint: str | None = None
    """Path of the weight file, always needed: naf_release.pth of the publisher's release, or
    weights of your own training in the same layout. The publisher gives no hash, so nothing is
    downloaded."""

    coarsens: ClassVar[bool] = True

    def build(self, weights_folder: str | None = None) -> "Naf":
        """Build the upsampler with its weights; the folder of weights is not looked into.

        Raises:
            WeightsError: ``checkpoint`` is unset or names no file.
            WeightsError: the file is damaged or of another architecture.
        """
        path = required_file(self.checkpoint, "NAF", PUBLISHED, RELEASE)
        upsampler = Naf()
        upsampler.load(load_state(path), str(path))
        upsampler.weights = {"name": "naf", "sha256": sha256_of(path)}
        return upsampler


class Block(nn.Module):
    """conv2(SiLU(norm2(conv1(SiLU(norm1(x)))))): no residual, edges reflected."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, WIDTH)
        self.conv1 = _convolution(WIDTH, side)
        self.norm2 = nn.GroupNorm(GROUPS, WIDTH)
        self.conv2 = _convolution(WIDTH, side)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 128, H, W) to (B, 128, H, W)."""
        inner = self.conv1(F.silu(self.norm1(x)))
        out: Tensor = self.conv2(F.silu(self.norm2(inner)))
        return out


class Rope(nn.Module):
    """Rotary position of each head by pixel centres in [-1, 1], axis by axis.

    Source: Su et al., RoFormer, 2024, doi:10.1016/j.neucom.2023.127063, equation (34).
    """

    periods: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("periods", 100.0 ** (torch.arange(HEAD // 4) / (HEAD // 4)))

    def tables(self, size: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
        """Cosine and sine per row, (H, 1, 64), and per column, (1, W, 64)."""
        tables = []
        for axis, n in enumerate(size):
            centre = (2 * torch.arange(n, device=self.periods.device) + 1) / n - 1
            angle = 2 * math.pi * centre[:, None] / self.periods  # (n, 16)
            still = torch.zeros_like(angle)
            angles = torch.cat([angle, still] if axis == 0 else [still, angle], dim=1)
            angles = torch.cat([angles, angles], dim=1).unsqueeze(1 - axis)
            tables.append((angles.cos(), angles.sin()))
        return tables


class ImageEncoder(nn.Module):
    """Two encoders of 128 channels, one of single pixels, one of 3 x 3, and the positions."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _encoder(1)
        self.sem_encoder = _encoder(3)
        self.rope = Rope()


class Naf(Upsampler):
    """The published network; loads its checkpoint unchanged.

    As with AnyUp, group norms see the whole chip: features depend a little on where it is cut.
    Where a chip has fewer than 9 tokens along an axis, pixels look at all of them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = ImageEncoder()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def load(self, state: dict[str, Tensor], source: str) -> None:
        """Load a published state dict.

        Raises:
            WeightsError: a key or a shape does not belong to NAF.
        """
        load_published(self, state, source, "a NAF")

    def operator(self, image: Tensor, tokens: Tensor, size: tuple[int, int]) -> PixelOperator:
        """Make the operator; its weights are 4 x 81 floats a pixel, its making 3 x 128 more.

        Raises:
            ConfigError: the length of the tokens is not a multiple of four.
            ConfigError: the image has a side of one pixel.
            ConfigError: there are more tokens than pixels wanted along an axis.
        """
        grid = (tokens.shape[2], tokens.shape[3])
        _check(image, tokens.shape[1], grid, size)
        image = _reduced((image[:, :3] - self.mean) / self.std, size)
        cells, counts = _cells(size, grid)
        cells = cells.to(image.device)
        near = [count.to(image.device).log() for count in counts]
        parts: list[PixelOperator] = []
        for encoder in (self.image_encoder.encoder, self.image_encoder.sem_encoder):
            queries = self._queries(image, encoder, size)
            keys = queries.pooled(grid).flatten(2).transpose(1, 2)  # (B, h w, 128)
            weights = _attend(queries.values.flatten(1, 2), keys, cells, near)
            parts += [LocalOperator(cells, some) for some in weights]
        return GroupedOperator(tuple(parts))

    def _queries(self, image: Tensor, encoder: nn.Sequential, size: tuple[int, int]) -> Rows:
        rows = Rows.of(image).convolved(cast(nn.Conv2d, encoder[0]))
        inner: Rows | None = None
        for block in encoder[1:]:
            block = cast(Block, block)
            inner = rows.convolved(block.conv1, block.norm1, into=inner)
            rows = inner.convolved(block.conv2, block.norm2, into=rows)
        if rows.size != size:
            rows = Rows.of(F.adaptive_avg_pool2d(rows.values.permute(0, 3, 1, 2), size))
        rows.rotate(*self.image_encoder.rope.tables(size), heads=WIDTH // HEAD)
        return rows


def neighbourhood(pixels: int, tokens: int) -> Tensor:
    """How often each pixel looks at each token along one axis, float32 (pixels, tokens).

    Pixels look at the 9 pixels around them a token's width apart, or at the outermost 9 near an
    edge, and at the tokens above those. Where a token is not a whole number of pixels wide, some
    tokens come twice; where it is, every pixel looks at the 9 tokens around its own.

    Source: Hassani and Shi, Dilated neighborhood attention transformer, 2022,
    doi:10.48550/arXiv.2209.15001.
    """
    step = pixels // tokens
    pixel = torch.arange(pixels)
    phase, place = pixel % step, pixel // step
    length = (pixels - 1 - phase) // step + 1  # pixels of this phase
    seen = length.clamp(max=KERNEL)
    first = torch.minimum((place - KERNEL // 2).clamp_min(0), length - seen)
    order = torch.arange(KERNEL)
    other = phase[:, None] + step * (first[:, None] + order)  # (pixels, 9)
    token = ((2 * other + 1) * tokens // (2 * pixels)).clamp(max=tokens - 1)
    counts = torch.zeros(pixels, tokens)
    return counts.scatter_add_(1, token, (order < seen[:, None]).float())


@lru_cache(maxsize=8)
def _cells(size: tuple[int, int], grid: tuple[int, int]) -> tuple[Cells, list[Tensor]]:
    axes, counts = [], []
    for pixels, tokens in zip(size, grid, strict=True):
        count = neighbourhood(pixels, tokens)
        seen = count > 0
        low = seen.int().argmax(1)
        high = tokens - seen.flip(1).int().argmax(1)
        axis = Axis.of(low, high, tokens)
        axes.append(axis)
        own = count[axis.pixels[:, :, None], axis.tokens[:, None]]  # (G, M, K)
        counts.append(torch.where(axis.pixels[..., None] < 0, 1, own))
    return Cells(axes[0], axes[1], size, grid), counts


def _attend(queries: Tensor, keys: Tensor, cells: Cells, near: list[Tensor]) -> Tensor:
    """Weights of two heads, (2, B, G, M, K), from queries (B, H W, 128) and keys (B, h w, 128)."""
    batch, heads = len(queries), WIDTH // HEAD
    weights = queries.new_empty(heads, batch, *cells.shape)
    for part in cells.chunks(budgets.NAF_LOGITS.on(queries) // (batch * heads)):
        query = queries[:, cells.pixels[part].clamp_min(0)] * HEAD**-0.5  # (B, g, M, 128)
        query = query.unflatten(3, (heads, HEAD)).permute(3, 0, 1, 2, 4)
        key = keys[:, cells.tokens[part]].unflatten(3, (heads, HEAD)).permute(3, 0, 1, 4, 2)
        logits = (query @ key).add_(cells.combine(torch.add, near[0], near[1], cells=part))
        torch.softmax(logits, 4, out=weights[:, :, part])
    return weights


def _check(image: Tensor, dim: int, grid: tuple[int, int], size: tuple[int, int]) -> None:
    if dim % HEADS:
        raise ConfigError(
            f"the encoder's tokens have length {dim}, but NAF needs a multiple of {HEADS}, an "
            "equal part for each head: take another encoder, or upsampler=anyup."
        )
    if min(image.shape[2:]) < 2:
        raise ConfigError(
            f"NAF needs an image of at least 2 x 2 px, got {image.shape[2]} x {image.shape[3]}: "
            "give it a larger chip."
        )
    if size[0] < grid[0] or size[1] < grid[1]:
        raise ConfigError(
            f"NAF needs at least one pixel per token, got {size[0]} x {size[1]} px for "
            f"{grid[0]} x {grid[1]} tokens: ask for more pixels."
        )


def _reduced(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Reduce an image that is more than four times as large as the output, as published."""
    height, width = image.shape[2:]
    if height <= LARGEST * size[0] and width <= LARGEST * size[1]:
        return image
    most = LARGEST * min(size)
    return F.interpolate(image, (min(height, most), min(width, most)), mode="bilinear")


def _convolution(channels: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(channels, WIDTH, side, padding=side // 2, padding_mode="reflect")


def _encoder(side: int) -> nn.Sequential:
    return nn.Sequential(_convolution(3, side), Block(side), Block(side))
