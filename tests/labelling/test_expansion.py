"""Stage 2: what a model's vote can change, and what it can't."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_votes import PRODUCTS, random_patch, to_index

from mapsr.errors import DataError
from mapsr.evaluation import Confusion
from mapsr.labelling.expansion import fill_holes, model_weight, revote
from mapsr.labelling.prompts import PatchPrompts, Prompt
from mapsr.labelling.voting import Rule, vote

TABLE3 = Rule(tuple(range(8)), (4, 5, 4, 3, 3, 4, 4, 4))


def test_model_tips_the_scale_by_hand():
    """Footprints alone lack a tenth; the model adds its two, on one pixel of two."""
    mask = np.ones((1, 2), bool)
    patch = PatchPrompts.of((1, 2), PRODUCTS, [Prompt(0, 0, 3, mask)])
    first = vote(patch, TABLE3)
    second = revote(first, patch, np.array([[0, 4]], np.uint8), 2, TABLE3)
    assert first.label.tolist() == [[255, 255]]
    assert second.label.tolist() == [[0, 255]]
    assert second.confidence.tolist() == [[5, 0]]
    assert second.provenance.tolist() == [[0b1000001, 0]]
    assert second.round.tolist() == [[1, 255]]
    assert second.rounds == 1
    assert fill_holes(second, np.array([[7, 4]], np.uint8)).tolist() == [[0, 4]]


@pytest.mark.parametrize("weight", [1, 2, 3])
def test_all_rounds_of_the_oracle(reference, weight):
    arrays = reference.arrays
    first = vote(reference.patch, TABLE3)
    predicted = [to_index(arrays[f"prediction_{number}"]) for number in (1, 2)]
    second = revote(first, reference.patch, predicted[0], weight, TABLE3)
    assert (second.label == to_index(arrays[f"label_1_weight_{weight}"])).all()
    # the second round of every weight starts from the first one of weight 2
    middle = revote(first, reference.patch, predicted[0], 2, TABLE3)
    third = revote(middle, reference.patch, predicted[1], weight, TABLE3)
    assert (third.label == to_index(arrays[f"label_2_weight_{weight}"])).all()
    if weight == 2:
        assert (second.provenance == arrays["provenance_1"]).all()
        assert (third.provenance == arrays["provenance_2"]).all()
        assert (fill_holes(third, predicted[1]) == to_index(arrays["final"])).all()
        assert set(np.unique(third.round)) == {0, 1, 2, 255}
        final = Confusion.of(to_index(arrays["truth"]), fill_holes(third, predicted[1]), 8)
        assert (final.counts == np.roll(arrays["confusion_final"], -1, 1)).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), weight=st.integers(1, 9))
def test_newly_trusted_pixels_have_the_class_of_the_model(seed, weight):
    generator = np.random.default_rng(seed)
    patch = random_patch(generator, (7, 12))
    labels = vote(patch, TABLE3)
    for _ in range(2):
        model = generator.integers(0, 8, patch.size).astype(np.uint8)
        after = revote(labels, patch, model, weight, TABLE3)
        newly = after.trusted & ~labels.trusted
        assert (after.label[newly] == model[newly]).all()
        assert (after.label[labels.trusted] == labels.label[labels.trusted]).all()
        assert (after.provenance[newly] >> len(PRODUCTS) == 1).all()
        labels = after


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_filled_map_after_one_round_does_not_depend_on_the_weight(seed):
    generator = np.random.default_rng(seed)
    patch = random_patch(generator, (11, 6))
    first = vote(patch, TABLE3)
    model = generator.integers(0, 8, patch.size).astype(np.uint8)
    filled = [
        fill_holes(revote(first, patch, model, weight, TABLE3), model) for weight in (1, 2, 3, 9)
    ]
    assert all((one == filled[0]).all() for one in filled)


def test_weight_of_the_model_by_its_accuracy(reference):
    for accuracy, weight in reference.facts["model_weight_cases"]:
        assert model_weight(accuracy) == weight


def test_weight_of_the_model_by_hand():
    assert [model_weight(value) for value in (0, 80, 80.12, 85, 85.01, 100)] == [1, 1, 2, 2, 3, 3]
    with pytest.raises(DataError, match=r"accuracy is 100\.5, expected percent in 0\.\.100"):
        model_weight(100.5)


def test_pixels_on_which_the_model_abstains_stay_undetermined():
    patch = random_patch(np.random.default_rng(4), (5, 8))
    first = vote(patch, TABLE3)
    nothing = np.full((5, 8), 255, np.uint8)
    after = revote(first, patch, nothing, 3, TABLE3)
    assert (after.label == first.label).all()
    assert (fill_holes(after, nothing) == first.label).all()


def test_maps_that_do_not_fit_are_refused():
    patch = random_patch(np.random.default_rng(5), (5, 8))
    first = vote(patch, TABLE3)
    with pytest.raises(DataError, match=r"model's map is uint8 \(8, 5\), expected uint8 \(5, 8\)"):
        revote(first, patch, np.zeros((8, 5), np.uint8), 2, TABLE3)
    with pytest.raises(DataError, match=r"holds 8, expected 0\.\.7 or 255"):
        revote(first, patch, np.full((5, 8), 8, np.uint8), 2, TABLE3)
    with pytest.raises(DataError, match="model's map is int64"):
        fill_holes(first, np.zeros((5, 8), np.int64))
    with pytest.raises(DataError, match=r"before are \(5, 8\), expected the patch.s \(1, 2\)"):
        revote(first, PatchPrompts.of((1, 2), PRODUCTS, []), np.zeros((1, 2), np.uint8), 2, TABLE3)
