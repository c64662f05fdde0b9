import numpy as np
import pytest

from mapsr.errors import DataError
from mapsr.evaluation.calibration import Reliability, product_probabilities


def drawn(seed, count=200_000, classes=3, sharpen=1.0):
    """Probabilities and a truth drawn from them; sharpened, they are too sure of themselves."""
    random = np.random.default_rng(seed)
    honest = random.dirichlet(np.full(classes, 0.5), count)
    truth = (honest.cumsum(1) < random.random((count, 1))).sum(1).clip(max=classes - 1)
    stated = honest**sharpen
    return (stated / stated.sum(1, keepdims=True)).T, truth.astype(np.uint8)


def test_reliability_by_hand():
    probabilities = np.array([[0.9, 0.8, 0.3, 0.5, 0.9], [0.1, 0.2, 0.7, 0.5, 0.1]])
    found = Reliability.of(probabilities, np.array([0, 1, 1, 255, 0], np.uint8), bins=2)
    assert (found.counts.tolist(), found.right.tolist()) == ([0, 4], [0, 3])
    assert found.error == pytest.approx(abs(0.9 + 0.8 + 0.7 + 0.9 - 3) / 4)
    np.testing.assert_allclose(found.diagram[1], [3.3 / 4, 3 / 4, 1])
    assert np.isnan(found.diagram[0, :2]).all() and found.diagram[0, 2] == 0


def test_honest_probabilities_have_no_error_and_boastful_ones_do():
    assert Reliability.of(*drawn(1)).error < 0.005
    boastful = Reliability.of(*drawn(1, sharpen=3))
    assert boastful.error > 0.05
    filled = boastful.counts > 1000
    assert (boastful.diagram[filled, 0] >= boastful.diagram[filled, 1] - 0.01).all()


def test_reliabilities_of_scenes_add_up():
    probabilities, truth = drawn(2, count=1000)
    halves = [
        Reliability.of(probabilities[:, part], truth[part])
        for part in (slice(300), slice(300, None))
    ]
    both, whole = halves[0] + halves[1], Reliability.of(probabilities, truth)
    assert both.error == pytest.approx(whole.error)
    assert both.counts.tolist() == whole.counts.tolist()
    assert (Reliability.zeros() + whole).error == pytest.approx(whole.error)


def test_pixels_without_probabilities_are_ignored():
    probabilities = np.array([[[0.9, np.nan]], [[0.1, np.nan]]])
    assert Reliability.of(probabilities, np.zeros((1, 2), np.uint8)).counts.sum() == 1


@pytest.mark.parametrize(
    ("probabilities", "truth", "message"),
    [
        (np.ones((2, 3)) / 2, np.zeros(4), r"\(2, 3\) and truth \(4,\)"),
        (np.ones((2, 3)) / 2, np.full(3, 2), "value 2, expected"),
        (np.ones((2, 3)), np.zeros(3), "are not probabilities"),
        (np.array([[-0.5], [1.5]]), np.zeros(1), "are not probabilities"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities, truth, message):
    with pytest.raises(DataError, match=message):
        Reliability.of(probabilities, truth.astype(np.uint8))


def test_no_pixels_have_no_error():
    empty = Reliability.of(np.ones((1, 3)), np.full(3, 255, np.uint8))
    with pytest.raises(DataError, match="no pixel with truth"):
        empty.error  # noqa: B018
    with pytest.raises(DataError, match="20 and 5 bins"):
        empty + Reliability.zeros(5)


SHARES = np.array([[0.8, 0.2, 0], [0.1, 0.6, 0.3], [0, 0.1, 0.9]])


def test_probabilities_of_the_product_by_hand():
    frequency = np.array([10, 10, 0])
    found = product_probabilities(
        np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 0]]), SHARES, frequency
    )
    expected = [[8 / 9, 1 / 4, (8 / 9 + 1 / 4) / 2], [1 / 9, 3 / 4, (1 / 9 + 3 / 4) / 2], [0] * 3]
    np.testing.assert_allclose(found, expected)


def test_calibration_without_truth_sees_what_truth_sees():
    frequency = np.array([0.5, 0.3, 0.2])
    turned = SHARES * frequency[:, None] / (SHARES * frequency[:, None]).sum(0)
    random = np.random.default_rng(5)
    errors = []
    for sharpen in (1.0, 4.0):
        probabilities, truth = drawn(6, sharpen=sharpen)
        product = (turned[:, truth].cumsum(0) < random.random(truth.shape)).sum(0)
        seen = product_probabilities(probabilities, SHARES, frequency)
        errors.append(Reliability.of(seen, product.astype(np.uint8)).error)
    assert errors[0] < 0.005 < 0.03 < errors[1]


def test_a_class_that_no_product_class_holds_is_refused():
    with pytest.raises(DataError, match="target class 0 has probability"):
        product_probabilities(np.ones((3, 1)) / 3, SHARES, np.array([0, 0, 1]))
