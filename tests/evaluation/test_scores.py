import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mapsr.errors import DataError
from mapsr.evaluation.confusion import Confusion
from mapsr.evaluation.scores import Scores

NAMES = ("water", "tree canopy", "low vegetation")

# truth has 10, 8 and 2 pixels; predictions are 9, 8, 2, and 1 pixel of nodata
HAND = Confusion(np.array([[7, 2, 0, 1], [1, 6, 1, 0], [1, 0, 1, 0]]))


def test_hand_computed_scores():
    scores = Scores.of(HAND)
    np.testing.assert_allclose(scores.iou, [7 / 12, 6 / 10, 1 / 3])
    np.testing.assert_allclose(scores.f1, [14 / 19, 12 / 16, 2 / 4])
    np.testing.assert_allclose(scores.users_accuracy, [7 / 9, 6 / 8, 1 / 2])
    np.testing.assert_allclose(scores.producers_accuracy, [7 / 10, 6 / 8, 1 / 2])
    assert scores.miou == pytest.approx((7 / 12 + 6 / 10 + 1 / 3) / 3)
    assert scores.oa == pytest.approx(14 / 20)
    assert scores.pixels == 20
    assert scores.iou.dtype == np.float64


def test_equals_scikit_learn():
    from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score
    from sklearn.metrics import recall_score as recall

    generator = np.random.default_rng(90125)
    truth, prediction = generator.integers(0, 4, (2, 17, 9), np.uint8)
    scores = Scores.of(Confusion.of(truth, prediction, 4))
    pair = truth.ravel(), prediction.ravel()
    np.testing.assert_allclose(scores.iou, jaccard_score(*pair, average=None))
    np.testing.assert_allclose(scores.f1, f1_score(*pair, average=None))
    np.testing.assert_allclose(scores.users_accuracy, precision_score(*pair, average=None))
    np.testing.assert_allclose(scores.producers_accuracy, recall(*pair, average=None))
    assert scores.miou == pytest.approx(jaccard_score(*pair, average="macro"))
    assert scores.oa == pytest.approx(accuracy_score(*pair))


def test_an_absent_class_is_left_out_but_its_false_positives_count():
    # 2 of the 4 true pixels of class 0 are given to class 1, which does not exist
    scores = Scores.of(Confusion(np.array([[2, 2, 0], [0, 0, 0]])))
    for values in (scores.iou, scores.f1, scores.users_accuracy, scores.producers_accuracy):
        assert np.isnan(values[1])
    assert scores.iou[0] == 0.5
    assert scores.miou == 0.5
    assert scores.oa == 0.5


def test_a_present_class_that_is_never_predicted_scores_zero():
    scores = Scores.of(Confusion(np.array([[3, 0, 0], [1, 0, 0]])))
    assert scores.iou.tolist() == [0.75, 0]
    assert scores.f1[1] == 0
    assert scores.producers_accuracy[1] == 0
    assert np.isnan(scores.users_accuracy[1])
    assert scores.miou == 0.375


def test_predicting_nothing_is_wrong_everywhere():
    truth = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
    scores = Scores.of(Confusion.of(truth, np.full((2, 3), 255, np.uint8), 2))
    assert (scores.miou, scores.oa, scores.pixels) == (0, 0, 5)


def test_pooling_is_not_the_mean_of_the_scenes():
    small = Confusion(np.array([[1, 0, 0], [0, 1, 0]]))
    large = Confusion(np.array([[0, 50, 0], [0, 50, 0]]))
    pooled = Scores.of(small + large).miou
    assert pooled == pytest.approx((1 / 51 + 51 / 101) / 2)
    assert pooled != pytest.approx((Scores.of(small).miou + Scores.of(large).miou) / 2)


@given(arrays(np.int64, (3, 4), elements=st.integers(0, 1000)))
def test_scores_stay_between_zero_and_one_and_iou_below_f1(counts):
    if not counts.any():
        return
    scores = Scores.of(Confusion(counts))
    assert 0 <= scores.miou <= 1
    assert 0 <= scores.oa <= 1
    present = counts.sum(axis=1) > 0
    np.testing.assert_array_equal(np.isnan(scores.iou), ~present)
    assert (scores.iou[present] <= scores.f1[present]).all()
    assert (scores.iou[present] <= scores.producers_accuracy[present]).all()


def test_as_dict_is_json_with_none_for_nan():
    scores = Scores.of(Confusion(np.array([[2, 2, 0], [0, 0, 0]])))
    found = json.loads(json.dumps(scores.as_dict(("water", "trees")), allow_nan=False))
    assert found["iou"] == {"water": 0.5, "trees": None}
    assert found["users_accuracy"] == {"water": 1.0, "trees": None}
    assert (found["miou"], found["oa"], found["pixels"]) == (0.5, 0.5, 4)


def test_nothing_to_score_is_refused():
    with pytest.raises(DataError, match="nothing to score: no pixel has truth"):
        Scores.of(Confusion.zeros(3))


def test_names_must_fit_the_classes():
    with pytest.raises(DataError, match="got 2 class names for scores of 3 classes"):
        Scores.of(HAND).as_dict(NAMES[:2])
