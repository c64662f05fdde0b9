import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsr.upsample.cells import Axis, Cells


@st.composite
def windows(draw):
    """Monotone or not, any windows low <= token < high of n pixels over some tokens."""
    tokens = draw(st.integers(1, 9))
    n = draw(st.integers(1, 25))
    low = [draw(st.integers(0, tokens - 1)) for _ in range(n)]
    high = [draw(st.integers(start + 1, tokens)) for start in low]
    return torch.tensor(low), torch.tensor(high), tokens


@settings(deadline=None, max_examples=60)
@given(windows())
def test_each_pixel_has_one_slot_and_may_look_at_its_window_only(bounds):
    low, high, tokens = bounds
    axis = Axis.of(low, high, tokens)
    filled = axis.pixels >= 0
    assert sorted(axis.pixels[filled].tolist()) == list(range(len(low)))
    assert int(axis.tokens.min()) >= 0 and int(axis.tokens.max()) < tokens
    for cell, place in filled.nonzero().tolist():
        pixel = int(axis.pixels[cell, place])
        seen = axis.tokens[cell][axis.allowed[cell, place]].tolist()
        assert seen == list(range(int(low[pixel]), int(high[pixel])))


def test_pixels_that_do_not_exist_are_allowed_everything():
    # 3 pixels over 2 tokens: cells {0} and {1, 2}
    axis = Axis.of(torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2]), 2)
    assert axis.pixels.tolist() == [[0, -1], [1, 2]]
    assert axis.allowed[0, 1].all()
    assert axis.allowed[1].tolist() == [[True, True], [False, True]]


def test_the_cells_of_a_plane_are_the_product_of_its_axes():
    rows = Axis.of(torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2]), 2)
    columns = Axis.of(torch.tensor([0, 0]), torch.tensor([1, 1]), 1)
    cells = Cells(rows, columns, size=(3, 2), grid=(2, 1))
    assert cells.shape == (2, 4, 2)
    assert cells.pixels.tolist() == [[0, 1, -1, -1], [2, 3, 4, 5]]
    assert cells.tokens.tolist() == [[0, 1], [0, 1]]
    assert cells.slots.tolist() == [0, 1, 4, 5, 6, 7]
    # pixel 2 (row 1) may look at both tokens, pixel 4 (row 2) at the second
    assert cells.allowed(slice(1, 2))[0].tolist() == [[True, True]] * 2 + [[False, True]] * 2


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.integers(1, 12)] * 2), st.tuples(*[st.integers(1, 5)] * 2))
def test_each_pixel_of_a_plane_is_found_at_its_slot(size, grid):
    axes = [
        Axis.of(torch.zeros(n, dtype=torch.int64), torch.full((n,), count), count)
        for n, count in zip(size, grid, strict=True)
    ]
    cells = Cells(*axes, size=size, grid=grid)
    found = cells.pixels.flatten()[cells.slots]
    assert found.tolist() == list(range(size[0] * size[1]))


def test_chunks_cover_the_cells_once_and_hold_no_more_than_asked():
    axis = Axis.of(torch.arange(7), torch.arange(1, 8), 7)
    cells = Cells(axis, axis, size=(7, 7), grid=(7, 7))
    chunks = cells.chunks(10)
    assert [index for part in chunks for index in range(49)[part]] == list(range(49))
    assert max(part.stop - part.start for part in chunks) == 10
    # a chunk is one cell at the least
    assert len(cells.chunks(0)) == 49
