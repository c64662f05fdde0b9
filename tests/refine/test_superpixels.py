import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.segmentation import slic
from stand_ins import normal, uniform

from mapsr.refine.superpixels import superpixels

HEIGHT, WIDTH = 60, 96


def smooth(seed, height=HEIGHT, width=WIDTH):
    """Clouds of colour in [0.2, 0.7]."""
    coarse = uniform(seed, 1, 3, 5, 7) * 0.5 + 0.2
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0]


def everywhere(image):
    return torch.ones(image.shape[1:], dtype=torch.bool)


def partition(labels):
    """Labels renamed in order of appearance, so that only the cut counts."""
    flat = labels.flatten().tolist()
    names = {}
    return [names.setdefault(label, len(names)) for label in flat]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(4, 30), st.integers(4, 30), st.floats(0.05, 1))
def test_labels_cover_exactly_the_valid_area(seed, height, width, share):
    valid = uniform(seed, height, width) < share
    labels, count = superpixels(smooth(seed, height, width), valid, 5000, 10)
    assert labels.dtype == torch.int64
    assert torch.equal(labels >= 0, valid)
    assert labels[valid].unique().tolist() == list(range(count))


def test_an_area_without_data_has_no_superpixels():
    labels, count = superpixels(smooth(1), torch.zeros(HEIGHT, WIDTH, dtype=torch.bool), 100, 10)
    assert count == 0
    assert (labels == -1).all()


@pytest.mark.parametrize("segments", [2000, 5000, 8000])
def test_there_are_about_as_many_as_wanted(segments):
    _, count = superpixels(smooth(2), everywhere(smooth(2)), segments, 10)
    wanted = segments * HEIGHT * WIDTH / 448**2
    assert 0.75 * wanted <= count <= 1.25 * wanted


def test_an_image_of_one_colour_is_cut_into_equal_parts():
    image = torch.full((3, 32, 48), 0.4)
    labels, count = superpixels(image, everywhere(image), 6 * 448**2 // (32 * 48), 10)
    assert count == 6
    size = torch.bincount(labels.flatten())
    assert size.min() > 0.8 * 256 and size.max() < 1.2 * 256


def test_superpixels_follow_edges_between_colours():
    image = torch.full((3, 40, 64), 0.2)
    image[:, :, 29:] = torch.tensor([0.8, 0.7, 0.3])[:, None, None]
    labels, _ = superpixels(image, everywhere(image), 5000, 10)
    assert not set(labels[:, :29].unique().tolist()) & set(labels[:, 29:].unique().tolist())


def test_one_bright_pixel_does_not_change_the_cut_elsewhere():
    # scikit-image stretches each image by its own extremes; here the chip's must not matter
    image = smooth(3) * 0.3 + 0.05 * normal(4, 3, HEIGHT, WIDTH).abs()
    brighter = image.clone()
    brighter[:, -1, -1] = 1.0
    far = (..., slice(None), slice(0, WIDTH // 2))
    labels, other = (
        superpixels(one, everywhere(one), 5000, 10)[0][far] for one in (image, brighter)
    )
    same = np.mean(np.equal(partition(labels), partition(other)))
    assert same > 0.99


def test_a_chip_with_colours_of_full_range_is_cut_as_scikit_image_cuts_it():
    # black, white, and clouds between: the released code's call, whose stretching does nothing
    image = smooth(5)
    image[:, 0, 0], image[:, 0, 1] = 0.0, 1.0
    wanted = round(5000 * HEIGHT * WIDTH / 448**2)
    theirs = slic(
        (image.permute(1, 2, 0).numpy() * 255).astype(np.float64),
        n_segments=wanted,
        compactness=10,
        start_label=0,
    )
    ours, _ = superpixels(image, everywhere(image), 5000, 10)
    assert np.mean(np.equal(partition(ours), partition(torch.from_numpy(theirs)))) > 0.99


def test_stretched_chips_are_cut_as_the_released_code_cuts_them():
    # dull clouds, of which scikit-image makes the most; another band than red has the extremes
    image = 0.2 + 0.3 * smooth(13)
    image[2] = image[2] * 0.8 + 0.02
    wanted = round(5000 * HEIGHT * WIDTH / 448**2)
    values = (image.permute(1, 2, 0).numpy() * 255).astype(np.float64)
    theirs = slic(values, n_segments=wanted, compactness=10, start_label=0)
    alike = []
    for stretched in (True, False):
        ours, _ = superpixels(image, everywhere(image), 5000, 10, stretched=stretched)
        alike.append(np.mean(np.equal(partition(ours), partition(torch.from_numpy(theirs)))))
    assert alike[0] > 0.99 > 0.9 > alike[1]
    flat = torch.full((3, 32, 48), 0.4)
    assert superpixels(flat, everywhere(flat), 5000, 10, stretched=True)[1] > 1


def test_what_is_stretched_lies_in_the_valid_area():
    image, valid = smooth(14), everywhere(smooth(14))
    valid[:20] = False
    other = torch.where(valid, image, 0.0)
    labels, _ = superpixels(image, valid, 5000, 10, stretched=True)
    assert torch.equal(labels, superpixels(other, valid, 5000, 10, stretched=True)[0])


def test_compactness_trades_colour_for_distance():
    # stripes that lie across the squares
    image = torch.full((3, HEIGHT, WIDTH), 0.3)
    stripe = (torch.arange(HEIGHT)[:, None] + torch.arange(WIDTH)) // 9 % 2 == 0
    image[:, stripe] = torch.tensor([0.5, 0.6, 0.3])[:, None]

    def mixed(compactness):
        labels, count = superpixels(image, everywhere(image), 2000, compactness)
        size = torch.bincount(labels.flatten(), minlength=count)
        light = torch.bincount(labels[stripe], minlength=count)
        return float(torch.minimum(light, size - light).sum()) / (HEIGHT * WIDTH)

    assert mixed(1) < 0.05
    assert mixed(1000) > 0.15


def test_what_lies_under_nodata_does_not_matter():
    valid = everywhere(smooth(8))
    valid[20:35, 30:60] = False
    image = smooth(8)
    other = torch.where(valid, image, 1.0)
    labels, _ = superpixels(image, valid, 5000, 10)
    assert torch.equal(labels, superpixels(other, valid, 5000, 10)[0])


def test_bands_beyond_red_green_blue_are_ignored():
    image = smooth(9)
    more = torch.cat([image, uniform(10, 1, HEIGHT, WIDTH)])
    labels, _ = superpixels(image, everywhere(image), 5000, 10)
    assert torch.equal(labels, superpixels(more, everywhere(image), 5000, 10)[0])


def test_superpixels_without_a_valid_pixel_are_not_counted():
    image, valid = smooth(11), everywhere(smooth(11))
    valid[:30] = False
    labels, count = superpixels(image, valid, 5000, 10)
    assert labels[valid].unique().tolist() == list(range(count))
    assert count < superpixels(image, everywhere(image), 5000, 10)[1]
