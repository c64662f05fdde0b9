"""Small stand-ins that the tests of the tensor rooms share."""

import torch
from torch import Tensor

from mapsr.features import Encoder
from mapsr.upsample import AnyUp, LocalOperator, Nearest, PixelFeatures, PixelOperator
from mapsr.upsample.cells import Axis, Cells

# tensors here are tiny: on a busy machine, threads that wait for each other take ten times as long
torch.set_num_threads(1)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(seed: int, *shape: int) -> Tensor:
    """Values in [0, 1), as an image has them."""
    return torch.rand(*shape, generator=generator(seed))


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(seed))


def dense(operator: PixelOperator, batch: int = 1) -> Tensor:
    """A itself, (B, H W, h w): what the operator makes of each token alone."""
    count = operator.grid[0] * operator.grid[1]
    identity = torch.eye(count).expand(batch, -1, -1)
    return operator.apply(identity).flatten(2).transpose(1, 2)


def random_operator(
    seed: int, size: tuple[int, int], grid: tuple[int, int], batch: int = 1
) -> LocalOperator:
    """An operator with windows of up to three tokens and random weights that sum to one."""
    axes = []
    for n, count in zip(size, grid, strict=True):
        above = (2 * torch.arange(n) + 1) * count // (2 * n)
        axes.append(Axis.of((above - 1).clamp_min(0), (above + 2).clamp(max=count), count))
    cells = Cells(*axes, size=size, grid=grid)
    logits = normal(seed, batch, *cells.shape)
    logits = logits.masked_fill(~cells.allowed(slice(None)), float("-inf"))
    return LocalOperator(cells, logits.softmax(3))


def random_features(
    seed: int, size: tuple[int, int], grid: tuple[int, int], dim: int, batch: int = 1
) -> PixelFeatures:
    tokens = normal(seed, batch, grid[0] * grid[1], dim)
    return PixelFeatures(tokens, random_operator(seed + 1, size, grid, batch))


def random_anyup(seed: int) -> AnyUp:
    """AnyUp with weights that no checkpoint has."""
    return with_random_weights(AnyUp(), seed)


def with_random_weights(network, seed: int):
    """A network of which norms and biases are not left at one and zero."""
    numbers = generator(seed)
    for name, parameter in network.named_parameters():
        if name == "rope.freqs":
            continue
        fan = max(1, parameter[0].numel()) if parameter.dim() > 1 else 25
        parameter.copy_(torch.randn(parameter.shape, generator=numbers) / fan**0.5)
        if parameter.dim() == 1 and not name.endswith("bias"):
            parameter.add_(1)
    return network


class MeanColour(Encoder):
    """Mean of red, green and blue of each cell, less one half, and a constant: D = 4."""

    bands = 3
    dim = 4

    def __init__(self, stride: int = 4) -> None:
        super().__init__()
        self.stride = stride
        self.calls = 0

    def encode(self, image: Tensor) -> Tensor:
        self.calls += 1
        mean = torch.nn.functional.avg_pool2d(image[:, :3], self.stride) - 0.5
        return torch.cat([mean, torch.full_like(mean[:, :1], 0.1)], dim=1)


def pixel_features(values: Tensor) -> PixelFeatures:
    """Features that are given for each pixel, (B, D, H, W): one token a pixel."""
    return PixelFeatures.of(values, Nearest()(values[:, :1], values))
