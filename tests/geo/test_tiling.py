import numpy as np
import pytest

from mapsr.geo import tiles


def test_tiles_by_hand():
    found = [(one.row, one.col, one.height, one.width) for one in tiles(500, 100, 448)]
    assert found == [(0, 0, 250, 100), (250, 0, 250, 100)]


@pytest.mark.parametrize("size", [(1, 1), (448, 449), (500, 1000), (6000, 7), (97, 1345)])
@pytest.mark.parametrize("chip", [64, 448])
def test_chips_to_fit_on_see_each_pixel_once(size, chip):
    # 500 px sides had 172 px twice, which counted twice in prompts
    seen = np.zeros(size, int)
    for window in tiles(*size, chip):
        assert max(window.height, window.width) <= chip
        seen[window.slices] += 1
    assert (seen == 1).all()


def test_no_chip_is_a_sliver():
    assert min(one.height for one in tiles(6000, 40, 448)) > 400
