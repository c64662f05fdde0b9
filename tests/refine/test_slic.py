import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab
from skimage.measure import label as connected
from slow_slic import slow_clusters, slow_joined, slow_regions
from stand_ins import uniform

from mapsr.refine.colours import lab_of
from mapsr.refine.regions import connected_regions, joined_regions
from mapsr.refine.slic import _clustered, _Lattice, batched_superpixels
from mapsr.refine.superpixels import PAPER_CHIP_PX, superpixels
from mapsr.sums import sums_by_index

HEIGHT, WIDTH = 44, 61


def smooth(seed, batch=1, height=HEIGHT, width=WIDTH):
    """Clouds of colour in [0.2, 0.7]."""
    coarse = uniform(seed, batch, 3, 5, 7) * 0.5 + 0.2
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


def everywhere(image):
    return torch.ones(len(image), *image.shape[2:], dtype=torch.bool)


def partition(labels):
    """Labels renamed in order of appearance, so that only the cut counts."""
    names = {}
    return [names.setdefault(label, len(names)) for label in labels.flatten().tolist()]


def segments_for(count, height, width):
    return round(count * PAPER_CHIP_PX**2 / (height * width))


def test_two_superpixels_by_hand():
    # centres at columns 2 and 6; of one colour, column 4 is as near to both and goes to the first
    image = torch.full((1, 3, 4, 8), 0.5)
    count = segments_for(2, 4, 8)
    labels, counts = batched_superpixels(image, everywhere(image), count, 10.0)
    assert labels[0].tolist() == [[0, 0, 0, 0, 0, 1, 1, 1]] * 4
    assert counts.tolist() == [2]
    # an edge at column 3: after the first round 2 of 5 columns of the first are bright, so that
    # columns 3 and 4 are nearer to the second in colour by far
    image[:, :, :, :3] = 0.1
    labels, _ = batched_superpixels(image, everywhere(image), count, 1.0)
    assert labels[0].tolist() == [[0, 0, 0, 1, 1, 1, 1, 1]] * 4


@pytest.mark.parametrize(
    ("size", "wanted", "start", "step"),
    [
        ((448, 448), 5000, (3, 3), (6, 6)),
        ((20, 40), 8, (5, 5), (10, 10)),
        ((5, 40), 2, (2, 10), (5, 20)),  # one row of centres
        ((40, 5), 2, (10, 2), (20, 5)),
        ((3, 4), 12, (0, 0), (1, 1)),  # one a pixel
    ],
)
def test_centres_begin_where_scikit_images_do(size, wanted, start, step):
    assert _Lattice.of(size, wanted) == _Lattice(size, start, step)


@pytest.mark.parametrize("compactness", [1.0, 10.0])
def test_the_slow_way_cuts_the_same(compactness):
    height, width, wanted = 13, 22, 12
    images = smooth(2, 2, height, width) + 0.1 * uniform(3, 2, 3, height, width)
    labels, counts = batched_superpixels(
        images, everywhere(images), segments_for(wanted, height, width), compactness
    )
    for image, ours, count in zip(images, labels, counts, strict=True):
        colours = (lab_of(image[None])[0] / compactness).permute(1, 2, 0).tolist()
        nearest = slow_clusters(colours, (5, 5), (2, 2))
        parts = slow_joined(nearest, colours, height * width // wanted // 2)
        expected = torch.empty(height, width, dtype=torch.int64)
        for number, part in enumerate(parts):
            for place in part:
                expected[place] = number
        assert count == len(parts)
        assert partition(ours) == partition(expected)


@settings(deadline=None, max_examples=12)
@given(
    st.integers(0, 10**6),
    st.integers(4, 30),
    st.integers(4, 30),
    st.sampled_from([0.3, 1.0]),
    st.sampled_from([0.5, 10.0]),
)
def test_every_valid_pixel_has_a_label_and_superpixels_are_connected(
    seed, height, width, share, compactness
):
    image = smooth(seed, 2, height, width) + 0.2 * uniform(seed, 2, 3, height, width)
    valid = uniform(seed, 2, height, width) < share
    labels, counts = batched_superpixels(image, valid, 5000, compactness)
    assert labels.dtype == torch.int64
    assert torch.equal(labels >= 0, valid)
    least = int(0.5 * height * width / max(1, round(5000 * height * width / PAPER_CHIP_PX**2)))
    for one, inside, count in zip(labels, valid, counts.tolist(), strict=True):
        assert one[inside].unique().tolist() == list(range(count))
        if share == 1:
            assert connected(one.numpy(), background=-1, connectivity=1).max() == count
            assert torch.bincount(one.flatten()).min() >= least or count == 1


def test_a_region_that_two_rounds_hook_is_not_cut_after_the_first():
    """The first round's result was compared with itself."""
    labels = torch.tensor([[[0, 1, 2], [1, 2, 2]]])
    assert connected_regions(labels).tolist() == [[[0, 1, 2], [3, 2, 2]]]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 12), st.integers(1, 9))
