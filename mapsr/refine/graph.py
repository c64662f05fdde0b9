"""The graph that scores are propagated over."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mapsr import budgets
from mapsr.extras import require_extra
from mapsr.refine.blocks import largest, symmetric_rows

if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True)
class Kernel:
    """Weight of an edge: max(0, similarity)^gamma exp(-sigma distance^power).

    Source: MapSR, equation (10).
    """

    gamma: float = 1.0
    sigma: float = 1.0
    power: float = 2.0

    def weigh_(self, similarity: Tensor, squares: Tensor) -> Tensor:
        """Turn the cosines of edges into their weights, in place.

        Args:
            similarity: cosine of the ends of each edge; becomes the weight.
            squares: squared distance of the ends, of the same shape; overwritten.
        """
        weight = similarity.clamp_min_(0)
        if self.gamma != 1:
            weight.pow_(self.gamma)
        if not self.sigma:
            return weight
        if self.power != 2:
            squares.pow_(self.power / 2)
        return weight.mul_(squares.mul_(-self.sigma).exp_())


def neighbour_graph(
    features: Tensor,
    places: Tensor,
    kernel: Kernel,
    neighbours: int,
    *,
    joint: bool,
    exact_up_to: int,
    products: torch.dtype = torch.float32,
) -> "sparse.csr_array":
    """Weights of each node's nearest neighbours; the node itself counts as one and is left out.

    Args:
        features: (N, D) float32, of unit length.
        places: (N, 2) float32.
        kernel: the weight of an edge.
        neighbours: k, clamped to N.
        joint: nearest by weight (feature and place); else by features alone.
        exact_up_to: above so many nodes, candidates come from an approximate index.
        products: type of the numbers whose products compare all pairs.

    Returns:
        (N, N) float64, row i holding node i's choice; not symmetric.
    """
    from scipy import sparse  # seconds, which settings alone need not

    count = len(features)
    k = min(neighbours, count)
    if count <= exact_up_to:
        chosen, values = _exact(features, places, kernel, k, joint=joint, products=products)
    else:
        chosen, values = _approximate(features, places, kernel, k, joint)
    rows = np.repeat(np.arange(count), k)
    columns = chosen.cpu().numpy().ravel()
    other = rows != columns
    data = values.cpu().double().numpy().ravel()[other]
    return sparse.csr_array((data, (rows[other], columns[other])), shape=(count, count))


def symmetric(weights: "sparse.csr_array", *, mutual_twice: bool) -> "sparse.csr_array":
    """Make a graph undirected: W + W^T if ``mutual_twice``, else the larger of both."""
    from scipy import sparse

    if mutual_twice:
        return sparse.csr_array(weights + weights.T)
    return sparse.csr_array(weights.maximum(weights.T))


def normalised(weights: "sparse.csr_array") -> "sparse.csr_array":
    """D^-1/2 W D^-1/2; a node without edges keeps a row of zeros.

    Source: MapSR, below equation (12).
    """
    from scipy import sparse

    degree: NDArray[np.float64] = np.asarray(weights.sum(axis=1)).ravel()
    root = np.zeros_like(degree)
    root[degree > 0] = degree[degree > 0] ** -0.5
    scale = sparse.diags_array(root)
    return sparse.csr_array(scale @ weights @ scale)


def _exact(
    features: Tensor, places: Tensor, kernel: Kernel, k: int, *, joint: bool, products: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Neighbours (N, k) and weights (N, k), by comparing all pairs of nodes."""
    count = len(features)
    chosen = torch.empty(count, k, dtype=torch.int64, device=features.device)
    values = features.new_empty(count, k)
    vectors = features.to(products)

    def compare(rows: slice, columns: slice) -> Tensor:
        rank = (vectors[rows] @ vectors[columns].T).to(features.dtype)
        if joint:
            step = budgets.WEIGHED_ROWS.on(rank)
            for some, x in zip(rank.split(step), places[rows].split(step), strict=True):
                kernel.weigh_(some, squares(x[:, None], places[columns]))
        return rank

    for block, rank in symmetric_rows(compare, count, features):
        values[block], chosen[block] = largest(rank, k)
        if not joint:
            away = squares(places[block, None], places[chosen[block]])
            kernel.weigh_(values[block], away)
    return chosen, values


def squares(x: Tensor, y: Tensor) -> Tensor:
    """Return squared distances of places (..., 2), shaped as they broadcast."""
    down, across = x[..., 0] - y[..., 0], x[..., 1] - y[..., 1]
    return down.square_().addcmul_(across, across)


def _approximate(
    features: Tensor, places: Tensor, kernel: Kernel, k: int, joint: bool
) -> tuple[Tensor, Tensor]:
    """As `_exact`, from an index over features; joint: the best of twice as many candidates.

    Source: Dong et al., Efficient k-nearest neighbor graph construction, WWW 2011,
    doi:10.1145/1963405.1963487.
    """
    few = "raise refine.exact_up_to (slower) or choose refine=none"
    require_extra("pynndescent", f"A graph of {len(features)} nodes", few)
    from pynndescent import NNDescent  # takes seconds, and most graphs are small

    wanted = min(2 * k, len(features)) if joint else k
    # one thread and a fixed seed: the same graph each time
    threads = torch.get_num_threads()
    index = NNDescent(
        features.cpu().numpy(), metric="cosine", n_neighbors=wanted, random_state=0, n_jobs=1
    )
    torch.set_num_threads(threads)  # the index leaves another number behind
    found = torch.from_numpy(index.neighbor_graph[0]).long().to(features.device)
    itself = torch.arange(len(features), device=features.device)[:, None]
    found = torch.where(found < 0, itself, found)  # fewer found than asked for
    values, step = [], budgets.CANDIDATES.on(features)
    for z, x, some in zip(features.split(step), places.split(step), found.split(step), strict=True):
        similarity = (features[some] @ z[..., None])[..., 0]  # (block, wanted)
        values.append(kernel.weigh_(similarity, squares(x[:, None], places[some])))
    weights = torch.cat(values)
    if not joint:
        return found, weights
    weights, best = weights.topk(k, dim=1, sorted=False)
    return found.gather(1, best), weights
