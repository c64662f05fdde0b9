from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsr.errors import LegendError
from mapsr.legends import NODATA, LandClass, Legend

GREY = (9, 9, 9)


def legend(*classes: LandClass, nodata: frozenset[int] = frozenset()) -> Legend:
    return Legend("toy", "A toy", "invented", classes, nodata)


TOY = legend(
    LandClass(11, "water", (0, 0, 255)),
    LandClass(41, "forest", (0, 99, 0)),
    LandClass(1001, "road", GREY),
    nodata=frozenset({0, 128}),
)


def test_encode_by_hand():
    codes = np.array([[11, 41, 1001], [0, 128, -1], [7, 7, 70000]], dtype=np.int32)
    indices, unknown = TOY.encode(codes)
    assert indices.dtype == np.uint8
    assert indices.tolist() == [[0, 1, 2], [255, 255, 255], [255, 255, 255]]
    assert unknown == Counter({7: 2, 70000: 1})


def test_encode_takes_bytes():
    indices, unknown = TOY.encode(np.array([[41, 0, 12]], dtype=np.uint8))
    assert indices.tolist() == [[1, 255, 255]]
    assert unknown == Counter({12: 1})


def test_encode_of_nothing():
    indices, unknown = TOY.encode(np.empty((0, 4), np.int32))
    assert indices.shape == (0, 4)
    assert not unknown


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=255, unique=True))
def test_encode_inverts_codes(codes: list[int]):
    made = legend(*(LandClass(code, f"class {code}", GREY) for code in codes))
    indices, unknown = made.encode(np.array(codes))
    assert indices.tolist() == list(range(len(codes)))
    assert not unknown


def test_views_are_in_class_order():
    assert len(TOY) == 3
    assert TOY.names == ("water", "forest", "road")
    assert TOY.codes == (11, 41, 1001)
    assert TOY.colors == ((0, 0, 255), (0, 99, 0), GREY)
    assert TOY.index("road") == 2


def test_unknown_class_name_gets_near_match():
    with pytest.raises(LegendError, match=r"no class 'forrest'.*Did you mean 'forest'\?"):
        TOY.index("forrest")


def test_255_classes_are_the_most():
    classes = [LandClass(code, str(code), GREY) for code in range(256)]
    full = legend(*classes[:255])
    assert full.encode(np.array([254]))[0].tolist() == [254]
    assert full.encode(np.array([255]))[0].tolist() == [NODATA]
    with pytest.raises(LegendError, match="has 256 classes, expected 1 to 255"):
        legend(*classes)


def test_no_class_is_refused():
    with pytest.raises(LegendError, match="has 0 classes, expected 1 to 255"):
        legend()


def test_code_twice_is_refused():
    with pytest.raises(LegendError, match="has the code 4 2 times, expected it once"):
        legend(LandClass(4, "a", GREY), LandClass(4, "b", GREY))


def test_name_twice_is_refused():
    with pytest.raises(LegendError, match="has the name 'a' 2 times, expected it once"):
        legend(LandClass(4, "a", GREY), LandClass(5, "a", GREY))


def test_nodata_that_is_a_class_is_refused():
    with pytest.raises(LegendError, match="has the code 4 both as nodata and as a class"):
        legend(LandClass(4, "a", GREY), nodata=frozenset({0, 4}))


@pytest.mark.parametrize("code", [-1, 65536])
def test_code_out_of_range_is_refused(code: int):
    with pytest.raises(LegendError, match=rf"Class 'a' has code {code}, expected 0\.\.65535"):
        LandClass(code, "a", GREY)


def test_color_out_of_range_is_refused():
    with pytest.raises(LegendError, match=r"Class 'a' has color \[0, 256, 0\], expected red"):
        LandClass(1, "a", (0, 256, 0))
