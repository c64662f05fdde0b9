import numpy as np
import pytest
import torch

from mapsr.training import TrainingSettings
from mapsr.training.augment import (
    Patch,
    flip,
    flip_and_rotate,
    has_gaps,
    largest_share,
    mosaic,
    resample,
    rotate,
    to_square,
)


def telling(height=3, width=5, start=0):
    """A patch whose labels and first band hold the number of each pixel."""
    numbers = start + torch.arange(height * width).view(height, width)
    image = torch.stack([numbers, numbers + 100]).float() / 255
    return Patch(image, numbers.to(torch.uint8))


def agrees(patch):
    return torch.equal((patch.image[0] * 255).round().to(torch.uint8), patch.labels)


def test_flips_by_hand():
    assert flip(telling(2, 3), 1).labels.tolist() == [[2, 1, 0], [5, 4, 3]]
    assert flip(telling(2, 3), 0).labels.tolist() == [[3, 4, 5], [0, 1, 2]]


def test_turns_by_hand():
    assert rotate(telling(2, 3), 1).labels.tolist() == [[2, 5], [1, 4], [0, 3]]
    assert rotate(telling(2, 3), 2).labels.tolist() == [[5, 4, 3], [2, 1, 0]]


@pytest.mark.parametrize("axis", [0, 1])
def test_two_flips_and_four_turns_change_nothing(axis):
    patch = telling()
    twice = flip(flip(patch, axis), axis)
    around = rotate(rotate(patch, 1), 3)
    for one in (twice, around):
        assert torch.equal(one.image, patch.image)
        assert torch.equal(one.labels, patch.labels)


def test_labels_follow_the_image_whatever_is_drawn():
    settings = TrainingSettings(flip_horizontal=0.5, flip_vertical=0.5, rotate=0.5)
    random = np.random.default_rng(1)
    drawn = [flip_and_rotate(telling(), settings, random) for _ in range(200)]
    assert all(agrees(patch) for patch in drawn)
    # the eight ways to lay a rectangle on its places
    assert len({str(patch.labels.tolist()) for patch in drawn}) == 8


def test_without_probabilities_nothing_happens():
    patch = flip_and_rotate(telling(), TrainingSettings(), np.random.default_rng(2))
    assert torch.equal(patch.labels, telling().labels)


def test_resampling_by_hand():
    patch = resample(Patch(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[7, 255]]).byte()), 2)
    assert patch.labels.tolist() == [[7, 7, 255, 255]] * 2
    # half-pixel centres: -0.25, 0.25, 0.75 and 1.25 of the way
    assert patch.image[0].tolist() == [[0.0, 0.25, 0.75, 1.0]] * 2


@pytest.mark.parametrize(
    ("scale", "size"), [(0.75, (5, 8)), (1.0, (7, 11)), (1.5, (10, 16)), (0.01, (1, 1))]
)
def test_resampling_keeps_the_labels_legal(scale, size):
    labels = torch.randint(0, 3, (7, 11), generator=torch.Generator().manual_seed(3)).byte()
    labels[0] = 255
    patch = resample(Patch(torch.rand(2, 7, 11), labels), scale)
    assert patch.labels.shape == patch.image.shape[1:] == size
    assert patch.labels.dtype == torch.uint8
    assert set(patch.labels.unique().tolist()) <= {0, 1, 2, 255}


def test_padding_repeats_the_image_and_has_no_label():
    patch = to_square(telling(2, 3), 4)
    assert patch.labels.tolist() == [[0, 1, 2, 255], [3, 4, 5, 255], [255] * 4, [255] * 4]
    numbers = (patch.image[0] * 255).round().int().tolist()
    assert numbers == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]


def test_what_is_too_large_is_cut():
    assert to_square(telling(3, 5), 2).labels.tolist() == [[0, 1], [5, 6]]
    assert to_square(telling(5, 2), 3).labels.tolist() == [[0, 1, 255], [2, 3, 255], [4, 5, 255]]


def test_four_parts_by_hand():
    parts = [telling(2, 3, start) for start in (0, 50, 100, 150)]
    patch = mosaic(parts, 1, 2)
    assert patch.labels.tolist() == [[0, 1, 52], [103, 104, 155]]
    assert agrees(patch)
    assert torch.equal(parts[0].labels, telling(2, 3).labels)


@pytest.mark.parametrize(("row", "col"), [(0, 0), (2, 3), (0, 3)])
def test_parts_may_be_empty(row, col):
    parts = [telling(2, 3, start) for start in (0, 50, 100, 150)]
    expected = parts[2 * (row == 0) + (col == 0)]
    assert torch.equal(mosaic(parts, row, col).labels, expected.labels)


def test_the_largest_share_by_hand():
    assert largest_share(torch.tensor([[0, 0, 0], [1, 255, 255]]).byte()) == 0.75
    assert largest_share(torch.tensor([[255, 255]]).byte()) == 0


def test_gaps():
    image, labels = torch.full((2, 2, 3), 0.5), torch.zeros(2, 3).byte()
    assert not has_gaps(Patch(image, labels))
    one_band = image.clone()
    one_band[0, 1, 2] = 0
    assert not has_gaps(Patch(one_band, labels))
    black = image.clone()
    black[:, 1, 2] = 0
    assert has_gaps(Patch(black, labels))
    unlabelled = labels.clone()
    unlabelled[0, 1] = 255
    assert has_gaps(Patch(image, unlabelled))
