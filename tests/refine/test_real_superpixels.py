"""Superpixels on real images against the truth: those of torch are as good as scikit-image's.

Source of the measures: Stutz et al., Superpixels: an evaluation of the state of the art, 2018,
doi:10.1016/j.cviu.2017.03.007, equations (2) and (5).
"""

import numpy as np
import pytest
import torch
from rasterio import open as open_file
from scipy.ndimage import binary_dilation
from skimage.measure import label as connected

from mapsr.refine.slic import batched_superpixels
from mapsr.refine.superpixels import superpixels

AROUND_PX = 2


def boundaries(labels):
    """Pixels whose right or lower neighbour has another label."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def boundary_recall(labels, truth):
    """Share of the truth's boundary that has a superpixel's within two pixels."""
    near = binary_dilation(boundaries(labels), np.ones((2 * AROUND_PX + 1,) * 2, bool))
    return near[boundaries(truth)].mean()


def undersegmentation(labels, truth):
    """Of each superpixel that reaches out of a segment the smaller part, as a share of all."""
    segments = connected(truth, background=-1, connectivity=1)
    table = np.zeros((labels.max() + 1, segments.max() + 1), np.int64)
    np.add.at(table, (labels.ravel(), segments.ravel()), 1)
    return np.minimum(table, table.sum(1, keepdims=True) - table).sum() / labels.size


def measures(labels, truth):
    """Recall and error; no recall (not a number) where the truth has no boundary."""
    some = boundaries(truth).any()
    recall = boundary_recall(labels, truth) if some else np.nan
    return recall, undersegmentation(labels, truth)


def test_both_measures_by_hand():
    truth = np.zeros((4, 6), int)
    truth[:, 3:] = 1
    assert boundary_recall(truth, truth) == 1 and undersegmentation(truth, truth) == 0
    one = np.zeros((4, 6), int)
    # half of the one superpixel lies in each segment
    assert boundary_recall(one, truth) == 0 and undersegmentation(one, truth) == 1
    late = (np.arange(6) >= 5).astype(int) * np.ones((4, 1), int)
    assert boundary_recall(late, truth) == 1  # two pixels away
    assert undersegmentation(late, truth) == pytest.approx(16 / 24)


@pytest.mark.shared
def test_recall_and_error_on_the_patches_are_within_a_hundredth(shared):
    found = {"skimage": [], "torch": []}
    for path in sorted((shared / "data" / "chesapeake_wv").glob("*/*_naip.tif")):
        with open_file(path) as naip, open_file(str(path).replace("_naip", "_cclc")) as truth:
            image = torch.from_numpy(naip.read().astype(np.float32) / 255)
            classes = truth.read(1).astype(int)
        valid = torch.ones(image.shape[1:], dtype=torch.bool)
        ours = batched_superpixels(image[None], valid[None], 5000, 10)[0][0].numpy()
        theirs = superpixels(image, valid, 5000, 10)[0].numpy()
        for name, labels in (("torch", ours), ("skimage", theirs)):
            found[name].append(measures(labels, classes))
    assert len(found["torch"]) == 16
    mean = {name: np.nanmean(values, axis=0) for name, values in found.items()}
    assert np.abs(mean["torch"] - mean["skimage"]).max() <= 0.01
