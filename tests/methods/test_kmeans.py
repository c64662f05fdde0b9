from dataclasses import replace

import numpy as np
import pytest
import torch
from make_chips import NAMES, crosswalk, make_chip
from stand_ins import MeanColour, uniform
from threadpoolctl import threadpool_limits

from mapsr import budgets
from mapsr.data import Chip
from mapsr.errors import ConfigError, DataError, FittedError
from mapsr.geo import Window
from mapsr.methods import clusters as clusters_module
from mapsr.methods.clusters import BandFeatures, Clusters, centres_of
from mapsr.methods.extractor import FeatureExtractor
from mapsr.methods.kmeans import KMeansSettings, KMeansVoting
from mapsr.methods.method import ImageFacts, State, Task
from mapsr.settings import settings_class
from mapsr.upsample import Bilateral, BilateralSettings

SETTINGS = KMeansSettings(clusters=6, pixels=3000, radius=2)
# more than there are: the sample is every valid pixel
ALL = replace(SETTINGS, pixels=100_000)
CHIPS = [make_chip(number) for number in range(3)]


class ChipTask(Task):
    """A task whose chips are given."""

    def chips(self, most, scenes=None):
        return self.source[:most]


def task(tmp_path, chips=CHIPS, **more):
    image = ImageFacts(1.0, 3, "uint8")
    return ChipTask(chips, (), crosswalk(), image, 448, tmp_path, **more)


def extractor():
    return FeatureExtractor(MeanColour(), Bilateral(BilateralSettings()), torch.device("cpu"), 64)


def fitted(tmp_path, settings=SETTINGS, chips=CHIPS, **more):
    own = extractor() if settings.features == "encoder" else None
    method = KMeansVoting(settings, NAMES, own)
    method.fit(task(tmp_path, chips, **more))
    return method


def same(one, other):
    return all(
        torch.equal(getattr(one.clusters, name), getattr(other.clusters, name))
        for name in ("mean", "deviation", "centres", "votes")
    )


def stripes(levels, coarse):
    """A chip of one band, whose columns have these levels and rows of product classes."""
    image = torch.tensor(levels).expand(1, len(coarse), -1).contiguous()
    valid = torch.ones(image.shape[1:], dtype=torch.bool)
    product = torch.tensor(coarse, dtype=torch.uint8)
    return Chip("stripes", Window(0, 0, *valid.shape), image, valid, product, None)


def test_the_settings_are_a_choice():
    assert settings_class("method", "kmeans_voting") is KMeansSettings


def test_votes_and_shares_are_those_counted_by_hand(tmp_path):
    # product classes 0 and 2 are fields, 1 is water, 3 and 255 have no class
    chip = stripes([0.1, 0.12, 0.5, 0.9], [[1, 1, 1, 3], [1, 0, 2, 3], [0, 1, 255, 255]])
    method = fitted(tmp_path, KMeansSettings(clusters=3, radius=0), [chip])
    order = method.clusters.centres[:, 0].argsort()
    assert method.clusters.votes[order].tolist() == [[4, 2], [1, 1], [0, 0]]
    # of equal shares the first class wins; no votes: as the nearest cluster has voted
    expected = torch.tensor([[4 / 6, 2 / 6], [0.5, 0.5], [0.5, 0.5]])
    torch.testing.assert_close(method.clusters.shares[order], expected)
    scores = method.score([chip])["map"]
    assert scores.shape == (1, 2, 3, 4)
    torch.testing.assert_close(scores[0, :, 1], expected[[0, 0, 1, 2]].T)
    assert (scores.argmax(1) == 0).all()
    assert method.facts() == {
        "clusters": 3,
        "clusters_without_votes": 1,
        "sampled_pixels": 12,
        "votes": {"water": 5, "field": 3},
        "clusters_of_class": {"water": 3, "field": 0},
    }


