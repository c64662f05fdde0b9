import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from stand_ins import generator, normal

from mapsr.networks.losses import (
    confident_area,
    confident_area_loss,
    cross_entropy,
    dice_loss,
    plat_loss,
    smooth_cross_entropy,
    unetformer_loss,
)

# probabilities of two classes at three pixels of one row: (1, 2, 1, 3)
PROBABILITIES = torch.tensor([[0.75, 0.4, 0.2], [0.25, 0.6, 0.8]])[None, :, None]
LOGITS = PROBABILITIES.log()
OTHER = torch.tensor([[0.5, 0.9, 0.3], [0.5, 0.1, 0.7]]).log()[None, :, None]
LABELS = torch.tensor([[[0, 0, 255]]])
EMPTY = torch.full((1, 1, 3), 255)


def random_case(seed, classes=4):
    labels = torch.randint(0, classes + 1, (2, 5, 7), generator=generator(seed))
    labels[labels == classes] = 255
    return 2 * normal(seed + 1, 2, classes, 5, 7), labels


def test_cross_entropy_by_hand():
    loss = cross_entropy(LOGITS, LABELS)
    assert loss.item() == pytest.approx(-(math.log(0.75) + math.log(0.4)) / 2)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_cross_entropy_is_torchs_for_any_integers(dtype):
    logits, labels = random_case(1)
    expected = F.cross_entropy(logits, labels, ignore_index=255)
    torch.testing.assert_close(cross_entropy(logits, labels.to(dtype)), expected)


def test_an_empty_mask_is_nan_as_released_and_zero_as_corrected():
    logits = LOGITS.clone().requires_grad_()
    assert cross_entropy(logits, EMPTY, released=True).isnan()
    loss = cross_entropy(logits, EMPTY)
    loss.backward()
    assert loss == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_plat_by_hand():
    # the first branch is right on pixel 0 and wrong on pixel 1: the other learns from pixel 0 alone
    own, other = -(math.log(0.75) + math.log(0.4)) / 2, -math.log(0.5)
    for released in (False, True):
        loss = plat_loss(LOGITS, OTHER, LABELS, released=released)
        assert loss.item() == pytest.approx((own + other) / 2)


def test_plat_gives_no_gradient_through_the_agreement():
    cnn, vit = LOGITS.clone().requires_grad_(), OTHER.clone().requires_grad_()
    plat_loss(cnn, vit, LABELS).backward()
    alone = LOGITS.clone().requires_grad_()
    (cross_entropy(alone, LABELS) / 2).backward()
    torch.testing.assert_close(cnn.grad, alone.grad)
    assert vit.grad[..., 0].all()
    assert not vit.grad[..., 1:].any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_plat_where_no_pixel_agrees(dtype):
    labels = torch.tensor([[[1, 0, 255]]], dtype=dtype)
    assert plat_loss(LOGITS, OTHER, labels, released=True).isnan()
    vit = OTHER.clone().requires_grad_()
    loss = plat_loss(LOGITS, vit, labels)
    loss.backward()
    assert loss.item() == pytest.approx(-(math.log(0.25) + math.log(0.4)) / 4)
    assert not vit.grad.any()


def test_plat_with_the_authors_class_for_nodata():
    # they shift the classes up by one and call class 0 no data: the same loss
    cnn, labels = random_case(2)
    vit = normal(4, *cnn.shape)
    never = torch.full_like(cnn[:, :1], -1e4)
    shifted = torch.where(labels == 255, 0, labels + 1)
    theirs = plat_loss(torch.cat([never, cnn], 1), torch.cat([never, vit], 1), shifted, nodata=0)
    torch.testing.assert_close(theirs, plat_loss(cnn, vit, labels))


def test_the_confident_area_by_hand():
    labels = torch.tensor([[[0, 0, 1]]])
    assert confident_area(LOGITS, labels).tolist() == [[[True, False, True]]]
    assert confident_area(LOGITS, labels, threshold=0.79).tolist() == [[[False, False, True]]]
    assert confident_area(LOGITS, labels, threshold=0.3).all()
    assert confident_area(LOGITS, LABELS, threshold=0.0).tolist() == [[[True, True, False]]]


