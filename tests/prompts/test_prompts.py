import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_ins import normal, pixel_features, random_features

from mapsr.errors import PromptError
from mapsr.prompts import ClassPrompts, PromptState
from mapsr.prompts.prompts import agreement, check_prompts

SIZE, CLASSES, DIM = (9, 14), 4, 6


def batch(seed):
    """Features of two images and labels, some of them nodata."""
    features = random_features(seed, SIZE, (3, 4), DIM, batch=2)
    numbers = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES + 1, (2, *SIZE), generator=numbers)
    return features, torch.where(labels == CLASSES, 255, labels)


def state_of(*batches):
    state = PromptState(CLASSES, DIM)
    for features, labels in batches:
        state.update(features, labels)
    return state


def test_prompts_are_the_means_of_dense_features():
    batches = [batch(80), batch(81)]
    means, counts = state_of(*batches).compute()
    dense = torch.cat([f.linear(torch.eye(DIM)).movedim(1, 3).flatten(0, 2) for f, _ in batches])
    labels = torch.cat([labels.flatten() for _, labels in batches])
    for number in range(CLASSES):
        own = dense[labels == number]
        torch.testing.assert_close(means[number], own.mean(0), rtol=1e-5, atol=1e-6)
        assert counts[number] == len(own)
    assert (means.dtype, counts.dtype) == (torch.float32, torch.int64)


def test_a_class_without_pixels_has_zeros_and_count_zero():
    features, labels = batch(84)
    labels[labels == 2] = 255
    means, counts = state_of((features, labels)).compute()
    assert counts[2] == 0
    assert not means[2].any()


def test_pixels_without_label_do_not_count():
    features, labels = batch(85)
    means, counts = state_of((features, torch.full_like(labels, 255))).compute()
    assert not counts.any() and not means.any()


def test_long_sums_keep_small_differences():
    # float32 sums lose one part in 2^24: after 2^10 pixels of 2^15 an added 2^-4 would be gone
    state = PromptState(1, 1)
    big = pixel_features(torch.full((1, 1, 32, 32), 2.0**15))
    small = pixel_features(torch.full((1, 1, 1, 1), 2.0**-4))
    state.update(big, torch.zeros(1, 32, 32, dtype=torch.int64))
    state.update(small, torch.zeros(1, 1, 1, dtype=torch.int64))
    assert float(state.sums) == 2.0**25 + 2.0**-4


def test_agreement_by_hand():
    scores = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.6, 0.4, 0.0]])
    labels = torch.tensor([0, 2, 2, 255])
    kept = agreement(scores.T[None, :, None], labels[None, None])
    assert kept.tolist() == [[[0, 255, 2, 255]]]


def prompts_of(*counts):
    counts = torch.tensor(counts)
    vectors = normal(86, len(counts), DIM) * (counts > 0)[:, None]
    return ClassPrompts(vectors, counts)


def test_cosine_is_to_the_prompts_that_exist():
    features, _ = batch(87)
    prompts = prompts_of(5, 0, 3, 1)
    assert prompts.present.tolist() == [True, False, True, True]
    expected = features.cosine(prompts.vectors[[0, 2, 3]])
    torch.testing.assert_close(prompts.cosine(features), expected)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=6).filter(any), st.integers(0, 10**6))
def test_a_class_without_a_prompt_never_wins(counts, seed):
    prompts = prompts_of(*counts)
    scores = normal(seed, 2, int(prompts.present.sum()), 3, 5) - 5
    every = prompts.expand(scores)
    assert every.shape == (2, len(counts), 3, 5)
    assert torch.equal(every[:, prompts.present], scores)
    assert (every[:, ~prompts.present] == float("-inf")).all()
    assert prompts.present[every.argmax(1)].all()


def test_a_class_without_a_prompt_is_reported(caplog):
    with caplog.at_level(logging.WARNING, "mapsr"):
        check_prompts(prompts_of(5, 0, 3), ["water", "tree", "built"], "coarse")
    assert [r.getMessage() for r in caplog.records] == [
        "no pixels for a prompt of tree (coarse): the map will not show it"
    ]


def test_two_prompts_of_two_classes_say_nothing(caplog):
    check_prompts(prompts_of(1, 1), ["water", "tree"], "coarse")
    assert not caplog.records


@pytest.mark.parametrize(("counts", "left"), [((0, 0, 3), 1), ((0, 0, 0), 0)])
def test_fewer_than_two_prompts_are_an_error(counts, left):
    with pytest.raises(PromptError, match=rf"Only {left} of 3 classes .*\(truth\)"):
        check_prompts(prompts_of(*counts), ["water", "tree", "built"], "truth")
