import pytest
import torch
from stand_ins import dense, normal, random_anyup, random_operator, uniform

from mapsr import budgets
from mapsr.upsample import Bilateral, BilateralSettings, Bilinear, LocalOperator, Nearest

SIZE, GRID = (13, 22), (3, 5)
UPSAMPLERS = {
    "nearest": Nearest,
    "bilinear": Bilinear,
    "bilateral": lambda: Bilateral(BilateralSettings(radius=1.5)),
    "anyup": lambda: random_anyup(8),
}


@pytest.fixture(params=UPSAMPLERS)
def made(request):
    """Each upsampler's operator for two images, and the images and tokens it is for."""
    upsampler = UPSAMPLERS[request.param]()
    image, tokens = uniform(11, 2, 3, *SIZE), normal(12, 2, 9, *GRID)
    return upsampler, image, tokens, upsampler(image, tokens)


@pytest.fixture(params=[1 << 20, 300])
def chunk(request, monkeypatch):
    """As one chunk and as many."""
    monkeypatch.setattr(budgets, "CELLS", budgets.Budget(request.param))


WAYS = ["_squares", "_squares_by_window", "_squares_by_pair"]


def chosen_way(operator, tokens, monkeypatch):
    """The name of the method that the norm of these tokens is taken by."""
    taken = []
    for name in WAYS:
        way = getattr(LocalOperator, name)

        def watched(self, tokens, way=way, name=name):
            taken.append(name)
            return way(self, tokens)

        monkeypatch.setattr(LocalOperator, name, watched)
    operator.norm(tokens)
    return taken


def test_rows_sum_to_one_and_are_never_negative(made):
    matrix = dense(made[3], 2)
    torch.testing.assert_close(matrix.sum(2), torch.ones(2, SIZE[0] * SIZE[1]))
    assert matrix.min() >= 0


def test_a_batch_of_two_equals_one_by_one(made):
    upsampler, image, tokens, operator = made
    both = dense(operator, 2)
    for part in range(2):
        alone = dense(upsampler(image[part : part + 1], tokens[part : part + 1]))
        torch.testing.assert_close(both[part], alone[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(dense(operator.select(part))[0], both[part])


def test_no_autograd_graph_is_kept():
    for build in UPSAMPLERS.values():
        tokens = normal(13, 1, 9, *GRID).requires_grad_()
        operator = build()(uniform(14, 1, 3, *SIZE).requires_grad_(), tokens)
        assert isinstance(operator, LocalOperator)
        assert not operator.weights.requires_grad


def test_apply_is_the_product_with_the_dense_matrix(chunk):
    operator = random_operator(1, SIZE, GRID, batch=2)
    values = normal(2, 2, 15, 400)
    expected = (dense(operator, 2) @ values).transpose(1, 2).unflatten(2, SIZE)
    torch.testing.assert_close(operator.apply(values), expected, rtol=1e-5, atol=1e-5)


def test_norm_is_that_of_the_dense_features(chunk):
    operator = random_operator(3, SIZE, GRID, batch=2)
    tokens = normal(4, 2, 15, 40)
    expected = (dense(operator, 2) @ tokens).norm(dim=2).unflatten(1, SIZE)
    torch.testing.assert_close(operator.norm(tokens), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_three_ways_give_the_squares_of_the_dense_features(chunk, way):
    operator = random_operator(3, SIZE, GRID, batch=2)
    tokens = normal(4, 2, 15, 40)
    squares = getattr(operator, way)(tokens).flatten(1)[:, operator.cells.slots]
    expected = (dense(operator, 2) @ tokens).square().sum(2)
    torch.testing.assert_close(squares, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "grid", "dim", "way"),
    [
        ((24, 32), (12, 16), 8, "_squares"),  # 4 pixels of a cell look at 9 tokens
        ((48, 64), (12, 16), 64, "_squares_by_window"),  # 16 pixels
        ((24, 32), (3, 4), 64, "_squares_by_pair"),  # few tokens in all
    ],
)
def test_norm_is_taken_in_the_cheapest_way(monkeypatch, size, grid, dim, way):
    tokens = normal(4, 1, dim, *grid)
    operator = Bilateral(BilateralSettings(radius=1))(uniform(5, 1, 3, *size), tokens)
    flat = tokens.flatten(2).transpose(1, 2)
    assert chosen_way(operator, flat, monkeypatch) == [way]
    expected = (dense(operator) @ flat).norm(dim=2).unflatten(1, size)
    torch.testing.assert_close(operator.norm(flat), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [1, 4, 286])
@pytest.mark.parametrize("weighted", [True, False])
def test_pool_sums_values_over_sets_of_pixels(chunk, count, weighted):
    operator = random_operator(5, SIZE, GRID, batch=2)
    labels = torch.randint(-1, count, (2, *SIZE), generator=torch.Generator().manual_seed(6))
    weights = uniform(7, 2, *SIZE) if weighted else None
    values = normal(9, 2, 15, 7)
    carried = dense(operator, 2) @ values
    expected = torch.zeros(2, count, 7)
    for part in range(2):
        for pixel, label in enumerate(labels[part].flatten().tolist()):
            if label >= 0:
                factor = 1 if weights is None else weights[part].flatten()[pixel]
                expected[part, label] += factor * carried[part, pixel]
    torch.testing.assert_close(
        operator.pool(values, labels, count, weights), expected, rtol=1e-5, atol=1e-5
    )


def test_pool_leaves_out_pixels_with_negative_labels():
    operator = Nearest()(torch.zeros(1, 3, 2, 4), torch.zeros(1, 1, 1, 2))
    labels = torch.tensor([[[0, -1, 1, 1], [-7, 0, 1, -1]]])
    # two pixels of set 0 under the first token, three of set 1 under the second
    values = torch.eye(2)[None]
    assert operator.pool(values, labels, 3).tolist() == [[[2, 0], [0, 3], [0, 0]]]
    assert operator.pool(values, torch.full((1, 2, 4), -1), 1).tolist() == [[[0, 0]]]


def test_rows_are_those_of_the_dense_matrix():
    operator = random_operator(8, SIZE, GRID, batch=2)
    pixels = torch.tensor([285, 0, 17, 17])
    torch.testing.assert_close(operator.rows(pixels), dense(operator, 2)[:, pixels])
    assert operator.rows(torch.zeros(0, dtype=torch.int64)).shape == (2, 0, 15)
