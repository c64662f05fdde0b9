"""JAFAR: attention upsampling of one encoder's tokens, guided by the image.

The modules carry the names of the public checkpoints. Unlike AnyUp, a checkpoint belongs to tokens
of one length, and every pixel looks at all tokens.

Source: Couairon et al., JAFAR: Jack up Any Feature at Any Resolution, 2025,
doi:10.48550/arXiv.2506.11136 (PaulCouairon/JAFAR, Apache-2.0).
"""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapsr.errors import ConfigError, WeightsError, require_choice, require_range
from mapsr.settings import choice
from mapsr.upsample.anyup import GROUPS, HEADS, MEAN, STD, WIDTH, Rope
from mapsr.upsample.checkpoints import load_published, required_file
from mapsr.upsample.global_attention import GlobalOperator
from mapsr.upsample.operator import PixelOperator
from mapsr.upsample.strips import Rows
from mapsr.upsample.upsampler import Upsampler
from mapsr.weights import sha256_of

RELEASE = "https://github.com/PaulCouairon/JAFAR/releases/tag/Weights"
PUBLISHED = {
    "jafar_dinov2_vits14": "vit_small_patch14_dinov2.lvd142m.pth",
    "jafar_dinov2_vits14_reg": "vit_small_patch14_reg4_dinov2.pth",
    "jafar_dinov2_vitb14": "vit_base_patch14_dinov2.lvd142m.pth",
}
"""Name -> file of the publisher's release."""
# Pixels whose queries are projected at once.
_PIXELS = 4096


@choice("upsampler", "jafar")
@dataclass(frozen=True)
class JafarSettings:
    """Attention upsampling with a checkpoint that was trained for the encoder."""

    weights: str = "jafar_dinov2_vitb14"
    """Which published weights these are: "jafar_dinov2_vits14", "jafar_dinov2_vits14_reg" or
    "jafar_dinov2_vitb14". Take the one that is called like the encoder: a checkpoint works only
    with the encoder that it was trained for."""
    checkpoint: str | None = None
    """Path of the weight file, always needed: the publisher gives no hash, so nothing is
    downloaded."""
    dim: int = 768
    """Length of the encoder's tokens: 384 for ViT-S, 768 for ViT-B, 1024 for ViT-L."""

    coarsens: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_choice(self.weights, PUBLISHED, "upsampler.weights")
        require_range(self.dim, "upsampler.dim", low=1)

    def build(self, weights_folder: str | None = None) -> "Jafar":
        """Build the upsampler with its weights; the folder of weights is not looked into.

        Raises:
            WeightsError: ``checkpoint`` is unset or names no file.
            WeightsError: the file is damaged, of another architecture or for another ``dim``.
        """
        path = required_file(self.checkpoint, self.weights, PUBLISHED[self.weights], RELEASE)
        upsampler = Jafar(self.dim)
        upsampler.load(load_jafar(path), str(path))
        upsampler.weights = {"name": self.weights, "sha256": sha256_of(path)}
        return upsampler


def load_jafar(path: Path) -> dict[str, Tensor]:
    """Load the state dict below the entry "jafar", without running any code from the file.

    Raises:
        WeightsError: the file can't be read.
        WeightsError: it has no entry "jafar", or that holds more than tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
        why = str(error).partition("\n")[0]
        raise WeightsError(
            f"can't read the weights in {path}: {why}; expected a checkpoint of JAFAR saved with "
            "torch.save; fetch the file again or name another checkpoint."
        ) from error
    state = content.get("jafar") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise WeightsError(
            f"{path} is not a JAFAR checkpoint: it has no state dict below the entry 'jafar'; "
            f"name a file of {RELEASE}."
        )
    return state


class ResBlock(nn.Module):
    """x + conv2(SiLU(norm2(conv1(SiLU(norm1(x)))))), all convolutions 1 x 1 without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, WIDTH)
        self.conv1 = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, WIDTH)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)

    @property
    def block(self) -> tuple[nn.Module, ...]:
        """The layers in their order, as `Rows` takes them."""
        return self.norm1, nn.SiLU(), self.conv1, self.norm2, nn.SiLU(), self.conv2

    def forward(self, x: Tensor) -> Tensor:
        """(B, 128, h, w) to (B, 128, h, w)."""
        inner = self.conv1(F.silu(self.norm1(x)))
        out: Tensor = x + self.conv2(F.silu(self.norm2(inner)))
        return out


class Modulation(nn.Module):
    """Scale and shift the image's keys by maps that come from the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)
        self.beta = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)

    def forward(self, image: Tensor, tokens: Tensor) -> Tensor:
        """Two maps (B, 128, h, w) to one."""
        out: Tensor = self.gamma(tokens) * F.group_norm(image, GROUPS) + self.beta(tokens)
        return out


class Attention(nn.Module):
    """Holds projections in torch's layout for values of another length than the queries.

    Values and output are not projected; their parameters are only part of the checkpoints.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.q_proj_weight = nn.Parameter(torch.empty(WIDTH, WIDTH))
        self.k_proj_weight = nn.Parameter(torch.empty(WIDTH, WIDTH))
        self.v_proj_weight = nn.Parameter(torch.empty(WIDTH, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * WIDTH))
        self.out_proj = nn.Linear(WIDTH, WIDTH)
        for weight in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            nn.init.xavier_uniform_(weight)


