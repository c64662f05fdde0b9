"""Estimators of accuracy and area, against the numbers of the papers that they come from."""

import numpy as np
import pytest

from mapsr.errors import ConfigError, DataError
from mapsr.measure.allocation import allocate, points_for
from mapsr.measure.estimates import CONFIDENT, Sample, Stratum

# Olofsson et al. 2014, table 8: points by map class (deforestation, forest gain, stable forest,
# stable non-forest) and true class, and the pixels of 30 m that the map has of each class
OLOFSSON = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = (200_000, 150_000, 3_200_000, 6_450_000)
# Stehman 2014, table 2: stratum, class on the map and true class of 40 points
STEHMAN = (
    "AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD",
    "AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB",
)


def olofsson(counts=OLOFSSON, pixels=PIXELS, ha=0.09):
    mapped, truth = np.repeat(np.indices(counts.shape).reshape(2, -1), counts.ravel(), axis=1)
    names = ("loss", "gain", "forest", "other")
    strata = [Stratum(name, n, n * ha) for name, n in zip(names, pixels, strict=False)]
    return Sample(strata, mapped, mapped, truth, len(pixels))


def stehman():
    mapped, truth = (np.array(["ABCD".index(one) for one in text]) for text in STEHMAN)
    sizes = (40_000, 30_000, 20_000, 10_000)
    strata = [Stratum(name, n, float(n)) for name, n in zip("1234", sizes, strict=True)]
    return Sample(strata, np.repeat(np.arange(4), 10), mapped, truth, 4)


def test_the_example_of_olofsson_s_good_practices():
    sample = olofsson()
    assert sample.hectares == pytest.approx(900_000)
    area = sample.area(0)
    assert area.value * sample.hectares == pytest.approx(21_158, abs=1)
    assert area.error * sample.hectares * CONFIDENT == pytest.approx(6_158, abs=3)
    assert sample.overall().value == pytest.approx(0.947, abs=5e-4)
    assert CONFIDENT * sample.overall().error == pytest.approx(0.02, abs=5e-3)
    users = [sample.users(index) for index in range(4)]
    assert [round(one.value, 2) for one in users] == [0.88, 0.73, 0.93, 0.96]
    assert [round(CONFIDENT * one.error, 2) for one in users] == [0.07, 0.10, 0.04, 0.02]
    producers = [sample.producers(index) for index in range(4)]
    assert [round(one.value, 2) for one in producers] == [0.75, 0.85, 0.93, 0.96]
    assert [round(CONFIDENT * one.error, 2) for one in producers][:2] == [0.21, 0.25]


def test_the_example_of_stehman_s_strata_that_are_no_map_classes():
    sample = stehman()
    areas = [sample.area(index) for index in (0, 2)]
    assert [one.value for one in areas] == pytest.approx([0.35, 0.20])
    assert [one.error for one in areas] == pytest.approx([0.082, 0.064], abs=5e-4)
    overall = sample.overall()
    assert (overall.value, overall.error) == pytest.approx((0.63, 0.085), abs=5e-4)
    users, producers = sample.users(1), sample.producers(1)
    assert (users.value, users.error) == pytest.approx((0.574, 0.125), abs=5e-4)
    assert (producers.value, producers.error) == pytest.approx((0.794, 0.117), abs=5e-4)
    assert sample.matrix()[1, 2] == pytest.approx(0.08)
    assert sample.matrix().sum() == pytest.approx(1)


def test_strata_that_are_the_map_s_classes_give_the_closed_forms_of_olofsson():
    """Equations 4 to 7 and 10 as they are printed, on another matrix than the paper's."""
    counts = np.random.default_rng(3).integers(2, 40, (4, 4)) + np.diag([60, 50, 90, 80])
    pixels = (10**9, 3 * 10**9, 2 * 10**9, 4 * 10**9)  # so many that a sample leaves them as many
    sample = olofsson(counts, pixels)
    weights, n = np.array(pixels) / sum(pixels), counts.sum(1)
    users = np.diagonal(counts) / n
    shares = weights[:, None] * counts / n[:, None]
    error = np.sqrt((weights**2 * users * (1 - users) / (n - 1)).sum())
    assert sample.overall().error == pytest.approx(error, rel=1e-5)
    for k in range(4):
        one = shares[:, k]
        error = np.sqrt(((weights * one - one**2) / (n - 1)).sum())
        assert sample.area(k).error == pytest.approx(error, rel=1e-5)
        assert sample.users(k).error == pytest.approx(
            np.sqrt(users[k] * (1 - users[k]) / (n[k] - 1)), rel=1e-5
        )
        right, size = shares[k, k] / one.sum(), np.array(pixels, float)
        rates = counts[:, k] / n
        rest = np.arange(4) != k
        variance = size[k] ** 2 * (1 - right) ** 2 * users[k] * (1 - users[k]) / (n[k] - 1)
        variance += right**2 * (size**2 * rates * (1 - rates) / (n - 1))[rest].sum()
        error = np.sqrt(variance) / (one.sum() * size.sum())
        assert sample.producers(k).error == pytest.approx(error, rel=1e-5)


