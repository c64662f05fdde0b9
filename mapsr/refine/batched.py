"""Refinement of a batch of chips where its tensors are: nothing but labels has to leave a GPU.

The same graph as the default path's, held as one square matrix a chip, which a GPU multiplies
faster than it would follow lists of neighbours. Nothing is asked of the device.
"""

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mapsr import budgets
from mapsr.refine.blocks import largest
from mapsr.refine.graph import Kernel, squares
from mapsr.sums import sums_by_index, whole_sums

if TYPE_CHECKING:
    from mapsr.refine.refine import PixelVectors, RefineSettings


def propagated_batch(
    features: "PixelVectors",
    heat: Tensor,
    labels: Tensor,
    counts: Tensor,
    most: int,
    settings: "RefineSettings",
) -> Tensor:
    """Propagate the scores of a batch of chips over their superpixels; see ``refine``.

    With the same superpixels, results are those of the default path within 1e-5, but for nodes
    whose neighbours tie.

    Memory: of one chip at a time, two matrices of its superpixels, 200 MB in float32 for 5000.

    Args:
        features: of B images.
        heat: (B, C, H, W) scores.
        labels: (B, H, W) int64 superpixel of each pixel, negative outside the valid area.
        counts: (B,) int64 superpixels of each image.
        most: the largest of them, at least 1.
        settings: how scores are propagated.

    Returns:
        (B, C, H, W); pixels outside the valid area keep their scores.
    """
    refined = torch.empty_like(heat)
    for part, (label, count) in enumerate(zip(labels, counts, strict=True)):
        end = _propagated(features.select(part), heat[part], label, count, most, settings)
        spread = end.to(heat.dtype)[label.clamp_min(0)].permute(2, 0, 1)
        refined[part] = torch.where(label >= 0, spread, heat[part])
    return refined


def _propagated(
    features: "PixelVectors",
    heat: Tensor,
    labels: Tensor,
    count: Tensor,
    most: int,
    settings: "RefineSettings",
) -> Tensor:
    """Scores of a chip's nodes, (most, C): those from ``count`` on are of no node."""
    flat = labels.flatten()
    size = whole_sums(torch.ones_like(flat)[:, None], flat, most).clamp_min(1)  # (most, 1)
    begin = (sums_by_index(heat.flatten(1).T, flat, most) / size).to(heat.dtype)
    graph = _graph(features, labels, count, size, settings)
    degree = graph.sum(1, dtype=torch.float64)
    root = torch.where(degree > 0, degree, 1.0).rsqrt()
    scale = torch.where(degree > 0, root, 0.0).to(heat.dtype)[:, None]
    solve = _SOLVERS[settings.solver]
    return solve(graph, scale, begin, settings)


def _graph(
    features: "PixelVectors",
    labels: Tensor,
    count: Tensor,
    size: Tensor,
    settings: "RefineSettings",
) -> Tensor:
    """Weights of a chip's undirected graph, (most, most) float32."""
    most, (height, width) = len(size), labels.shape
    margin = (0, features.size[1] - width, 0, features.size[0] - height)
    whole = F.pad(labels, margin, value=-1)
    unit = F.normalize(features.unit_sums(whole[None], most)[0].float(), dim=1)  # (most, D)
    row = torch.arange(height, device=labels.device)[:, None].expand(height, width)
    column = torch.arange(width, device=labels.device).expand(height, width)
    place = torch.stack([row.flatten(), column.flatten()], dim=1)
    sums = whole_sums(place, labels.flatten(), most)
    centre = (sums / size + 0.5) / torch.tensor([height, width], device=labels.device)
    chosen = _nearest(unit, centre.to(unit.dtype), count, settings)
    if settings.mutual_twice:
        return chosen + chosen.T
    return torch.maximum(chosen, chosen.T)


def _nearest(unit: Tensor, centre: Tensor, count: Tensor, settings: "RefineSettings") -> Tensor:
    """Weights of each node's nearest neighbours, (most, most); the others and its own are zero."""
    most = len(unit)
    kernel = Kernel(settings.gamma, settings.sigma, settings.power)
    k = min(settings.neighbours, most)
    number = torch.arange(most, device=unit.device)
    absent = number >= count
    graph = unit.new_zeros(most, most)
    vectors = unit.to(settings.products_on(unit.device))
    step = max(1, budgets.PAIRS.on(unit) // most)
    for start in range(0, most, step):
        part = slice(start, start + step)
        rank = (vectors[part] @ vectors.T).to(unit.dtype)
        if settings.joint:
            kernel.weigh_(rank, squares(centre[part, None], centre))
        rank.masked_fill_(absent, -math.inf)
        values, columns = largest(rank, k)
        if not settings.joint:
            kernel.weigh_(values, squares(centre[part, None], centre[columns]))
        # a chip with fewer nodes than neighbours has chosen some that are not there
        values.masked_fill_(columns >= count, 0)
        graph[part].scatter_(1, columns, values)
    graph.fill_diagonal_(0)
    graph.masked_fill_(absent[:, None], 0)
    return graph


def _fixed_point(graph: Tensor, scale: Tensor, begin: Tensor, settings: "RefineSettings") -> Tensor:
    """Iterate Y <- alpha A Y + (1 - alpha) Y0 as often as the tolerance can need.

    A step shrinks the error, at first at most twice |Y0|, by alpha: so their number is known
    beforehand, and nobody has to look at the error.
    """
    alpha, current = settings.alpha, begin
    for _ in range(_steps(alpha, settings)):
        spread = scale * (graph @ (scale * current))
        current = alpha * spread + (1 - alpha) * begin
    return current


def _steps(rate: float, settings: "RefineSettings") -> int:
    """Steps until twice ``rate`` to their power is within the tolerance."""
    enough = math.ceil(math.log(settings.tolerance / 2) / math.log(rate)) if rate > 0 else 1
    return max(1, enough if settings.most_steps is None else min(enough, settings.most_steps))


def _conjugate_gradients(
    graph: Tensor, scale: Tensor, begin: Tensor, settings: "RefineSettings"
) -> Tensor:
    """Solve (I - alpha A) Y = (1 - alpha) Y0, all classes at once, each until its tolerance.

    Source: Hestenes and Stiefel 1952, doi:10.6028/jres.049.044; the bound of the number of steps
    from the spectrum, which lies in [1 - alpha, 1 + alpha].
    """
    alpha = settings.alpha
    solution = torch.zeros_like(begin)
    rest = (1 - alpha) * begin
    way, square = rest, rest.square().sum(0)  # (N, C), (C,)
    enough = settings.tolerance**2 * square
    root = math.sqrt((1 + alpha) / (1 - alpha))
    for _ in range(_steps((root - 1) / (root + 1), settings)):
        ahead = way - alpha * scale * (graph @ (scale * way))
        going = square > enough  # the others stay as they are
        length = torch.where(going, square / (way * ahead).sum(0), 0.0)
        solution = solution + length * way
        rest = rest - length * ahead
        following = rest.square().sum(0)
        way = rest + torch.where(going, following / square, 0.0) * way
        square = following
    return solution


_SOLVERS = {"fixed_point": _fixed_point, "conjugate_gradients": _conjugate_gradients}
