import numpy as np
import pytest

from mapsr.errors import LegendError
from mapsr.legends import Crosswalk, LandClass, Legend

SOURCE = Legend(
    "fine",
    "Fine",
    "invented",
    tuple(
        LandClass(10 * i, name, (i, i, i)) for i, name in enumerate(("lake", "oak", "elm", "ice"))
    ),
)
TARGET = Legend(
    "rough", "Rough", "invented", (LandClass(0, "wet", (0, 0, 1)), LandClass(1, "tree", (0, 1, 0)))
)


def test_apply_by_hand():
    crosswalk = Crosswalk("toy", SOURCE, TARGET, (0, 1, 1, 255))
    indices = np.array([[0, 1, 2], [3, 255, 4]], dtype=np.uint8)
    result = crosswalk.apply(indices)
    assert result.dtype == np.uint8
    assert result.tolist() == [[0, 1, 1], [255, 255, 255]]


def test_targets_are_named_by_code():
    crosswalk = Crosswalk("toy", SOURCE, TARGET, (0, 1, 1, 255))
    assert crosswalk.targets() == {0: "wet", 10: "tree", 20: "tree", 30: None}


def test_short_table_is_refused():
    with pytest.raises(LegendError, match="has 3 entries, expected one for each of the 4 classes"):
        Crosswalk("toy", SOURCE, TARGET, (0, 1, 1))


@pytest.mark.parametrize("index", [2, -1])
def test_index_outside_of_the_target_is_refused(index: int):
    with pytest.raises(
        LegendError, match=f"holds the index {index}, expected a class of legend 'r"
    ):
        Crosswalk("toy", SOURCE, TARGET, (0, 1, index, 255))