def test_a_census_is_known_without_error():
    mapped, truth = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0])
    sample = Sample([Stratum("all", 5, 10.0)], np.zeros(5, int), mapped, truth, 2)
    assert (sample.overall().value, sample.overall().error) == (0.6, 0.0)
    assert (sample.area(0).value, sample.area(0).error) == (0.4, 0.0)
    assert sample.users(1).value == pytest.approx(2 / 3)


def test_estimates_of_many_draws_scatter_as_their_errors_say():
    generator = np.random.default_rng(0)
    mapped = np.repeat([0, 1], [3000, 1000])
    truth = np.where(generator.random(4000) < 0.2, 1 - mapped, mapped)
    strata = [Stratum("a", 3000, 3000.0), Stratum("b", 1000, 1000.0)]
    found = []
    for _ in range(400):
        places = [generator.choice(3000, 40, False), 3000 + generator.choice(1000, 40, False)]
        place = np.concatenate(places)
        sample = Sample(strata, np.repeat([0, 1], 40), mapped[place], truth[place], 2)
        found.append((sample.area(1).value, sample.area(1).error))
    values, errors = np.array(found).T
    assert values.mean() == pytest.approx((truth == 1).mean(), abs=4 * errors.mean() / 20)
    assert values.std() == pytest.approx(errors.mean(), rel=0.15)


def test_what_a_sample_can_not_say_is_none_or_refused():
    strata = [Stratum("a", 10, 1.0), Stratum("b", 10, 1.0)]
    one = Sample(strata, np.array([0, 0, 1]), np.array([0, 0, 0]), np.array([0, 0, 0]), 2)
    assert one.overall().value == 1 and one.overall().error is None  # one point of "b"
    assert one.users(1).value is None and one.producers(1).value is None
    with pytest.raises(DataError, match="No labelled point lies in stratum 'b', which covers 1"):
        Sample(strata, np.array([0, 0]), np.array([0, 0]), np.array([0, 0]), 2)
    with pytest.raises(DataError, match="has 11 points on 10 pixels"):
        Sample(strata[:1], np.zeros(11, int), np.zeros(11, int), np.zeros(11, int), 2)


def strata_of(*pixels):
    return [Stratum(str(n), n, float(n)) for n in pixels]


def test_the_sample_size_of_olofsson_s_example():
    assert points_for(strata_of(*PIXELS), (0.7, 0.6, 0.9, 0.95), 0.01) == 641


def test_points_are_shared_out_by_hand():
    strata = strata_of(1000, 3000, 96_000)
    assert allocate(strata, 500, "proportional", 50) == [5, 15, 480]
    assert allocate(strata, 500, "minimum", 50) == [50, 50, 400]
    assert allocate(strata, 500, "equal", 50) == [167, 167, 166]
    assert allocate(strata_of(4, 100, 100), 100, "minimum", 30) == [4, 48, 48]
    assert allocate(strata_of(7), 100, "proportional", 2) == [7]
    with pytest.raises(ConfigError, match="points=100 are too few for 3 strata of at least 50"):
        allocate(strata, 100, "minimum", 50)


@pytest.mark.parametrize("how", ["minimum", "proportional", "equal"])
def test_shared_points_add_up_and_none_gets_more_than_it_has(how):
    generator = np.random.default_rng(1)
    for _ in range(50):
        strata = strata_of(*generator.integers(1, 3000, generator.integers(1, 7)).tolist())
        most = sum(one.pixels for one in strata)
        points = int(min(most, 400 + generator.integers(0, 2000)))
        shares = allocate(strata, points, how, 20)
        assert sum(shares) == points or how == "minimum"
        assert abs(sum(shares) - points) <= len(strata) * 20
        assert all(0 < n <= one.pixels for n, one in zip(shares, strata, strict=True))
