"""AnyUp: attention upsampling of any encoder's tokens, guided by the image.

The modules carry the names of the public checkpoints. How they are run is ours: pixels as rows of
a matrix, channels last, in strips that stay in the cache; attention per cell of pixels under one
token.

Source: Wimmer et al., AnyUp: Universal Feature Upsampling, 2025, doi:10.48550/arXiv.2510.12764
(wimmerth/anyup, CC-BY-4.0).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapsr import budgets
from mapsr.errors import ConfigError
from mapsr.settings import choice
from mapsr.upsample.cells import Axis, Cells
from mapsr.upsample.checkpoints import load_published
from mapsr.upsample.local import LocalOperator
from mapsr.upsample.operator import PixelOperator
from mapsr.upsample.strips import Rows
from mapsr.upsample.unification import FeatureUnification
from mapsr.upsample.upsampler import Upsampler
from mapsr.weights import load_state, resolve

WIDTH = 128
HEADS = 4
GROUPS = 8
# Half-width of a pixel's window as a part of the image's side.
REACH = 0.1
# What the public checkpoints were trained on: ImageNet statistics of RGB in [0, 1].
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@choice("upsampler", "anyup")
@dataclass(frozen=True)
class AnyUpSettings:
    """Attention upsampling with a public checkpoint."""

    weights: str = "anyup_multi_backbone"
    """Name in mapsr's weight registry. "anyup_multi_backbone" was trained on several encoders:
    take it for any of them; "anyup_paper", trained on DINOv2-S alone, repeats the paper."""
    checkpoint: str | None = None
    """Path of a weight file to use instead of the registry's: set it for weights of your own
    training, or on a machine without network."""

    coarsens: ClassVar[bool] = True
    halves: ClassVar[bool] = True

    def build(self, weights_folder: str | None = None) -> "AnyUp":
        """Build the upsampler with its weights.

        Raises:
            WeightsError: the weights are absent, damaged or of another architecture.
        """
        found = resolve(self.weights, self.checkpoint, weights_folder)
        upsampler = AnyUp()
        upsampler.load(load_state(found.path), str(found.path))
        upsampler.weights = {"name": found.name, "sha256": found.sha256}
        return upsampler


class ResBlock(nn.Module):
    """x + conv(SiLU(norm(conv(SiLU(norm(x)))))), all convolutions 1 x 1 without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.GroupNorm(GROUPS, WIDTH),
            nn.SiLU(),
            nn.Conv2d(WIDTH, WIDTH, 1, bias=False),
            nn.GroupNorm(GROUPS, WIDTH),
            nn.SiLU(),
            nn.Conv2d(WIDTH, WIDTH, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 128, h, w) to (B, 128, h, w)."""
        out: Tensor = x + self.block(x)
        return out


class Rope(nn.Module):
    """Rotary position with learned frequencies for rows and columns.

    Source: Su et al., RoFormer, 2024, doi:10.1016/j.neucom.2023.127063, equation (34); here the
    frequencies are parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        step = 2 * math.pi * 100 ** -(torch.arange(WIDTH // 4) / (WIDTH // 4 - 1))
        zero = torch.zeros_like(step)
        rows, columns = torch.cat([step, step, zero, zero]), torch.cat([zero, zero, step, step])
        self.freqs = nn.Parameter(torch.stack([rows, columns]))

    def tables(self, size: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
        """Cosine and sine per row, (H, 1, 128), and per column, (1, W, 128)."""
        places = [torch.linspace(0, 1, n, device=self.freqs.device) for n in size]
        angles = [places[0][:, None] * self.freqs[0], places[1][:, None] * self.freqs[1]]
        return [(a.cos(), a.sin()) for a in (angles[0][:, None], angles[1][None])]


class CrossAttention(nn.Module):
    """Holds the attention's parameters; values and output are not projected."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_q = nn.RMSNorm(WIDTH)
        self.norm_k = nn.RMSNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def query(self, x: Tensor) -> Tensor:
        """Normalise and project queries (..., 128), scaled for the dot product."""
        weight, bias = self.attention.in_proj_weight[:WIDTH], self.attention.in_proj_bias[:WIDTH]
        scale = (WIDTH // HEADS) ** -0.5
        projected: Tensor = F.linear(self.norm_q(x), weight * scale, bias * scale)
        return projected

    def key(self, x: Tensor) -> Tensor:
        """Normalise and project keys (..., 128)."""
        part = slice(WIDTH, 2 * WIDTH)
        weight, bias = self.attention.in_proj_weight[part], self.attention.in_proj_bias[part]
        projected: Tensor = F.linear(self.norm_k(x), weight, bias)
        return projected


class CrossDecode(nn.Module):
    """The 3 x 3 convolution of the queries and the attention."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.cross_attn = CrossAttention()


def _encoder(stem: nn.Module) -> nn.Sequential:
    return nn.Sequential(stem, ResBlock(), ResBlock())


class AnyUp(Upsampler):
    """The published network; loads its checkpoints unchanged.

    Group norms see the whole chip, so a pixel's features depend on where its chip is cut, and a
    little on the chip's size: the last chips of a raster are smaller than the others. Mapping lets
    chips overlap and blends their scores, which hides the seams but does not remove the dependence.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = _encoder(nn.Conv2d(3, WIDTH, 1, bias=False))
        self.key_encoder = _encoder(nn.Conv2d(WIDTH, WIDTH, 1, bias=False))
        self.query_encoder = _encoder(nn.Conv2d(WIDTH, WIDTH, 1, bias=False))
        self.key_features_encoder = _encoder(FeatureUnification(WIDTH))
        self.aggregation = _encoder(
            nn.Conv2d(2 * WIDTH, WIDTH, 3, padding=1, padding_mode="reflect", bias=False)
        )
        self.cross_decode = CrossDecode()
        self.rope = Rope()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def load(self, state: dict[str, Tensor], source: str) -> None:
        """Load a published checkpoint.

        Raises:
            WeightsError: a key or a shape does not belong to AnyUp.
        """
        load_published(self, state, source, "an AnyUp")

    def normalise(self, image: Tensor) -> Tensor:
        """RGB in [0, 1], further bands ignored, to the statistics the checkpoints expect."""
        return (image[:, :3] - self.mean) / self.std

    def operator(self, image: Tensor, tokens: Tensor, size: tuple[int, int]) -> PixelOperator:
        """Make the operator; peak memory about 3 x 128 floats a pixel.

        Raises:
            ConfigError: there are fewer than 2 x 2 tokens.
        """
        if min(tokens.shape[2:]) < 2:
            raise ConfigError(
                f"AnyUp needs at least 2 x 2 tokens, got {tokens.shape[2]} x {tokens.shape[3]}: "
                "give it a larger chip."
            )
        queries, keys = self.networks(image, tokens, size)
        return self._attend(queries, keys, size, (tokens.shape[2], tokens.shape[3]))

    def networks(
        self, image: Tensor, tokens: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """All but the attention: pixels' queries (B, H' W', 128), tokens' keys (B, h w, 128)."""
        pixels = self._encode_image(self.normalise(image))
        pooled = self._encode_keys(pixels, (tokens.shape[2], tokens.shape[3]))
        keys = self._keys(pooled, tokens)
        return self._encode_queries(pixels, size), keys  # takes over the memory of ``pixels``

    def _encode_image(self, image: Tensor) -> Rows:
        rows = Rows.of(image.to(self.precision)).encode(self.image_encoder)
        rows.rotate(*self.rope.tables(rows.size))
        return rows

    def _encode_keys(self, pixels: Rows, grid: tuple[int, int]) -> Tensor:
        rows = pixels.linear(self.key_encoder[0].get_parameter("weight"))
        rows.residual(self.key_encoder[1])
        return rows.residual_pooled(self.key_encoder[2], grid)

    def _keys(self, pooled: Tensor, tokens: Tensor) -> Tensor:
        own = self.key_features_encoder(F.normalize(tokens, dim=1))
        keys = self.aggregation(torch.cat([pooled, own], dim=1))
        return self.cross_decode.cross_attn.key(keys.flatten(2).transpose(1, 2))  # (B, hw, 128)

    def _encode_queries(self, pixels: Rows, size: tuple[int, int]) -> Tensor:
        rows = pixels.encode(self.query_encoder, into=pixels)
        if size != rows.size:
            pooled = F.adaptive_avg_pool2d(rows.values.permute(0, 3, 1, 2), size)
            rows = Rows.of(pooled)
        rows.convolve(self.cross_decode.conv2d.weight)
        return rows.values.flatten(1, 2)  # (B, H' W', 128)

    def _attend(
        self, queries: Tensor, keys: Tensor, size: tuple[int, int], grid: tuple[int, int]
    ) -> LocalOperator:
        cells = _cells(size, grid).to(queries.device)
        weights = keys.new_empty(len(queries), *cells.shape)
        shut = [
            torch.zeros_like(axis.allowed, dtype=keys.dtype).masked_fill_(~axis.allowed, -math.inf)
            for axis in (cells.rows, cells.columns)
        ]
        elements = budgets.ANYUP_LOGITS.on(queries)
        for part in cells.chunks(elements // (len(queries) * HEADS)):
            query = queries[:, cells.pixels[part].clamp_min(0)].float()
            query = self.cross_decode.cross_attn.query(query)
            query = query.unflatten(3, (HEADS, -1)).transpose(2, 3)  # (B, g, heads, M, 32)
            key = keys[:, cells.tokens[part]].unflatten(3, (HEADS, -1)).permute(0, 1, 3, 4, 2)
            blocked = cells.combine(torch.add, shut[0], shut[1], cells=part)[:, None]
            logits = (query @ key).add_(blocked)  # (B, g, heads, M, K)
            torch.mean(logits.softmax(4), dim=2, out=weights[:, part])
        return LocalOperator(cells, weights)


@lru_cache(maxsize=8)
def _cells(size: tuple[int, int], grid: tuple[int, int]) -> Cells:
    rows, columns = (Axis.of(*window(n, count), count) for n, count in zip(size, grid, strict=True))
    return Cells(rows, columns, size, grid)


def window(pixels: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Bounds low <= token < high of each pixel's window along one axis, (pixels,) each."""
    centre = (torch.arange(pixels) + 0.5) / pixels
    low = (tokens * (centre - REACH).clamp(0, 1)).floor().long()
    high = (tokens * (centre + REACH).clamp(0, 1)).ceil().long()
    return low, high
