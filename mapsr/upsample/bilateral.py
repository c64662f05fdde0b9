"""Joint bilateral upsampling: attention without weights, by colour and distance."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mapsr import budgets
from mapsr.errors import require_range
from mapsr.settings import choice
from mapsr.upsample.cells import Axis, Cells
from mapsr.upsample.local import LocalOperator
from mapsr.upsample.operator import PixelOperator
from mapsr.upsample.upsampler import Upsampler


@choice("upsampler", "bilateral")
@dataclass(frozen=True)
class BilateralSettings:
    """Softmax of colour and distance over a window of tokens; needs no weights."""

    radius: float = 2.0
    """Half-width of the window, in tokens, at least 0.5. Three times ``distance`` is enough, since
    tokens further away weigh next to nothing; the cost grows with the square."""
    distance: float = 0.7
    """Standard deviation of the spatial weight, in tokens. Smaller keeps small objects, larger
    suppresses noise of single tokens; below 0.5 the grid of tokens shows."""
    colour: float = 0.07
    """Standard deviation of the colour weight, as a part of the image's range. Smaller makes edges
    sharper where colours differ, larger tolerates texture and shadow; at 1, colour hardly
    counts."""

    def __post_init__(self) -> None:
        require_range(self.radius, "upsampler.radius", low=0.5)
        require_range(self.distance, "upsampler.distance", open_low=True)
        require_range(self.colour, "upsampler.colour", open_low=True)

    def build(self, weights_folder: str | None = None) -> "Bilateral":
        """Build the upsampler."""
        return Bilateral(self)


class Bilateral(Upsampler):
    """Each pixel takes the tokens near it whose mean colour is like its own.

    The range weight compares a pixel with the mean colour under a token, not with one pixel.

    Source: Kopf et al., Joint bilateral upsampling, ACM TOG 2007, doi:10.1145/1276377.1276497,
    equation (3).
    """

    def __init__(self, settings: BilateralSettings) -> None:
        super().__init__()
        self.settings = settings

    def operator(self, image: Tensor, tokens: Tensor, size: tuple[int, int]) -> PixelOperator:
        """Make the operator; all bands of the image count as colour."""
        grid = (tokens.shape[2], tokens.shape[3])
        axes = [self._axis(n, count) for n, count in zip(size, grid, strict=True)]
        cells = Cells(axes[0], axes[1], size, grid).to(image.device)
        closeness = [self._closeness(*one) for one in zip(axes, size, grid, strict=True)]
        near = cells.combine(torch.add, *[c.to(image.device) for c in closeness])  # (G, M, K)
        guide = F.adaptive_avg_pool2d(image, size).flatten(2).transpose(1, 2)  # (B, H W, bands)
        means = F.adaptive_avg_pool2d(image, grid).flatten(2).transpose(1, 2)  # (B, h w, bands)
        weights = near.new_empty(len(image), *cells.shape)
        for part in cells.chunks(budgets.BILATERAL.on(image) // len(image)):
            colour = guide[:, cells.pixels[part].clamp_min(0)]  # (B, g, M, bands)
            unlike = torch.cdist(colour, means[:, cells.tokens[part]])  # (B, g, M, K)
            unlike.div_(self.settings.colour).square_()
            weights[:, part] = torch.sub(near[part], unlike, alpha=0.5).softmax(3)
        return LocalOperator(cells, weights)

    def _axis(self, n: int, count: int) -> Axis:
        centre = (torch.arange(n) + 0.5) * count / n - 0.5
        low = (centre - self.settings.radius).ceil().long().clamp(0, count - 1)
        high = (centre + self.settings.radius).floor().long().clamp(0, count - 1) + 1
        return Axis.of(low, high, count)

    def _closeness(self, axis: Axis, n: int, count: int) -> Tensor:
        centre = (axis.pixels + 0.5) * count / n - 0.5  # (G, M)
        away = (centre[..., None] - axis.tokens[:, None]) / self.settings.distance
        return (-away.square() / 2).masked_fill(~axis.allowed, float("-inf"))