def test_a_silent_cluster_takes_the_shares_of_the_nearest_one():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [6.0, 0.0], [4.9, 0.0]])
    votes = torch.tensor([[1, 3], [2, 0], [0, 0], [0, 0]])
    shares = Clusters(torch.zeros(2), torch.ones(2), centres, votes).shares
    assert shares.tolist() == [[0.25, 0.75], [1, 0], [1, 0], [0.25, 0.75]]


def oracle_features(chip, radius):
    """Bands and their mean around each pixel, one pixel at a time: (H, W, 2 bands)."""
    image, valid = chip.image.double().numpy(), chip.valid.numpy()
    bands, height, width = image.shape
    features = np.zeros((height, width, 2 * bands))
    for row in range(height):
        for column in range(width):
            top, left = max(0, row - radius), max(0, column - radius)
            inside = np.s_[top : row + radius + 1, left : column + radius + 1]
            seen = valid[inside]
            around = image[:, *inside][:, seen]
            mean = around.mean(1) if seen.any() else np.zeros(bands)
            features[row, column] = [*image[:, row, column], *mean]
    return features


def test_all_of_it_equals_loops_over_pixels(tmp_path):
    chip = make_chip(2, (19, 31))
    method = fitted(tmp_path, ALL, [chip])
    found = method.clusters
    features = oracle_features(chip, radius=2)
    sample = features[chip.valid.numpy()]
    np.testing.assert_allclose(found.mean.numpy(), sample.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.deviation.numpy(), sample.std(0), rtol=1e-4)
    standard = (features - sample.mean(0)) / sample.std(0)
    centres = found.centres.double().numpy()
    target = crosswalk().apply(chip.coarse.numpy())
    nearest = np.zeros(chip.valid.shape, np.int64)
    votes = np.zeros((6, 2), np.int64)
    for row, column in np.ndindex(*chip.valid.shape):
        distances = ((standard[row, column] - centres) ** 2).sum(1)
        nearest[row, column] = distances.argmin()
        if chip.valid[row, column] and target[row, column] != 255:
            votes[nearest[row, column], target[row, column]] += 1
    assert np.array_equal(found.votes.numpy(), votes)
    assert (votes.sum(1) > 0).all()
    expected = (votes / votes.sum(1, keepdims=True))[nearest]  # (H, W, C)
    scores = method.score([chip])["map"][0].permute(1, 2, 0)
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-6)
    # what K-means is: each centre is the mean of the points that are nearest to it
    for number, centre in enumerate(centres):
        own = standard[chip.valid.numpy() & (nearest == number)]
        np.testing.assert_allclose(own.mean(0), centre, atol=0.05)


def test_radius_zero_is_the_bands_alone():
    features = BandFeatures.of(CHIPS[:2], 0, torch.device("cpu"))
    assert torch.equal(features.values, torch.stack([chip.image for chip in CHIPS[:2]]))


def test_scores_are_shares_and_maps_better_than_the_coarse_labels(tmp_path):
    method, chip = fitted(tmp_path), make_chip(7, (37, 50))
    scores = method.score([chip])["map"]
    assert scores.shape == (1, 2, 37, 50)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.sum(1), torch.ones(1, 37, 50))
    right = (scores[0].argmax(0) == chip.truth)[chip.valid].double().mean()
    target = torch.from_numpy(crosswalk().apply(chip.coarse.numpy()))
    known = chip.valid & (target != 255)
    assert right > (target == chip.truth)[known].double().mean() + 0.01
    assert method.trained_parameters == 0
    assert method.weights == {}


@pytest.mark.parametrize("features", ["image", "encoder"])
def test_scores_of_two_chips_equal_those_of_one_by_one(tmp_path, features):
    method = fitted(tmp_path, replace(SETTINGS, features=features))
    both = method.score(CHIPS[:2])["map"]
    for part in range(2):
        alone = method.score(CHIPS[part : part + 1])["map"][0]
        # a pixel halfway between two clusters may fall to either
        assert (both[part] != alone).any(0).double().mean() < 1e-3


