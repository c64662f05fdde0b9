"""AnyUp as published, with every array whole: the reference that the operator is held against.

This is the one place that builds D x H x W features. Tests and `mapsr bench upsample` use it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mapsr.upsample.anyup import HEADS, AnyUp, window

# Queries whose attention to all tokens is held at once, as published.
_QUERIES = 256


@torch.no_grad()
def dense_anyup(
    network: AnyUp, image: Tensor, tokens: Tensor, size: tuple[int, int] | None = None
) -> Tensor:
    """Upsample tokens to features of every pixel.

    Args:
        network: the network with its weights.
        image: (1, 3 or more, H, W) in [0, 1].
        tokens: (1, D, h, w).
        size: (H', W') wanted; None: the image's.

    Returns:
        Features, (H' W', D): 616 MB for a chip of 448 px with D = 768.
    """
    size = size or (image.shape[2], image.shape[3])
    grid = (tokens.shape[2], tokens.shape[3])
    encoded = _rotated(network, network.image_encoder(network.normalise(image)))
    query = F.adaptive_avg_pool2d(network.query_encoder(encoded), size)
    pooled = F.adaptive_avg_pool2d(network.key_encoder(encoded), grid)
    own = network.key_features_encoder(F.normalize(tokens, dim=1))
    key = network.aggregation(torch.cat([pooled, own], dim=1))
    attention = network.cross_decode.cross_attn
    query = network.cross_decode.conv2d(query).flatten(2)[0].T  # (H' W', 128)
    query = attention.query(query).unflatten(1, (HEADS, -1)).transpose(0, 1)
    key = attention.key(key.flatten(2)[0].T).unflatten(1, (HEADS, -1)).permute(1, 2, 0)
    blocked = ~_windows(size, grid).to(image.device)
    values = tokens.flatten(2)[0].T  # (h w, D)
    features = values.new_empty(size[0] * size[1], values.shape[1])
    for start in range(0, len(features), _QUERIES):
        part = slice(start, start + _QUERIES)
        logits = (query[:, part] @ key).masked_fill(blocked[part], float("-inf"))
        features[part] = logits.softmax(2).mean(0) @ values
    return features


def _rotated(network: AnyUp, x: Tensor) -> Tensor:
    height, width = x.shape[2:]
    rows, columns = (torch.linspace(0, 1, n, device=x.device) for n in (height, width))
    rows = rows[:, None, None] * network.rope.freqs[0]
    columns = columns[None, :, None] * network.rope.freqs[1]
    angle = (rows + columns).permute(2, 0, 1)  # (128, H, W)
    turned = torch.cat([-x[:, 64:], x[:, :64]], dim=1)
    return x * angle.cos() + turned * angle.sin()


def _windows(size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """(H' W', h w) bool: which tokens each pixel looks at."""
    axes = []
    for pixels, tokens in zip(size, grid, strict=True):
        low, high = window(pixels, tokens)
        token = torch.arange(tokens)
        axes.append((token >= low[:, None]) & (token < high[:, None]))
    rows, columns = axes
    return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(2).flatten(0, 1)
