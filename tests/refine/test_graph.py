import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import sparse
from stand_ins import normal, uniform

from mapsr import budgets
from mapsr.refine.graph import Kernel, neighbour_graph, normalised, symmetric

PLAIN = Kernel(gamma=1, sigma=0)
# cosines: 0.6 between the first two, 0.8 between the last two, 0 between first and last
THREE = torch.tensor([[1, 0], [0.6, 0.8], [0, 1]])


def nodes(seed, count, dim):
    return F.normalize(normal(seed, count, dim), dim=1), uniform(seed + 1, count, 2)


def graph(features, places, kernel, k, *, joint=False, exact_up_to=10**6):
    return neighbour_graph(features, places, kernel, k, joint=joint, exact_up_to=exact_up_to)


def slow_graph(features, places, kernel, k, joint):
    """Node by node, edge by edge."""
    count = len(features)
    weights = np.zeros((count, count))
    for i in range(count):
        similarity = [float(features[i] @ features[j]) for j in range(count)]
        distance = [math.dist(places[i].tolist(), places[j].tolist()) for j in range(count)]
        weight = [
            max(0, s) ** kernel.gamma * math.exp(-kernel.sigma * d**kernel.power)
            for s, d in zip(similarity, distance, strict=True)
        ]
        order = sorted(range(count), key=lambda j: -(weight if joint else similarity)[j])
        for j in order[:k]:
            if i != j:
                weights[i, j] = weight[j]
    return weights


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize(
    "kernel",
    [
        PLAIN,
        Kernel(),
        Kernel(gamma=3, sigma=5, power=1),
        Kernel(gamma=0.5, sigma=2, power=4),
        Kernel(gamma=1, sigma=3, power=0),
        Kernel(gamma=2, sigma=0, power=1),
    ],
)
@pytest.mark.parametrize(("block", "rows"), [(480, 32), (7, 2)])
@pytest.mark.parametrize("k", [2, 6])  # of 23: in groups and without
def test_neighbours_and_weights_are_those_of_the_slow_way(
    monkeypatch, joint, kernel, block, rows, k
):
    monkeypatch.setattr(budgets, "PAIR_ROWS", budgets.Budget(block))
    monkeypatch.setattr(budgets, "WEIGHED_ROWS", budgets.Budget(rows))
    features, places = nodes(1, 23, 4)
    ours = graph(features, places, kernel, k, joint=joint)
    expected = slow_graph(features, places, kernel, k, joint)
    np.testing.assert_allclose(ours.toarray(), expected, rtol=1e-5, atol=1e-6)


def test_bfloat16_compares_nodes_as_their_rounded_features_do():
    features, places = nodes(7, 60, 16)
    kernel = Kernel(gamma=2, sigma=1)
    ours = neighbour_graph(
        features, places, kernel, 60, joint=True, exact_up_to=100, products=torch.bfloat16
    ).toarray()
    rounded = features.to(torch.bfloat16).double()
    similarity = (rounded @ rounded.T).clamp_min(0).fill_diagonal_(0).numpy()
    distance = torch.cdist(places.double(), places.double()).numpy()
    # the sum of the products is rounded once, to eight bits
    np.testing.assert_allclose(ours, similarity**2 * np.exp(-(distance**2)), rtol=2**-7, atol=1e-6)
    exact = graph(features, places, kernel, 60, joint=True).toarray()
    assert not np.array_equal(ours, exact)
    np.testing.assert_allclose(ours, exact, atol=0.02)


def test_features_and_places_are_left_as_they_were():
    features, places = nodes(5, 19, 4)
    before = features.clone(), places.clone()
    for joint in (True, False):
        graph(features, places, Kernel(gamma=2, sigma=3, power=1), 4, joint=joint)
    assert torch.equal(features, before[0]) and torch.equal(places, before[1])


def test_three_nodes_by_hand():
    # k = 2 with the node itself: each takes the nearest other
    ours = graph(THREE, torch.zeros(3, 2), PLAIN, 2).toarray()
    np.testing.assert_allclose(ours, [[0, 0.6, 0], [0, 0, 0.8], [0, 0.8, 0]], rtol=1e-6)


def test_place_decides_among_joint_neighbours_only():
    # all look alike, the second slightly less so; the third is far away
    features = F.normalize(torch.tensor([[1, 0.0], [1, 0.1], [1, 0.0]]), dim=1)
    places = torch.tensor([[0.0, 0], [0.0, 0.1], [0.9, 0.9]])
    kernel = Kernel(sigma=4)
    by_both = graph(features, places, kernel, 2, joint=True).toarray()
    by_feature = graph(features, places, kernel, 2, joint=False).toarray()
    assert by_both[0].nonzero()[0].tolist() == [1]
    assert by_feature[0].nonzero()[0].tolist() == [2]
    # the weight has the distance in it either way
    assert by_feature[0, 2] == pytest.approx(math.exp(-4 * 2 * 0.81), rel=1e-4)


def test_negative_similarities_weigh_nothing():
    features = torch.tensor([[1.0, 0], [-1, 0]])
    assert graph(features, torch.zeros(2, 2), Kernel(gamma=2), 2).count_nonzero() == 0


def test_more_neighbours_than_nodes_are_all_nodes():
    features, places = nodes(2, 5, 3)
    most, all_five = (graph(features, places, PLAIN, k) for k in (100, 5))
    np.testing.assert_array_equal(most.toarray(), all_five.toarray())


def test_one_node_alone_has_no_edges():
    features, places = nodes(3, 1, 3)
    whole = normalised(symmetric(graph(features, places, PLAIN, 10), mutual_twice=True))
    assert whole.toarray().tolist() == [[0]]


def test_an_edge_that_both_ends_chose_counts_once_or_twice():
    ours = graph(THREE, torch.zeros(3, 2), PLAIN, 2)
    once = symmetric(ours, mutual_twice=False).toarray()
    twice = symmetric(ours, mutual_twice=True).toarray()
    np.testing.assert_allclose(once, [[0, 0.6, 0], [0.6, 0, 0.8], [0, 0.8, 0]], rtol=1e-6)
    np.testing.assert_allclose(twice, [[0, 0.6, 0], [0.6, 0, 1.6], [0, 1.6, 0]], rtol=1e-6)


def test_normalised_by_the_degrees_of_both_ends():
    weights = sparse.csr_array(np.array([[0, 1, 3.0, 0], [1, 0, 0, 0], [3, 0, 0, 0], [0] * 4]))
    ours = normalised(weights).toarray()
    assert ours[0, 1] == ours[1, 0] == pytest.approx(1 / math.sqrt(4 * 1))
    assert ours[0, 2] == ours[2, 0] == pytest.approx(3 / math.sqrt(4 * 3))
    # a node without edges keeps a row of zeros
    assert ours[3].tolist() == [0] * 4
    assert np.linalg.norm(ours, 2) <= 1 + 1e-12


@pytest.mark.soak
def test_approximate_neighbours_are_nearly_the_exact_ones_and_the_same_each_time():
    features, places = nodes(4, 500, 16)
    threads = torch.get_num_threads()
    for joint in (False, True):
        exact = graph(features, places, Kernel(), 20, joint=joint)
        near = graph(features, places, Kernel(), 20, joint=joint, exact_up_to=499)
        again = graph(features, places, Kernel(), 20, joint=joint, exact_up_to=499)
        common = exact.astype(bool).multiply(near.astype(bool))
        assert common.sum() >= 0.9 * exact.nnz
        np.testing.assert_allclose(near[common].ravel(), exact[common].ravel(), rtol=1e-4)
        assert (near != again).nnz == 0
    assert torch.get_num_threads() == threads
