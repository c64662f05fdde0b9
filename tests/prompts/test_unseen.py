"""Pixels as prompts see them that were fitted on other chips."""

import torch
from stand_ins import normal

from mapsr.errors import PromptError
from mapsr.prompts import ClassPrompts, Sample
from mapsr.prompts.unseen import cosines_of, seen_by_others

DIM = 3


def sample(chips):
    features = normal(200, len(chips), DIM)
    return Sample(features, torch.arange(len(chips)) % 4, torch.tensor(chips))


def remembered(fits):
    """A fit whose two prompts are the mean and the first of its features; keeps what it saw."""

    def fit(pixels):
        features = (pixels.features + pixels.mean).float()
        fits.append(pixels.products.tolist())
        vectors = torch.stack([features.mean(0), features[0], torch.zeros(DIM)])
        return ClassPrompts(vectors, torch.tensor([len(features), 1, 0]))

    return fit


def test_no_pixel_is_seen_by_prompts_of_its_own_chip():
    # chips 5 and 9 against chip 7: every second of those that have pixels
    drawn = sample([5, 5, 7, 7, 7, 9])
    fits = []
    unseen = seen_by_others(drawn, remembered(fits))
    even, odd = [0, 1, 5], [2, 3, 4]
    assert fits == [drawn.labels[even].tolist(), drawn.labels[odd].tolist()]
    assert unseen.products.tolist() == drawn.labels[odd + even].tolist()
    for place, others, own in ((0, even, 2), (3, odd, 0)):
        mean, first = drawn.features[others].mean(0), drawn.features[others[0]]
        seen = drawn.features[own]
        expected = [torch.cosine_similarity(seen, one, 0).item() for one in (mean, first)]
        torch.testing.assert_close(unseen.cosine[place, :2], torch.tensor(expected))
    assert torch.isneginf(unseen.cosine[:, 2]).all()


def test_one_chip_has_no_others():
    fits = []
    assert seen_by_others(sample([3, 3, 3]), remembered(fits)) is None
    assert fits == []


def test_a_half_that_will_not_do_for_a_fit_ends_the_question_not_the_fit():
    def refuse(pixels):
        raise PromptError("one class alone")

    assert seen_by_others(sample([0, 1, 1]), refuse) is None


def test_a_feature_of_zeros_is_like_no_prompt():
    prompts = ClassPrompts(torch.eye(2, DIM), torch.tensor([1, 1]))
    assert cosines_of(torch.zeros(1, DIM), prompts).tolist() == [[0, 0]]