def test_regions_are_those_of_the_slow_way(seed, height, width, least):
    labels = (uniform(seed, 2, height, width) * 3).long()
    colours = (uniform(seed + 1, 2, 3, height, width) * 1000).long()
    found, joined = connected_regions(labels), joined_regions(labels, colours, least)
    for one, region, whole, colour in zip(labels, found, joined, colours, strict=True):
        parts = slow_regions(one.tolist())
        assert len(region.unique()) == len(parts)
        for part in parts:
            assert len({int(region[place]) for place in part}) == 1
        slow = slow_joined(one.tolist(), colour.permute(1, 2, 0).tolist(), least)
        assert {frozenset(part) for part in slow} == {
            frozenset(map(tuple, (whole == name).nonzero().tolist())) for name in whole.unique()
        }


def test_a_winding_region_stays_whole():
    # a comb: its root is found only along the whole way
    labels = torch.zeros(1, 21, 40, dtype=torch.int64)
    labels[0, 1::2] = 1
    labels[0, 1::4, -1] = 0
    labels[0, 3::4, 0] = 0
    assert (connected_regions(labels)[labels == 0] == 0).all()


def test_a_batch_is_cut_as_its_images_are():
    images, valid = smooth(7, 3), everywhere(smooth(7, 3))
    valid[1, 10:30, 5:50] = False
    valid[2] = False
    labels, counts = batched_superpixels(images, valid, 5000, 10)
    for part in range(3):
        one = slice(part, part + 1)
        alone, count = batched_superpixels(images[one], valid[one], 5000, 10)
        assert torch.equal(labels[one], alone) and torch.equal(counts[one], count)
    assert counts[2] == 0 and (labels[2] == -1).all()


def test_superpixels_are_nearly_those_of_scikit_image():
    images = smooth(8, 2) + 0.05 * uniform(9, 2, 3, HEIGHT, WIDTH)
    labels, counts = batched_superpixels(images, everywhere(images), 5000, 10)
    for image, ours, count in zip(images, labels, counts.tolist(), strict=True):
        theirs, number = superpixels(image, torch.ones(HEIGHT, WIDTH, dtype=torch.bool), 5000, 10)
        assert abs(count - number) <= 0.05 * number
        table = torch.zeros(count, number)
        table.index_put_((ours, theirs), torch.ones(()), accumulate=True)
        assert table.amax(1).sum() > 0.95 * HEIGHT * WIDTH


def test_what_lies_under_nodata_does_not_matter():
    image, valid = smooth(11), everywhere(smooth(11))
    valid[:, 12:25, 20:50] = False
    other = torch.where(valid[:, None], image, 1.0)
    for stretched in (False, True):
        ours = batched_superpixels(image, valid, 5000, 10, stretched=stretched)
        theirs = batched_superpixels(other, valid, 5000, 10, stretched=stretched)
        assert torch.equal(ours[0], theirs[0])


def test_stretching_makes_the_most_of_dull_colours():
    # 0.2 less and half as bright: stretched, both are the same image
    image = smooth(12)
    low, high = image.amin(), image.amax()
    bright = (image - low) / (high - low)
    dull, valid = 0.3 + 0.25 * bright, everywhere(image)
    ours = batched_superpixels(dull, valid, 5000, 10, stretched=True)[0]
    assert (
        np.mean(
            np.equal(partition(ours), partition(batched_superpixels(bright, valid, 5000, 10)[0]))
        )
        > 0.95
    )
    flat = torch.full((1, 3, 32, 48), 0.4)
    assert batched_superpixels(flat, everywhere(flat), 5000, 10, stretched=True)[1] > 1


def test_colours_are_those_of_scikit_image():
    rgb = uniform(14, 2, 3, 9, 13)
    rgb[0, :, 0, 0], rgb[0, :, 0, 1] = 0.0, 1.0
    expected = rgb2lab(rgb.permute(0, 2, 3, 1).double().numpy())
    np.testing.assert_allclose(lab_of(rgb).permute(0, 2, 3, 1), expected, atol=2e-3)


def test_a_pixel_without_a_centre_near_it_keeps_its_own_cells():
    # all centres but one lose their pixels to none: the far edge is narrower than half a step
    lattice = _Lattice((7, 11), (2, 2), (5, 5))
    assert lattice.cells == (2, 3)  # the last column of cells has no centre
    nearest = _clustered(torch.zeros(1, 3, 7, 11), lattice, 10)
    assert nearest.shape == (1, 7, 11) and set(nearest.unique().tolist()) == {0, 1}


def test_sums_do_not_depend_on_the_order():
    values = torch.cat([uniform(15, 500, 2), 1e6 * uniform(16, 20, 2)])
    index = (uniform(17, 520) * 8).long() - 1
    found = sums_by_index(values, index, 7)
    order = torch.randperm(520, generator=torch.Generator().manual_seed(3))
    assert torch.equal(found, sums_by_index(values[order], index[order], 7))
    for number in range(7):
        expected = values[index == number].double().sum(0)
        torch.testing.assert_close(found[number], expected, rtol=1e-6, atol=1e-3)
    assert torch.equal(sums_by_index(values[:0], index[:0], 2), torch.zeros(2, 2).double())
