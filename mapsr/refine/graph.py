"""The graph that scores are propagated over."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

# Nodes compared with all others at once: 1024 rows against 20 000 nodes are 80 MB.
_BLOCK = 1024


@dataclass(frozen=True)
class Kernel:
    """Weight of an edge: max(0, similarity)^gamma exp(-sigma distance^power).

    Source: MapSR, equation (10).
    """

    gamma: float = 1.0
    sigma: float = 1.0
    power: float = 2.0

    def __call__(self, similarity: Tensor, distance: Tensor) -> Tensor:
        """Weigh edges by the cosine and the distance of their ends."""
        weight = similarity.clamp_min(0)
        if self.gamma != 1:
            weight = weight**self.gamma
        return weight * torch.exp(-self.sigma * distance**self.power) if self.sigma else weight


def neighbour_graph(
    features: Tensor,
    places: Tensor,
    kernel: Kernel,
    neighbours: int,
    *,
    joint: bool,
    exact_up_to: int,
) -> sparse.csr_array:
    """Weights of each node's nearest neighbours; the node itself counts as one and is left out.

    Args:
        features: (N, D) float32, of unit length.
        places: (N, 2) float32.
        kernel: the weight of an edge.
        neighbours: k, clamped to N.
        joint: nearest by weight (feature and place); else by features alone.
        exact_up_to: above so many nodes, candidates come from an approximate index.

    Returns:
        (N, N) float64, row i holding node i's choice; not symmetric.
    """
    count = len(features)
    k = min(neighbours, count)
    find = _exact if count <= exact_up_to else _approximate
    chosen, values = find(features, places, kernel, k, joint)
    rows = np.repeat(np.arange(count), k)
    columns = chosen.cpu().numpy().ravel()
    other = rows != columns
    data = values.cpu().double().numpy().ravel()[other]
    return sparse.csr_array((data, (rows[other], columns[other])), shape=(count, count))


def symmetric(weights: sparse.csr_array, *, mutual_twice: bool) -> sparse.csr_array:
    """Make a graph undirected: W + W^T if ``mutual_twice``, else the larger of both."""
    if mutual_twice:
        return sparse.csr_array(weights + weights.T)
    return sparse.csr_array(weights.maximum(weights.T))


def normalised(weights: sparse.csr_array) -> sparse.csr_array:
    """D^-1/2 W D^-1/2; a node without edges keeps a row of zeros."""
    degree: NDArray[np.float64] = np.asarray(weights.sum(axis=1)).ravel()
    root = np.zeros_like(degree)
    root[degree > 0] = degree[degree > 0] ** -0.5
    scale = sparse.diags_array(root)
    return sparse.csr_array(scale @ weights @ scale)


def _exact(
    features: Tensor, places: Tensor, kernel: Kernel, k: int, joint: bool
) -> tuple[Tensor, Tensor]:
    """Neighbours (N, k) and weights (N, k), by comparing all nodes block by block."""
    chosen, values = [], []
    for z, x in zip(features.split(_BLOCK), places.split(_BLOCK), strict=True):
        similarity = z @ features.T  # (block, N)
        rank = kernel(similarity, torch.cdist(x, places)) if joint else similarity
        best = rank.topk(k, dim=1, sorted=False)[1]  # (block, k)
        away = (x[:, None] - places[best]).norm(dim=2)
        chosen.append(best)
        values.append(kernel(similarity.gather(1, best), away))
    return torch.cat(chosen), torch.cat(values)


def _approximate(
    features: Tensor, places: Tensor, kernel: Kernel, k: int, joint: bool
) -> tuple[Tensor, Tensor]:
    """As `_exact`, from an index over features; joint: the best of twice as many candidates."""
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
    values = []
    for z, x, some in zip(
        features.split(_BLOCK), places.split(_BLOCK), found.split(_BLOCK), strict=True
    ):
        similarity = (features[some] @ z[..., None])[..., 0]  # (block, wanted)
        values.append(kernel(similarity, (x[:, None] - places[some]).norm(dim=2)))
    weights = torch.cat(values)
    if not joint:
        return found, weights
    weights, best = weights.topk(k, dim=1, sorted=False)
    return found.gather(1, best), weights
