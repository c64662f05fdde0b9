"""Stage 1 by hand, by a slow reference, and against the arrays of a brute-force oracle."""

import time
from fractions import Fraction

import numpy as np
import pytest
from make_votes import LEGEND, PRODUCTS, patch_of, random_patch, to_index
from threadpoolctl import threadpool_limits

from mapsr.errors import ConfigError, DataError
from mapsr.labelling.prompts import PatchPrompts, Prompt
from mapsr.labelling.voting import Rule, confidences, vote

TABLE3 = Rule(tuple(range(8)), (4, 5, 4, 3, 3, 4, 4, 4))


def one_pixel(*votes: tuple[int, int, int]) -> PatchPrompts:
    """Prompts (product, class, tenths) at a single pixel."""
    mask = np.ones((1, 1), bool)
    return PatchPrompts.of((1, 1), PRODUCTS, [Prompt(*vote, mask) for vote in votes])


def test_label_confidence_and_provenance_by_hand():
    """Footprints and impervious land reach buildings; roads, with more weight, come after."""
    patch = one_pixel((0, 0, 3), (4, 0, 1), (2, 2, 2), (3, 2, 1), (4, 2, 1), (5, 2, 1))
    labels = vote(patch, TABLE3)
    assert labels.label.tolist() == [[0]]
    assert labels.confidence.tolist() == [[4]]
    assert labels.provenance.tolist() == [[0b010001]]
    assert labels.round.tolist() == [[0]]
    assert labels.reached.tolist() == [[2]]


def test_priority_decides_not_the_larger_sum():
    patch = one_pixel((0, 0, 3), (4, 0, 1), (2, 2, 2), (3, 2, 1), (4, 2, 1), (5, 2, 1))
    later = Rule((2, 0, 1, 3, 4, 5, 6, 7), TABLE3.thresholds)
    assert vote(patch, later).label.tolist() == [[2]]


def test_sum_of_two_tenths_and_one_reaches_three_tenths_exactly():
    """In binary fractions .2 + .1 is more than .3, so that the strict rule would accept it."""
    assert Fraction(0.2 + 0.1) > Fraction(0.3)
    patch = one_pixel((2, 3, 2), (3, 3, 1))
    assert vote(patch, TABLE3).label.tolist() == [[3]]
    strict = Rule(TABLE3.priority, TABLE3.thresholds, strict=True)
    labels = vote(patch, strict)
    assert labels.label.tolist() == [[255]]
    assert labels.confidence.tolist() == labels.provenance.tolist() == [[0]]
    assert labels.round.tolist() == [[255]]


def test_no_product_leaves_all_undetermined():
    labels = vote(PatchPrompts.of((3, 5), PRODUCTS, []), TABLE3)
    assert labels.label.shape == (3, 5)
    assert (labels.label == 255).all()
    assert not labels.trusted.any()


def test_against_a_slow_reference_pixel_by_pixel():
    patch = random_patch(np.random.default_rng(1), (9, 14))
    labels = vote(patch, TABLE3)
    votes = confidences(patch, 8)
    for place in np.ndindex(9, 14):
        cast = [one for one in patch.prompts if one.mask[place]]
        want, confidence, sources = 255, 0, 0
        for target in reversed(TABLE3.priority):
            total = sum(one.weight for one in cast if one.target == target)
            assert votes[(target, *place)] == total
            if total >= TABLE3.thresholds[target]:
                want, confidence = target, total
                sources = sum(1 << one.product for one in cast if one.target == target)
        assert labels.label[place] == want
        assert labels.confidence[place] == confidence
        assert labels.provenance[place] == sources
    assert 0.2 < labels.trusted.mean() < 0.9


def test_more_votes_never_take_trust_away():
    generator = np.random.default_rng(2)
    patch = random_patch(generator, (31, 17))
    less = [
        Prompt(p.product, p.target, p.weight, p.mask & (generator.random(p.mask.shape) < 0.8))
        for p in patch.prompts
    ]
    weaker = vote(PatchPrompts.of(patch.size, PRODUCTS, less), TABLE3)
    assert not (weaker.trusted & ~vote(patch, TABLE3).trusted).any()
    assert weaker.trusted.sum() < vote(patch, TABLE3).trusted.sum()


