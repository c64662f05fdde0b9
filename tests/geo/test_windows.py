import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsr.geo import Window

windows = st.builds(
    Window, st.integers(0, 9), st.integers(0, 12), st.integers(1, 9), st.integers(1, 7)
)


def mask(window: Window) -> np.ndarray:
    canvas = np.zeros((20, 22), bool)
    canvas[window.slices] = True
    return canvas


def test_by_hand():
    window = Window(2, 3, 4, 5)
    assert window.area == 20
    assert window.slices == (slice(2, 6), slice(3, 8))
    assert window.shifted(-2, 1) == Window(0, 4, 4, 5)
    assert window.relative_to(Window(1, 3, 9, 9)) == Window(1, 0, 4, 5)
    assert window.intersect(Window(5, 0, 9, 4)) == Window(5, 3, 1, 1)


def test_windows_that_touch_have_nothing_in_common():
    assert Window(0, 0, 4, 5).intersect(Window(4, 0, 4, 5)) is None
    assert Window(0, 0, 4, 5).intersect(Window(0, 5, 4, 5)) is None


def test_contains_is_about_every_pixel():
    assert Window(0, 0, 4, 5).contains(Window(1, 1, 3, 4))
    assert not Window(0, 0, 4, 5).contains(Window(1, 1, 4, 4))
    assert not Window(0, 0, 4, 5).contains(Window(-1, 0, 2, 2))


@given(windows, windows)
def test_intersection_is_that_of_the_pixels(a: Window, b: Window):
    common = a.intersect(b)
    expected = mask(a) & mask(b)
    assert expected.sum() == (common.area if common else 0)
    if common:
        assert (mask(common) == expected).all()
        assert common == b.intersect(a)


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5)])
def test_empty_window_is_refused(height: int, width: int):
    with pytest.raises(ValueError, match=f"A window is {height} x {width} px, expected at least"):
        Window(0, 0, height, width)


def test_negative_start_has_no_slices():
    with pytest.raises(ValueError, match="starts outside of its grid; intersect it"):
        _ = Window(-1, 0, 4, 5).slices
