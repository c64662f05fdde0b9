import numpy as np
import pytest

from mapsr.errors import DataError
from mapsr.evaluation.composition import Composition, doubt_of


def test_composition_by_hand():
    probabilities = np.array([[0.9, 0.7, 0.2, np.nan, 0.4], [0.1, 0.3, 0.8, np.nan, 0.6]])
    products = np.array([0, 0, 1, 1, 255], np.uint8)
    found = Composition.of(probabilities, products, (0, 255, 1))
    np.testing.assert_allclose(found.shares[:2], [[0.8, 0.2], [0.2, 0.8]])
    assert found.counts.tolist() == [2, 1, 0]
    assert found.doubt[0] == pytest.approx(0.2)
    assert np.isnan(found.doubt[1:]).all() and np.isnan(found.shares[2]).all()
    first, second = found.as_rows(["lake", "ice", "town"], ["water", "land"])
    assert first == {
        "class": "lake",
        "pixels": 2,
        "water": pytest.approx(0.8),
        "land": pytest.approx(0.2),
        "not_its_class": pytest.approx(0.2),
    }
    assert (second["class"], second["not_its_class"]) == ("ice", None)


def test_compositions_of_scenes_add_up():
    random = np.random.default_rng(8)
    probabilities = random.dirichlet([1, 1, 1], 500).T
    products = random.integers(0, 3, 500).astype(np.uint8)
    table = (2, 1, 0)
    halves = [
        Composition.of(probabilities[:, s], products[s], table)
        for s in (slice(99), slice(99, None))
    ]
    whole = Composition.of(probabilities, products, table)
    both = halves[0] + halves[1]
    np.testing.assert_allclose(both.shares, whole.shares)
    np.testing.assert_allclose(both.doubt, whole.doubt)


def test_compositions_that_do_not_fit_are_refused():
    one = Composition.of(np.ones((1, 2)), np.zeros(2, np.uint8), (0,))
    with pytest.raises(DataError, match=r"\(1, 1\) and \(1, 2\)"):
        one + Composition.of(np.ones((2, 2)) / 2, np.zeros(2, np.uint8), (0,))
    with pytest.raises(DataError, match="holds the class 3"):
        Composition.of(np.ones((1, 2)), np.full(2, 3, np.uint8), (0,))
    with pytest.raises(DataError, match=r"\(1, 2\) and the product \(3,\)"):
        Composition.of(np.ones((1, 2)), np.zeros(3, np.uint8), (0,))


def test_doubt_in_the_product_by_hand():
    probabilities = np.array([[[0.7, 0.1, 0.3, 1]], [[0.2, 0.6, 0.3, 0]], [[0.1, 0.3, 0.4, 0]]])
    products = np.array([[0, 0, 1, 255]], np.uint8)
    found = doubt_of(probabilities, products, (0, 255))  # the second class stands for none
    assert found.dtype == np.float32 and found[0, :2].tolist() == pytest.approx([0.3, 0.9])
    assert np.isnan(found[0, 2:]).all()
    total = Composition.of(probabilities, products, (0, 255))
    assert total.doubted[0] == pytest.approx(np.nansum(found))
