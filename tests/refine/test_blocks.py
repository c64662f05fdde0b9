import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_ins import normal

from mapsr import budgets
from mapsr.refine.blocks import largest, symmetric_rows


def whole(count, matrix):
    """The matrix put together again, and how many values were asked for."""
    asked = []

    def compare(rows, columns):
        part = matrix[rows, columns].clone()
        asked.append(part.numel())
        return part

    rows = torch.cat([some.clone() for _, some in symmetric_rows(compare, count, matrix)])
    return rows, sum(asked)


@pytest.mark.parametrize("count", [1, 5, 6, 23, 24])
@pytest.mark.parametrize("kept", [0, 40, 200, 10**6])
def test_rows_are_those_of_the_matrix(monkeypatch, count, kept):
    monkeypatch.setattr(budgets, "PAIR_ROWS", budgets.Budget(6))
    monkeypatch.setattr(budgets, "PAIRS_KEPT", budgets.Budget(kept))
    matrix = normal(1, count, count)
    matrix = matrix + matrix.T
    assert torch.equal(whole(count, matrix)[0], matrix)


def test_half_of_the_pairs_are_computed_if_they_may_be_kept(monkeypatch):
    monkeypatch.setattr(budgets, "PAIR_ROWS", budgets.Budget(6))
    matrix = torch.ones(24, 24)
    assert whole(24, matrix)[1] == 6 * (24 + 18 + 12 + 6)
    monkeypatch.setattr(budgets, "PAIRS_KEPT", budgets.Budget(0))
    assert whole(24, matrix)[1] == 24 * 24
    # two blocks of rows: each block is compared with itself and the next, and those before
    monkeypatch.setattr(budgets, "PAIRS_KEPT", budgets.Budget(12**2))
    assert 6 * (24 + 18 + 12 + 6) < whole(24, matrix)[1] < 24 * 24


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(1, 90).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))),
    st.booleans(),
)
def test_largest_are_those_of_a_whole_sort(seed, sizes, ties):
    count, k = sizes
    rows = normal(seed, 5, count)
    if ties:
        rows = rows.round().clamp_min(0)
    values, columns = largest(rows, k)
    assert torch.equal(values.sort(dim=1, descending=True)[0], rows.topk(k, dim=1)[0])
    assert torch.equal(rows.gather(1, columns), values)
    assert all(len(set(some)) == k for some in columns.tolist())


def test_largest_by_hand():
    # nine columns, two wanted: groups of two columns, the ninth in none
    rows = torch.tensor([[1.0, 5, 0, 2, 3, 4, 0, 0, 9], [8.0, 0, 0, 0, 7, 0, 0, 0, 6]])
    values, columns = largest(rows, 2)
    assert sorted(values[0].tolist()) == [5, 9] and sorted(columns[0].tolist()) == [1, 8]
    assert sorted(values[1].tolist()) == [7, 8] and sorted(columns[1].tolist()) == [0, 4]