def test_features_of_an_encoder_equal_dense_ones(tmp_path):
    method = fitted(tmp_path, replace(ALL, features="encoder"))
    dense = []
    for chip in CHIPS:
        features = method.extractor([chip])
        assert features.size != tuple(chip.valid.shape)  # padded
        dense.append(features.linear(torch.eye(4))[..., :41, :58])
    sample = torch.cat(
        [one[0][:, chip.valid] for one, chip in zip(dense, CHIPS, strict=True)], dim=1
    )
    clusters = method.clusters
    torch.testing.assert_close(clusters.mean, sample.mean(1), rtol=1e-4, atol=1e-6)
    assert clusters.deviation[3] == 1  # the channel is constant
    spread = sample[:3].std(1, correction=0)
    torch.testing.assert_close(clusters.deviation[:3], spread, rtol=1e-4, atol=1e-6)
    for one, chip in zip(dense, CHIPS, strict=True):
        expected = clusters.nearest(BandFeatures(one))
        found = clusters.nearest(method.extractor([chip]))[:, :41, :58]
        assert (expected != found).double().mean() < 1e-3
        assert torch.equal(method.score([chip])["map"].argmax(1), clusters.shares.argmax(1)[found])


def test_centres_compared_a_few_at_a_time_give_the_same(tmp_path, monkeypatch):
    method = fitted(tmp_path)
    whole = method.score(CHIPS[:2])["map"]
    monkeypatch.setattr(budgets, "CLUSTER_DISTANCES", budgets.Budget(2 * 2 * 41 * 58))
    assert (method.score(CHIPS[:2])["map"] != whole).double().mean() < 1e-3
    monkeypatch.setattr(budgets, "CLUSTER_DISTANCES", budgets.Budget(1))
    assert (method.score(CHIPS[:2])["map"] != whole).double().mean() < 1e-3


def test_of_equally_near_centres_the_first_is_taken(monkeypatch):
    features = BandFeatures(torch.zeros(1, 1, 2, 3))
    centres = torch.tensor([[2.0], [1.0], [-1.0], [1.0]])
    for elements in (1, 12, 1000):
        monkeypatch.setattr(budgets, "CLUSTER_DISTANCES", budgets.Budget(elements))
        assert (clusters_module.nearest(features, centres) == 1).all()


def test_a_seed_gives_the_same_fit_whatever_the_threads(tmp_path):
    few = replace(SETTINGS, clusters=40, pixels=2000)
    fits = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            fits.append(fitted(tmp_path, few, seed=3))
    assert same(*fits)
    assert not same(fits[0], fitted(tmp_path, few, seed=4))
    assert same(fits[0], fitted(tmp_path, few, seed=3))
    fitted(tmp_path, few, seed=1 << 40)  # more than NumPy's seeds


def test_invalid_pixels_are_neither_sampled_nor_seen_around(tmp_path):
    odd = [
        replace(
            chip,
            image=torch.where(chip.valid, chip.image, 0.9),
            coarse=torch.where(chip.valid, chip.coarse, 1),
        )
        for chip in CHIPS
    ]
    assert same(fitted(tmp_path, ALL), fitted(tmp_path, ALL, odd))
    sampled = fitted(tmp_path, ALL).facts()["sampled_pixels"]
    assert sampled == sum(int(chip.valid.sum()) for chip in CHIPS)
    blind = replace(CHIPS[0], valid=torch.zeros_like(CHIPS[0].valid))
    both = fitted(tmp_path, ALL, [blind, CHIPS[1]])
    assert both.facts()["sampled_pixels"] == int(CHIPS[1].valid.sum())
    with pytest.raises(DataError, match="None of the 0 sampled pixels has a coarse label"):
        fitted(tmp_path, ALL, [blind])


def test_no_more_pixels_than_asked_for_come_from_each_chip(tmp_path):
    settings = replace(SETTINGS, pixels=700)
    assert fitted(tmp_path, settings).facts()["sampled_pixels"] == 3 * 234
    one = fitted(tmp_path, replace(settings, chips=1))
    assert one.facts()["sampled_pixels"] == 700


