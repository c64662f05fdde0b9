import numpy as np
import pytest

from mapsr.data.landscape.canvas import (
    Canvas,
    Curve,
    Rectangle,
    grain,
    rough_noise,
    smooth_noise,
)

CANVAS = Canvas(height=20, width=31, margin=5)  # 30 x 41


def test_canvas_holds_the_image_and_its_margin():
    assert CANVAS.shape == (30, 41)
    assert CANVAS.extent == 20
    assert np.zeros(CANVAS.shape)[CANVAS.image].shape == (20, 31)


def test_a_canvas_without_margin_is_the_image():
    canvas = Canvas(3, 4, 0)
    assert np.zeros(canvas.shape)[canvas.image].shape == (3, 4)


def test_inside_drops_the_margin():
    assert CANVAS.inside(np.ones(CANVAS.shape, dtype=bool)).sum() == 20 * 31


def test_axes_run_from_the_middle():
    along, across = Canvas(3, 5, 0).axes(0.0)
    assert np.broadcast_to(along, (3, 5))[0].tolist() == [-2, -1, 0, 1, 2]
    assert np.broadcast_to(across, (3, 5))[:, 0].tolist() == [-1, 0, 1]
    along, across = Canvas(3, 5, 0).axes(np.pi / 2)  # down the rows
    assert along[:, 0] == pytest.approx([-1, 0, 1], abs=1e-6)
    assert across[0] == pytest.approx([2, 1, 0, -1, -2], abs=1e-6)


@pytest.mark.parametrize("draw", [smooth_noise, rough_noise])
def test_noise_is_standardised_and_smooth(draw):
    noise = draw((60, 85), 20, np.random.default_rng(8219))
    assert (noise.shape, noise.dtype) == ((60, 85), np.float32)
    assert noise.mean() == pytest.approx(0, abs=1e-5)
    assert noise.std() == pytest.approx(1, abs=1e-4)
    neighbours = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
    assert neighbours > 0.85


def test_smooth_noise_has_its_wavelength():
    noise = smooth_noise((128, 160), 16, np.random.default_rng(5501))
    power = (np.abs(np.fft.fft(noise, axis=1)) ** 2).sum(axis=0)[:80]
    # along one axis, an isotropic wave of 16 m shows 16 m at the shortest
    assert power[1:16].sum() > 0.9 * power.sum()


def test_grain_is_finer_than_any_smooth_noise():
    noise = grain((60, 85), np.random.default_rng(4))
    assert noise.std() == pytest.approx(1, abs=1e-4)
    far = np.corrcoef(noise[:, 4:].ravel(), noise[:, :-4].ravel())[0, 1]
    assert abs(far) < 0.1


def test_distance_to_a_straight_curve():
    distance = Curve(0.0, 3.0, ()).distance(CANVAS)
    assert distance.shape == CANVAS.shape
    assert distance[:, 0].tolist() == [row - 14.5 - 3 for row in range(30)]


def test_a_winding_curve_passes_where_it_says():
    curve = Curve(0.0, 0.0, ((4.0, 40.0, 0.0),))
    position, slope = curve.at(10.0)  # a quarter wave: the crest
    assert (float(position), float(slope)) == (pytest.approx(4), pytest.approx(0, abs=1e-6))
    position, slope = curve.at(0.0)
    assert (float(position), float(slope)) == (0, pytest.approx(8 * np.pi / 40))
    crossing = np.abs(curve.distance(CANVAS)).argmin(axis=0)
    assert crossing[20] in (14, 15) and crossing[30] in (18, 19)


def test_an_upright_rectangle_covers_its_area():
    shape = Rectangle((-0.5, 0.0), 7, 4, 0.0)
    mask = np.zeros(CANVAS.shape, dtype=bool)
    mask[shape.window(CANVAS)] = shape.inside(CANVAS)
    rows, columns = np.nonzero(mask)
    # the middle of the canvas is (14.5, 20): the centre is on row 14
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 16, 17, 23)


def test_a_turned_rectangle_keeps_its_area():
    canvas = Canvas(100, 120, 0)
    areas = [
        Rectangle((3.2, -7.1), 40, 20, angle).inside(canvas).sum() for angle in (0.1, 0.8, 2.5)
    ]
    assert areas == [pytest.approx(800, rel=0.02)] * 3


def test_a_rectangle_off_the_canvas_covers_nothing():
    shape = Rectangle((500.0, -500.0), 7, 4, 0.3)
    assert shape.inside(CANVAS).size == 0
    assert np.zeros(CANVAS.shape)[shape.window(CANVAS)].size == 0


def test_beside_follows_the_direction():
    assert Rectangle((1.0, 2.0), 0, 0, 0.0).beside(5, 3) == pytest.approx((4, 7))
    assert Rectangle((1.0, 2.0), 0, 0, np.pi / 2).beside(5, 3) == pytest.approx((6, -1))
