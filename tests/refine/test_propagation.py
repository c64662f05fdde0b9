import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from scipy import sparse
from scipy.sparse.linalg import spsolve

from mapsr.refine.graph import Kernel, neighbour_graph, normalised, symmetric
from mapsr.refine.propagation import SOLVERS, conjugate_gradients, fixed_point

PAIR = sparse.csr_array(np.array([[0, 1.0], [1, 0]]))


def random_graph(seed, count=60):
    numbers = np.random.default_rng(seed)
    weights = numbers.random((count, count)) * (numbers.random((count, count)) < 0.1)
    np.fill_diagonal(weights, 0)
    return normalised(symmetric(sparse.csr_array(weights), mutual_twice=True))


def random_scores(seed, count=60, classes=4):
    return np.random.default_rng(seed).normal(size=(count, classes))


def direct(graph, scores, alpha):
    system = sparse.eye_array(graph.shape[0], format="csc") - alpha * graph.tocsc()
    return spsolve(system, (1 - alpha) * scores)


@pytest.mark.parametrize("solve", SOLVERS.values())
def test_two_nodes_by_hand(solve):
    # (I - A / 2) Y = Y0 / 2 gives each node 2/3 of its own score and 1/3 of the other's
    ours = solve(PAIR, np.array([[1.0, 0], [0, 3]]), 0.5, 1e-9)
    np.testing.assert_allclose(ours, [[2 / 3, 1], [1 / 3, 2]], rtol=1e-7)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.95, 0.999])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-10])
def test_the_fixed_point_keeps_its_tolerance(alpha, tolerance):
    graph, scores = random_graph(1), random_scores(2)
    error = np.linalg.norm(
        fixed_point(graph, scores, alpha, tolerance) - direct(graph, scores, alpha)
    )
    assert error <= tolerance * np.linalg.norm(scores) * (1 + 1e-6)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5])
def test_the_fixed_point_keeps_its_tolerance_where_its_steps_are_short(tolerance):
    # a wave along a ring is flattened by 0.3 % a step: far from the end, steps are already short
    ring = np.roll(np.eye(100), 1, axis=1)
    graph = normalised(sparse.csr_array(ring + ring.T))
    wave = np.cos(2 * np.pi * np.arange(100) / 100)[:, None]
    ours = fixed_point(graph, wave, 0.999, tolerance)[:, 0]
    error = np.linalg.norm(ours - direct(graph, wave, 0.999))
    assert error <= tolerance * np.linalg.norm(wave) * (1 + 1e-6)


@pytest.mark.parametrize("alpha", [0.5, 0.95])
def test_both_solvers_agree(alpha):
    graph, scores = random_graph(3), random_scores(4)
    np.testing.assert_allclose(
        conjugate_gradients(graph, scores, alpha, 1e-10),
        fixed_point(graph, scores, alpha, 1e-10),
        atol=1e-8,
    )


@pytest.mark.parametrize("solve", SOLVERS.values())
def test_without_neighbours_weight_scores_stay(solve):
    scores = random_scores(5)
    np.testing.assert_allclose(solve(random_graph(6), scores, 0.0, 1e-6), scores, rtol=1e-12)


@pytest.mark.parametrize("solve", SOLVERS.values())
def test_a_node_without_edges_keeps_the_order_of_its_scores(solve):
    graph = sparse.block_diag([PAIR, sparse.csr_array((1, 1))], format="csr")
    ours = solve(sparse.csr_array(graph), np.array([[1.0, 0], [0, 1], [0.2, 0.8]]), 0.75, 1e-9)
    np.testing.assert_allclose(ours[2], [0.05, 0.2], rtol=1e-6)


@pytest.mark.parametrize("solve", SOLVERS.values())
def test_scores_of_zero_stay_zero(solve):
    assert not solve(random_graph(7), np.zeros((60, 3)), 0.9, 1e-6).any()


def test_a_limit_on_steps_stops_early():
    one = fixed_point(PAIR, np.array([[1.0], [0]]), 0.5, 1e-9, most_steps=1)
    assert one.tolist() == [[0.5], [0.5]]
    graph, scores = random_graph(8), random_scores(9)
    exact = direct(graph, scores, 0.95)
    few = conjugate_gradients(graph, scores, 0.95, 1e-9, most_steps=2)
    assert 1e-4 < np.abs(few - exact).max() < np.abs(scores - exact).max()


def test_a_tolerance_that_no_float_reaches_does_not_run_forever():
    graph, scores = random_graph(10), random_scores(11)
    ours = fixed_point(graph, scores, 0.9, 1e-30)
    np.testing.assert_allclose(ours, direct(graph, scores, 0.9), rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0, 0.99))
def test_no_score_leaves_the_range_of_its_class_on_a_regular_graph(seed, alpha):
    # on a ring all degrees are equal: propagation is averaging
    count = 12
    ring = np.roll(np.eye(count), 1, axis=1)
    graph = normalised(sparse.csr_array(ring + ring.T))
    scores = random_scores(seed, count)
    ours = fixed_point(graph, scores, alpha, 1e-9)
    assert (ours >= scores.min(0) - 1e-6).all() and (ours <= scores.max(0) + 1e-6).all()


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "k", "gamma", "alpha"), [("superpixel", 20, 1.0, 0.5), ("slide", 60, 3.0, 0.95)]
)
def test_the_released_propagation_is_reproduced(shared, name, k, gamma, alpha):
    reference = load_file(shared / "reference/propagation.safetensors")
    features = reference["features"]
    weights = neighbour_graph(
        features, features[:, :2], Kernel(gamma, 0), k, joint=False, exact_up_to=10**6
    )
    graph = normalised(symmetric(weights, mutual_twice=True))
    scores = reference["scores"].double().numpy()
    exact, released = (reference[f"{name}.{kind}"].numpy() for kind in ("exact", "cg10"))
    # the reference leaves the factor 1 - alpha away
    ours = fixed_point(graph, scores, alpha, 1e-9) / (1 - alpha)
    np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-6 * np.abs(exact).max())
    ours = conjugate_gradients(graph, scores, alpha, 1e-6, most_steps=10) / (1 - alpha)
    np.testing.assert_allclose(ours, released, rtol=0, atol=1e-6 * np.abs(released).max())
