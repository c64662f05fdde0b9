import numpy as np
import pytest

from mapsr import budgets
from mapsr.errors import DataError
from mapsr.evaluation.confusion import Confusion


def labels(*rows):
    return np.array(rows, np.uint8)


def test_hand_counted_case_with_nodata_on_both_sides():
    truth = labels([0, 0, 1], [1, 2, 255])
    prediction = labels([0, 1, 1], [255, 2, 0])
    counts = Confusion.of(truth, prediction, 3).counts
    assert counts.dtype == np.int64
    assert counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]]


def test_equals_scikit_learn_where_everything_is_predicted():
    from sklearn.metrics import confusion_matrix

    generator = np.random.default_rng(8412)
    truth, prediction = generator.integers(0, 4, (2, 13, 7), np.uint8)
    counts = Confusion.of(truth, prediction, 4).counts
    expected = confusion_matrix(truth.ravel(), prediction.ravel(), labels=range(4))
    np.testing.assert_array_equal(counts[:, :4], expected)
    assert counts[:, 4].sum() == 0


def test_blocks_give_what_the_whole_gives(monkeypatch):
    generator = np.random.default_rng(3151)
    truth, prediction = generator.choice(np.array([0, 1, 2, 255], np.uint8), (2, 11, 6))
    whole = Confusion.of(truth, prediction, 3)
    monkeypatch.setattr(budgets, "COUNTED_PX", budgets.Budget(5))
    np.testing.assert_array_equal(Confusion.of(truth, prediction, 3).counts, whole.counts)
    assert whole.counts.sum() == (truth != 255).sum()


def test_scenes_add_up_and_zeros_change_nothing():
    one = Confusion.of(labels([0, 1]), labels([0, 0]), 2)
    two = Confusion.of(labels([1, 1, 255]), labels([1, 255, 0]), 2)
    total = Confusion.zeros(2) + one + two
    assert total.counts.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert one.counts.tolist() == [[1, 0, 0], [1, 0, 0]]


def test_a_scene_without_truth_counts_nothing():
    empty = Confusion.of(labels([255, 255]), labels([0, 255]), 2)
    assert not empty.counts.any()


def test_different_shapes_are_refused():
    with pytest.raises(DataError, match=r"truth is \(1, 2\) and prediction \(2, 1\)"):
        Confusion.of(labels([0, 1]), labels([0], [1]), 2)


@pytest.mark.parametrize("what", ["truth", "prediction"])
def test_a_value_that_is_not_a_class_is_refused(what):
    good, bad = labels([0, 1, 255]), labels([0, 2, 255])
    pair = (bad, good) if what == "truth" else (good, bad)
    with pytest.raises(DataError, match=rf"{what} has the value 2, expected 0\.\.1 or 255"):
        Confusion.of(*pair, 2)


def test_labels_of_another_type_are_refused():
    with pytest.raises(DataError, match="prediction labels are int64, expected uint8"):
        Confusion.of(labels([0, 1]), np.array([[0, 1]]), 2)


def test_adding_other_classes_is_refused():
    with pytest.raises(DataError, match="can't add confusion matrices of 2 and 3 classes"):
        Confusion.zeros(2) + Confusion.zeros(3)


@pytest.mark.parametrize(
    "counts",
    [
        np.zeros((3, 3), np.int64),
        np.zeros((0, 1), np.int64),
        np.zeros((3, 4)),
        np.full((3, 4), -1),
    ],
)
def test_counts_of_another_form_are_refused(counts):
    with pytest.raises(DataError, match=r"expected int64 \(C, C \+ 1\) without negative counts"):
        Confusion(counts)
