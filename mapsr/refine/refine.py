"""Graph-based refinement of a chip's scores."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

from mapsr.errors import require_choice, require_range
from mapsr.refine.graph import Kernel, neighbour_graph, normalised, symmetric
from mapsr.refine.propagation import SOLVERS
from mapsr.refine.superpixels import superpixels
from mapsr.settings import choice


class PixelVectors(Protocol):
    """What refinement asks of features, whether factored or not."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) pixels."""
        ...

    def select(self, part: int) -> "PixelVectors":
        """The features of one image of the batch, as a batch of one."""
        ...

    def unit_sums(self, labels: Tensor, count: int) -> Tensor:
        """Sum of unit-length features over pixel sets, (1, count, D)."""
        ...


@choice("refine", "graph")
@dataclass(frozen=True)
class RefineSettings:
    """How scores are refined; the defaults are the paper's."""

    nodes: str = "superpixels"
    """What the graph is made of: "superpixels", "pixels" (in windows), or "none"."""
    segments: int = 5000
    """Superpixels of a chip of 448 x 448 px; other sizes in proportion."""
    compactness: float = 10.0
    """SLIC's weight of distance against colour."""
    window: int = 112
    """Side of the windows of a pixel graph, in pixels."""
    neighbours: int = 100
    """k, the node itself included."""
    joint: bool = True
    """Nearest by feature and place together; false: by feature alone."""
    gamma: float = 1.0
    """Sharpens feature similarities."""
    sigma: float = 1.0
    """Decay with distance, in units of the chip's side; 0 leaves distance out."""
    power: float = 2.0
    """Exponent p of the distance."""
    mutual_twice: bool = False
    """Count an edge twice that both ends chose, as W + W^T does."""
    alpha: float = 0.5
    """Weight of the neighbours against the node's own score, in [0, 1)."""
    heat: str = "cosine"
    """What is propagated: "cosine", or "minmax" (stretched over the classes of each pixel)."""
    solver: str = "fixed_point"
    """"fixed_point" or "conjugate_gradients"."""
    tolerance: float = 1e-6
    """Relative error at which the solver stops."""
    most_steps: int | None = None
    """Stop the solver after so many steps in any case."""
    exact_up_to: int = 20000
    """Above so many nodes, neighbours are found by an approximate index."""

    def __post_init__(self) -> None:
        require_choice(self.nodes, ("superpixels", "pixels", "none"), "refine.nodes")
        require_choice(self.heat, ("cosine", "minmax"), "refine.heat")
        require_choice(self.solver, SOLVERS, "refine.solver")
        require_range(self.alpha, "refine.alpha", high=1 - 1e-6)
        require_range(self.tolerance, "refine.tolerance", open_low=True, high=0.1)
        for name in ("segments", "window", "neighbours"):
            require_range(getattr(self, name), f"refine.{name}", low=1)
        for name in ("gamma", "sigma", "power"):
            require_range(getattr(self, name), f"refine.{name}")
        require_range(self.compactness, "refine.compactness", open_low=True)


def refine(
    features: PixelVectors,
    scores: Tensor,
    image: Tensor,
    valid: Tensor,
    settings: RefineSettings,
) -> Tensor:
    """Refine the scores of a batch of chips.

    Args:
        features: of (B, H', W') pixels; H' >= H, W' >= W (padded at the far edges).
        scores: (B, C, H, W) cosine to each class.
        image: (B, 3 or more, H, W) in [0, 1].
        valid: (B, H, W) bool.
        settings: see there.

    Returns:
        (B, C, H, W); pixels outside the valid area keep their scores, stretched if the others are.
    """
    if settings.nodes == "none":
        return scores
    heat = stretch(scores) if settings.heat == "minmax" else scores
    refined = heat.clone()
    for part in range(len(scores)):
        one = features.select(part)
        for labels, count in _nodes(image[part], valid[part], settings):
            if count:
                refined[part] = _propagated(one, refined[part], heat[part], labels, count, settings)
    return refined


def stretch(scores: Tensor) -> Tensor:
    """Stretch the scores of each pixel to [0, 1] over its classes (B, C, H, W) and a zero.

    The zero stands for the background, whose prompt is empty: where all scores are positive, the
    map is score / largest score.
    """
    low = scores.amin(1, keepdim=True).clamp(max=0)
    high = scores.amax(1, keepdim=True).clamp(min=0)
    return (scores - low) / (high - low + 1e-8)


def _nodes(image: Tensor, valid: Tensor, settings: RefineSettings) -> Iterator[tuple[Tensor, int]]:
    """Yield labels (H, W) int64, negative outside, and their count, graph by graph."""
    if settings.nodes == "superpixels":
        yield superpixels(image, valid, settings.segments, settings.compactness)
        return
    height, width = valid.shape
    for top in range(0, height, settings.window):
        for left in range(0, width, settings.window):
            labels = torch.full((height, width), -1)
            inside = torch.zeros((height, width), dtype=torch.bool)
            inside[top : top + settings.window, left : left + settings.window] = True
            inside &= valid.cpu()
            count = int(inside.sum())
            labels[inside] = torch.arange(count)
            yield labels, count


def _propagated(
    features: PixelVectors,
    refined: Tensor,
    heat: Tensor,
    labels: Tensor,
    count: int,
    settings: RefineSettings,
) -> Tensor:
    labels = labels.to(heat.device)
    inside = labels >= 0
    node = labels[inside]  # (n,)
    size = torch.bincount(node, minlength=count)[:, None]
    values = heat[:, inside].T  # (n, C)
    begin = values.new_zeros(count, len(heat)).index_add_(0, node, values) / size
    graph = _graph(features, labels, count, size, settings)
    solve = SOLVERS[settings.solver]
    end = solve(
        graph,
        begin.double().cpu().numpy(),
        settings.alpha,
        settings.tolerance,
        settings.most_steps,
    )
    refined[:, inside] = torch.from_numpy(end).to(heat)[node].T
    return refined


def _graph(
    features: PixelVectors, labels: Tensor, count: int, size: Tensor, settings: RefineSettings
) -> sparse.csr_array:
    height, width = labels.shape
    inside = labels >= 0
    whole = F.pad(
        labels,
        (0, features.size[1] - width, 0, features.size[0] - height),
        value=-1,
    )
    unit = F.normalize(features.unit_sums(whole[None], count)[0], dim=1)  # (N, D)
    place = inside.nonzero() + 0.5  # (n, 2)
    place = place / torch.tensor([height, width], device=place.device)
    centre = place.new_zeros(count, 2).index_add_(0, labels[inside], place) / size
    weights = neighbour_graph(
        unit,
        centre,
        Kernel(settings.gamma, settings.sigma, settings.power),
        settings.neighbours,
        joint=settings.joint,
        exact_up_to=settings.exact_up_to,
    )
    return normalised(symmetric(weights, mutual_twice=settings.mutual_twice))