def test_all_arrays_of_the_oracle(reference):
    arrays = reference.arrays
    labels = vote(reference.patch, TABLE3)
    assert (confidences(reference.patch, 8) == arrays["confidence_0"]).all()
    assert (labels.label == to_index(arrays["label_0"])).all()
    assert (labels.confidence == arrays["winning_0"]).all()
    assert (labels.provenance == arrays["provenance_0"]).all()
    assert (labels.reached == arrays["reached_0"]).all()
    strict = vote(reference.patch, Rule(TABLE3.priority, TABLE3.thresholds, strict=True))
    assert (strict.label == to_index(arrays["label_0_strict"])).all()
    # what fractions would have made of it
    assert (labels.label == to_index(arrays["label_0_float_ge"])).all()
    assert (strict.label != to_index(arrays["label_0_float_gt"])).sum() == 4


def test_classes_of_the_reference_are_those_of_the_legend(reference):
    renamed = {"grass_shrub": "grass and shrubs", "oisas": "other impervious"}
    named = [renamed.get(name, name) for name in reference.facts["classes"].values()]
    assert tuple(named) == LEGEND.names
    assert tuple(map(int, reference.facts["classes"])) == LEGEND.codes


def test_large_patch_is_fast():
    """A patch of 1024 x 1024 pixels with 24 prompts and more takes under 0.2 s in one thread."""
    patch = random_patch(np.random.default_rng(3), (1024, 1024))
    assert len(patch.prompts) >= 24
    taken = []
    with threadpool_limits(1):
        for _ in range(3):
            start = time.process_time()
            vote(patch, TABLE3)
            taken.append(time.process_time() - start)
    assert min(taken) < 0.2


def test_rule_without_a_threshold_for_a_class_of_the_priority_is_refused():
    with pytest.raises(ConfigError, match=r"priority is \[0, 1\], expected .* once: \[0\]"):
        Rule((0, 1), (3, None))
    with pytest.raises(ConfigError, match=r"threshold is 0 tenths, expected at least 1"):
        Rule((0,), (0,))


def test_weights_that_a_byte_cannot_hold_are_refused():
    mask = np.ones((2, 3), bool)
    prompts = [Prompt(product, 0, 90, mask) for product in range(3)]
    with pytest.raises(ConfigError, match="class 0 sum to 270 tenths, expected at most 255"):
        PatchPrompts.of((2, 3), PRODUCTS, prompts)


def test_prompts_that_do_not_fit_the_patch_are_refused():
    mask = np.ones((2, 3), bool)
    with pytest.raises(DataError, match=r"mask of product 0 is \(2, 3\), expected .*\(3, 2\)"):
        PatchPrompts.of((3, 2), PRODUCTS, [Prompt(0, 0, 1, mask)])
    with pytest.raises(DataError, match="prompt is of product 6, expected one of 6 products"):
        PatchPrompts.of((2, 3), PRODUCTS, [Prompt(6, 0, 1, mask)])
    with pytest.raises(DataError, match="is uint8"):
        Prompt(0, 0, 1, mask.astype(np.uint8))
    with pytest.raises(ConfigError, match="weight of product 2 is 0 tenths, expected at least 1"):
        Prompt(2, 0, 0, mask)
    with pytest.raises(ConfigError, match="There are 32 products, expected at most 31"):
        PatchPrompts.of((2, 3), ["p"] * 32, [])


def test_drawn_patch_has_the_shape_of_its_products():
    """H and W differ, so that a swap of the two would fail."""
    codes = {name: np.zeros((2, 5), int) for name in PRODUCTS[:-1]}
    codes["cbf"][1, 4] = codes["gisa"][1, 4] = 1
    labels = vote(patch_of(codes, np.zeros((8, 2, 5), bool)), TABLE3)
    assert labels.trusted.tolist() == [[False] * 5, [False] * 4 + [True]]