def test_fewer_colours_than_clusters_leave_clusters_empty(tmp_path, caplog):
    chip = stripes([0.1, 0.9], [[1, 0]] * 8)
    method = fitted(tmp_path, KMeansSettings(clusters=5, radius=0), [chip])
    assert "3 clusters are empty: the sample has few different pixels" in caplog.text
    assert method.facts()["clusters_without_votes"] == 3
    assert (method.score([chip])["map"].argmax(1) == torch.tensor([0, 1])).all()


def test_a_class_that_wins_no_cluster_is_reported(tmp_path, caplog):
    chip = stripes([0.1, 0.9], [[1, 1]] * 8)
    fitted(tmp_path, KMeansSettings(clusters=2, radius=0), [chip])
    assert "no cluster is of field: the map will hardly show it" in caplog.text


def test_what_was_fitted_comes_back(tmp_path):
    method = fitted(tmp_path)
    again = KMeansVoting(SETTINGS, NAMES)
    again.load(method.state())
    assert same(method, again)
    assert again.facts() == method.facts()
    assert torch.equal(again.score(CHIPS[:1])["map"], method.score(CHIPS[:1])["map"])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("centres", lambda values: values.fill_(torch.nan)),
        ("votes", lambda values: values[:, :1]),
        ("votes", lambda values: values.fill_(0)),
        ("deviation", lambda values: values.fill_(0)),
        ("mean", lambda values: None),
    ],
)
def test_clusters_that_are_not_whole_are_refused(tmp_path, name, change):
    tensors = {key: one.clone() for key, one in fitted(tmp_path).state().tensors.items()}
    tensors[name] = change(tensors[name])
    kept = {key: one for key, one in tensors.items() if one is not None}
    with pytest.raises(FittedError, match="clusters of the file are not whole"):
        KMeansVoting(SETTINGS, NAMES).load(State(kept))


def relabelled(product):
    return [replace(chip, coarse=product(chip.coarse)) for chip in CHIPS]


def few_labels(coarse):
    product = torch.full_like(coarse, 255)
    product[20, 20] = 0
    return product


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (lambda c: torch.full_like(c, 255), "None of the 3000 sampled pixels has a coarse label"),
        (few_labels, r"3 of \d+ sampled pixels have a coarse label, expected at least .*\(6\)"),
        (lambda c: None, "Scene 'river' has no coarse product to fit on"),
    ],
)
def test_scenes_with_too_few_labels(tmp_path, product, message):
    settings = ALL if product is few_labels else SETTINGS
    with pytest.raises(DataError, match=message):
        fitted(tmp_path, settings, relabelled(product))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"features": "texture"}, r"method\.features is 'texture', expected one of encoder, image"),
        ({"clusters": 0}, r"method\.clusters is 0, expected a number in \[1, inf\]"),
        ({"radius": -1}, r"method\.radius is -1"),
        ({"chips": 0}, r"method\.chips is 0"),
        ({"pixels": 10}, r"method\.pixels is 10 and method\.clusters 64, expected at least"),
    ],
)
def test_settings_that_make_no_sense(more, message):
    with pytest.raises(ConfigError, match=message):
        KMeansSettings(**more)


def test_what_is_not_there_yet():
    with pytest.raises(ConfigError, match=r"method\.features is encoder, but there is no encoder"):
        KMeansVoting(KMeansSettings(features="encoder"), NAMES)
    with pytest.raises(DataError, match="There are no clusters yet: fit the method first"):
        KMeansVoting(SETTINGS, NAMES).score([CHIPS[0]])


def test_the_tightest_of_several_starts_is_kept():
    # points without any heaps, where each start ends elsewhere
    sample = uniform(77, 400, 2)

    def spread(starts, seed):
        centres = centres_of(sample, 15, starts, 50, seed)
        return float(torch.cdist(sample, centres).min(1).values.square().sum())

    once, often = ([spread(starts, seed) for seed in range(12)] for starts in (1, 8))
    assert len(set(once)) > 6
    assert max(often) < sum(once) / len(once)
    assert KMeansSettings().restarts == 3