def test_the_confident_area_shrinks_with_the_threshold():
    logits, labels = random_case(3)
    areas = [confident_area(logits, labels, threshold=t) for t in (0.0, 0.2, 0.6, 1.0)]
    assert torch.equal(areas[0], labels != 255)
    for wide, narrow in pairwise(areas):
        assert not (narrow & ~wide).any()
    # more than half is more than any other class has
    assert not (areas[2] & ~confident_area(logits, labels)).any()


def test_the_confident_area_loss_by_hand():
    inside = -math.log(0.75)
    assert confident_area_loss(LOGITS, LABELS).item() == pytest.approx(inside)
    spread = [-sum(p * math.log(p) for p in pair) for pair in ((0.4, 0.6), (0.2, 0.8))]
    loss = confident_area_loss(LOGITS, LABELS, entropy=0.5)
    assert loss.item() == pytest.approx(inside + 0.5 * sum(spread) / 2)


def test_the_confident_area_loss_without_an_inside_or_an_outside():
    labels = torch.tensor([[[1, 0, 0]]])
    assert confident_area_loss(LOGITS, labels) == 0
    all_right = torch.tensor([[[0, 1, 1]]])
    loss = confident_area_loss(LOGITS, all_right, entropy=3.0)
    torch.testing.assert_close(loss, cross_entropy(LOGITS, all_right))


def test_smooth_cross_entropy_by_hand():
    logs = [[math.log(p) for p in pair] for pair in ((0.75, 0.25), (0.4, 0.6))]
    total = sum(-0.95 * own - 0.025 * (own + other) for own, other in logs)
    assert smooth_cross_entropy(LOGITS, LABELS).item() == pytest.approx(total / 2)
    # the authors divide by the unlabelled pixel, too
    released = smooth_cross_entropy(LOGITS, LABELS, released=True)
    assert released.item() == pytest.approx(total / 3)


@pytest.mark.parametrize("smoothing", [0.0, 0.05, 1.0])
def test_smooth_cross_entropy_is_torchs(smoothing):
    logits, labels = random_case(5)
    expected = F.cross_entropy(logits, labels, ignore_index=255, label_smoothing=smoothing)
    ours = smooth_cross_entropy(logits, labels, smoothing=smoothing)
    torch.testing.assert_close(ours, expected)


def test_dice_by_hand():
    # class 0: common 0.75 + 0.4, size 1.15 + 2; class 1: common 0, size 0.25 + 0.6 + 0
    of_first = 1 - (2 * 1.15 + 0.05) / (3.15 + 0.05)
    assert dice_loss(LOGITS, LABELS).item() == pytest.approx(of_first)
    # class 1 has no pixel: the authors count it as a loss of 0
    assert dice_loss(LOGITS, LABELS, released=True).item() == pytest.approx(of_first / 2)


def test_dice_of_a_perfect_map_is_zero_and_of_a_wrong_one_about_one():
    labels = random_case(6)[1]
    truth = torch.where(labels == 255, 0, labels)
    perfect = 100.0 * F.one_hot(truth, 4).permute(0, 3, 1, 2)
    assert dice_loss(perfect, labels).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(perfect.roll(1, dims=1), labels) > 0.98


@pytest.mark.parametrize("released", [False, True])
def test_losses_of_unetformer_without_a_label(released):
    logits = LOGITS.clone().requires_grad_()
    loss = unetformer_loss((logits, logits), EMPTY, released=released)
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("released", [False, True])
def test_unetformers_loss_is_its_parts(released):
    logits, labels = random_case(7)
    other = normal(9, *logits.shape)
    smooth = smooth_cross_entropy(logits, labels, released=released)
    main = smooth + dice_loss(logits, labels, released=released)
    torch.testing.assert_close(unetformer_loss((logits,), labels, released=released), main)
    auxiliary = 0.4 * smooth_cross_entropy(other, labels, released=released)
    both = unetformer_loss((logits, other), labels, released=released)
    torch.testing.assert_close(both, main + auxiliary)


@pytest.mark.parametrize(
    "loss", [cross_entropy, smooth_cross_entropy, dice_loss, confident_area_loss]
)
def test_unlabelled_pixels_do_not_count(loss):
    logits, labels = random_case(10)
    changed = logits.clone()
    changed[:, 0][labels == 255] += 7
    torch.testing.assert_close(loss(changed, labels), loss(logits, labels))