class CrossAttention(nn.Module):
    """The norms and projections of queries and keys."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm_q = nn.RMSNorm(WIDTH)
        self.norm_k = nn.RMSNorm(WIDTH)
        self.norm_v = nn.RMSNorm(dim)
        self.attention = Attention(dim)

    def query(self, x: Tensor) -> Tensor:
        """Normalise and project queries (..., 128), scaled for the dot product."""
        scale = (WIDTH // HEADS) ** -0.5
        weight, bias = self.attention.q_proj_weight, self.attention.in_proj_bias[:WIDTH]
        projected: Tensor = F.linear(self.norm_q(x), weight * scale, bias * scale)
        return projected

    def key(self, x: Tensor) -> Tensor:
        """Normalise and project keys (..., 128)."""
        weight, bias = self.attention.k_proj_weight, self.attention.in_proj_bias[WIDTH : 2 * WIDTH]
        projected: Tensor = F.linear(self.norm_k(x), weight, bias)
        return projected


class CrossDecode(nn.Module):
    """The 3 x 3 convolution of the queries and the attention."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.cross_attn = CrossAttention(dim)


def _encoder(bands: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(bands, WIDTH, 1, bias=False), ResBlock(), ResBlock())


class Jafar(Upsampler):
    """The published network for tokens of one length; loads its checkpoints unchanged.

    As with AnyUp, group norms see the whole image: the operator depends on where a chip is cut.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.image_encoder = _encoder(3)
        self.key_encoder = _encoder(WIDTH)
        self.query_encoder = _encoder(WIDTH)
        self.key_features_encoder = _encoder(dim)
        self.cross_decode = CrossDecode(dim)
        self.sft_key = Modulation()
        self.rope = Rope()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def load(self, state: dict[str, Tensor], source: str) -> None:
        """Load a published state dict.

        Raises:
            WeightsError: the state is for tokens of another length.
            WeightsError: a key or a shape does not belong to JAFAR.
        """
        stem = state.get("key_features_encoder.0.weight")
        if stem is not None and stem.dim() == 4 and stem.shape[1] != self.dim:
            raise WeightsError(
                f"{source} is for tokens of length {stem.shape[1]}, but upsampler.dim is "
                f"{self.dim}: set upsampler.dim={stem.shape[1]}, with an encoder of that length, "
                "or name another checkpoint."
            )
        load_published(self, state, source, "a JAFAR")

    def operator(self, image: Tensor, tokens: Tensor, size: tuple[int, int]) -> PixelOperator:
        """Make the operator; peak memory about 3 x 128 floats a pixel.

        Raises:
            ConfigError: the tokens are of another length than the weights are for.
        """
        if tokens.shape[1] != self.dim:
            raise ConfigError(
                f"the encoder's tokens have length {tokens.shape[1]}, but upsampler.dim is "
                f"{self.dim}: JAFAR needs weights that were trained for the encoder; set "
                "upsampler.checkpoint and upsampler.dim to fit it, or take upsampler=anyup."
            )
        grid = (tokens.shape[2], tokens.shape[3])
        pixels = self._encode_image((image[:, :3] - self.mean) / self.std)
        keys = self._keys(self._encode_keys(pixels, grid), tokens)
        queries = self._queries(pixels, size)  # takes over the memory of ``pixels``
        return GlobalOperator(queries, keys, HEADS, size, grid)

    def _encode_image(self, image: Tensor) -> Rows:
        rows = Rows.of(image).encode(self.image_encoder)
        rows.rotate(*self.rope.tables(rows.size))
        return rows

    def _encode_keys(self, pixels: Rows, grid: tuple[int, int]) -> Tensor:
        rows = pixels.linear(self.key_encoder[0].get_parameter("weight"))
        rows.residual(self.key_encoder[1])
        return rows.residual_pooled(self.key_encoder[2], grid)

    def _keys(self, pooled: Tensor, tokens: Tensor) -> Tensor:
        own = self.key_features_encoder(F.normalize(tokens, dim=1))
        keys = self.sft_key(pooled, own)
        return self.cross_decode.cross_attn.key(keys.flatten(2).transpose(1, 2))  # (B, h w, 128)

    def _queries(self, pixels: Rows, size: tuple[int, int]) -> Tensor:
        rows = pixels.encode(self.query_encoder, into=pixels)
        pooled = rows.values.permute(0, 3, 1, 2)  # (B, 128, H, W)
        if size != rows.size:
            pooled = F.adaptive_avg_pool2d(pooled, size)
        rows = Rows.of(F.group_norm(pooled, GROUPS))
        rows.convolve(self.cross_decode.conv2d.weight)
        queries = rows.values.flatten(1, 2)  # (B, H' W', 128)
        for some in queries.split(_PIXELS, dim=1):
            some.copy_(self.cross_decode.cross_attn.query(some))
        return queries
