import math

import pytest
import torch
from stand_ins import dense, normal, uniform

from mapsr import budgets
from mapsr.upsample import GlobalOperator, PixelFeatures

SIZE, GRID, HEADS = (7, 11), (3, 5), 3


@pytest.fixture(params=[1 << 20, 45, 1])
def block(request, monkeypatch):
    """As one block, as blocks of three pixels, and as one pixel after the other."""
    monkeypatch.setattr(budgets, "ATTENTION", budgets.Budget(request.param))


@pytest.fixture
def operator():
    queries, keys = normal(1, 2, 77, HEADS * 4), normal(2, 2, 15, HEADS * 4)
    return GlobalOperator(queries, keys, HEADS, SIZE, GRID)


def matrix(operator):
    """A, with every array whole."""
    query = operator.queries.unflatten(2, (operator.heads, -1))
    key = operator.keys.unflatten(2, (operator.heads, -1))
    return torch.einsum("bphd,bthd->bhpt", query, key).softmax(3).mean(1)


def close(ours, expected):
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_two_heads_of_one_number_by_hand():
    # one head weighs the two tokens 3 : 1 at the first pixel, the other 1 : 1; then the reverse
    three = math.log(3)
    queries = torch.tensor([[[1.0, 0.0], [-1.0, 2.0]]])
    keys = torch.tensor([[[three, 0.0], [0.0, three]]])
    operator = GlobalOperator(queries, keys, 2, (2, 1), (1, 2))
    # second pixel: (1/4 + 1/10) / 2 and (3/4 + 9/10) / 2
    expected = torch.tensor([[[0.625, 0.375], [0.175, 0.825]]])
    close(operator.rows(torch.tensor([0, 1])), expected)
    values = torch.tensor([[[8.0], [16.0]]])
    close(operator.apply(values), torch.tensor([[[[11.0], [14.6]]]]))
    close(operator.norm(values), torch.tensor([[[11.0], [14.6]]]))
    sums = operator.pool(values, torch.zeros(1, 2, 1, dtype=torch.int64), 1)
    close(sums, torch.tensor([[[25.6]]]))


def test_apply_is_the_product_with_the_dense_matrix(block, operator):
    values = normal(3, 2, 15, 6)
    expected = (matrix(operator) @ values).transpose(1, 2).unflatten(2, SIZE)
    close(operator.apply(values), expected)


@pytest.mark.parametrize("dim", [4, 15, 40])
def test_norm_is_that_of_the_dense_features(block, operator, dim):
    tokens = normal(4, 2, 15, dim)
    close(operator.norm(tokens), (matrix(operator) @ tokens).norm(dim=2).unflatten(1, SIZE))


def test_tokens_that_cancel_have_no_norm():
    queries, keys = torch.zeros(1, 6, 4), torch.zeros(1, 2, 4)
    operator = GlobalOperator(queries, keys, 1, (2, 3), (1, 2))
    token = normal(5, 1, 1, 9)
    norm = operator.norm(torch.cat([token, -token], dim=1))
    assert torch.equal(norm, torch.zeros(1, 2, 3))


@pytest.mark.parametrize("count", [1, 4, 77])
@pytest.mark.parametrize("weighted", [True, False])
def test_pool_sums_values_over_sets_of_pixels(block, operator, count, weighted):
    labels = torch.randint(-1, count, (2, *SIZE), generator=torch.Generator().manual_seed(6))
    weights = uniform(7, 2, *SIZE) if weighted else None
    values = normal(8, 2, 15, 5)
    carried = matrix(operator) @ values
    expected = torch.zeros(2, count, 5)
    for part in range(2):
        for pixel, label in enumerate(labels[part].flatten().tolist()):
            if label >= 0:
                factor = 1 if weights is None else weights[part].flatten()[pixel]
                expected[part, label] += factor * carried[part, pixel]
    close(operator.pool(values, labels, count, weights), expected)


def test_pool_of_no_pixels_is_zero(operator):
    labels = torch.full((2, *SIZE), -3)
    assert torch.equal(operator.pool(normal(9, 2, 15, 5), labels, 2), torch.zeros(2, 2, 5))


def test_rows_are_those_of_the_dense_matrix(block, operator):
    pixels = torch.tensor([76, 0, 17, 17, 5])
    close(operator.rows(pixels), matrix(operator)[:, pixels])
    assert operator.rows(torch.zeros(0, dtype=torch.int64)).shape == (2, 0, 15)


def test_rows_sum_to_one_and_are_never_negative(block, operator):
    found = dense(operator, 2)
    torch.testing.assert_close(found.sum(2), torch.ones(2, 77))
    assert found.min() >= 0


def test_large_logits_give_numbers(operator):
    loud = GlobalOperator(operator.queries * 1e4, operator.keys, HEADS, SIZE, GRID)
    torch.testing.assert_close(dense(loud, 2).sum(2), torch.ones(2, 77))


def test_select_is_one_image_of_the_batch(operator):
    for part in range(2):
        one = operator.select(part)
        assert (one.size, one.grid) == (SIZE, GRID)
        close(dense(one), matrix(operator)[part : part + 1])
        assert one.nbytes * 2 == operator.nbytes


def test_bytes_are_those_of_queries_and_keys(operator):
    assert operator.nbytes == 4 * 2 * (77 + 15) * HEADS * 4


def test_no_array_of_pixels_by_tokens_is_made(monkeypatch):
    """The largest array is what is kept, what is returned, or a block."""
    monkeypatch.setattr(budgets, "ATTENTION", budgets.Budget(1000))
    operator = GlobalOperator(normal(1, 1, 60 * 50, 4), normal(2, 1, 40, 4), 2, (60, 50), (5, 8))
    tokens = normal(3, 1, 40, 64)
    labels = torch.arange(3000).view(1, 60, 50) % 3
    largest = Largest()
    with largest:
        operator.norm(tokens)
        operator.pool(tokens, labels, 3)
        operator.apply(tokens[..., :4])
    assert largest.elements <= 4 * 3000


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """Remembers how many elements the largest result of an operation has."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else [result]:
            if torch.is_tensor(one):
                self.elements = max(self.elements, one.numel())
        return result


def test_pixel_features_work_on_it(block, operator):
    tokens, directions = normal(10, 2, 15, 6), normal(11, 3, 6)
    features = PixelFeatures(tokens, operator)
    whole = matrix(operator) @ tokens
    cosine = torch.nn.functional.cosine_similarity(whole[:, :, None], directions, dim=3)
    close(features.cosine(directions), cosine.transpose(1, 2).unflatten(2, SIZE))
    close(features.at(torch.tensor([3, 70])), whole[:, [3, 70]])
