import numpy as np
import pytest

from mapsr.errors import ConfigError, DataError
from mapsr.evaluation import Confusion, Scores
from mapsr.evaluation.differences import bootstrap_difference


def confusion(*rows):
    return Confusion(np.array(rows, np.int64))


def random_maps(generator, scenes=6, classes=3):
    """Two maps of the same scenes: the truth's counts are the same, the predictions are not."""
    first, second = {}, {}
    for number in range(scenes):
        truth = generator.integers(20, 90, classes)
        for maps in (first, second):
            shares = generator.dirichlet(np.ones(classes + 1), classes)
            rows = [generator.multinomial(n, p) for n, p in zip(truth, shares, strict=True)]
            maps[f"scene{number}"] = Confusion(np.array(rows, np.int64))
    return first, second


def generator():
    return np.random.default_rng(31)


def test_difference_of_two_scenes_by_hand():
    # mIoU of the first: (8/10 + 8/10) / 2; of the second, one scene right and one wrong
    first = {"a": confusion((4, 1, 0), (1, 4, 0)), "b": confusion((5, 0, 0), (0, 5, 0))}
    second = {"a": confusion((5, 0, 0), (0, 5, 0)), "b": confusion((0, 5, 0), (5, 0, 0))}
    found = bootstrap_difference([(first, second)], generator())
    assert found.miou == pytest.approx(9 / 11 - 1 / 3)
    # each scene alone: 4/6 - 1 and 1 - 0; both of them lie among the draws
    assert found.low == pytest.approx(2 / 3 - 1)
    assert found.high == pytest.approx(1)
    assert found.level == 0.95


def test_a_map_differs_from_itself_by_nothing():
    first, _ = random_maps(generator())
    found = bootstrap_difference([(first, first)], generator())
    assert (found.miou, found.low, found.high) == (0, 0, 0)


def test_the_difference_turns_with_the_maps():
    first, second = random_maps(generator())
    there = bootstrap_difference([(first, second)], generator())
    back = bootstrap_difference([(second, first)], generator())
    assert (back.miou, back.low, back.high) == pytest.approx((-there.miou, -there.high, -there.low))


def test_draws_agree_with_a_slow_loop():
    first, second = random_maps(generator())
    found = bootstrap_difference([(first, second)], generator(), resamples=50, level=0.8)
    times = generator().multinomial(6, [1 / 6] * 6, size=50)
    values = []
    for draw in times:
        scores = []
        for maps in (first, second):
            drawn = [one for one, n in zip(maps.values(), draw, strict=True) for _ in range(n)]
            scores.append(Scores.of(sum(drawn[1:], drawn[0])).miou)
        values.append(scores[0] - scores[1])
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.1, 0.9])))


def test_pairs_are_averaged_and_draw_the_same_scenes():
    first, second = random_maps(generator())
    third = {name: Confusion(one.counts.copy()) for name, one in second.items()}
    alone = bootstrap_difference([(first, second)], generator())
    same = bootstrap_difference([(first, second), (first, third)], generator())
    assert (same.miou, same.low, same.high) == pytest.approx((alone.miou, alone.low, alone.high))
    # a seed that is as much better as the other one is worse
    both = bootstrap_difference([(first, second), (second, first)], generator())
    assert (both.miou, both.low, both.high) == pytest.approx((0, 0, 0), abs=1e-12)
    # and one without any difference halves it
    half = bootstrap_difference([(first, second), (first, first)], generator())
    assert (half.miou, half.low) == pytest.approx((alone.miou / 2, alone.low / 2))


def test_scenes_in_another_order_are_paired_by_name():
    first, second = random_maps(generator())
    turned = dict(reversed(second.items()))
    assert bootstrap_difference([(first, turned)], generator()) == bootstrap_difference(
        [(first, second)], generator()
    )


def test_one_scene_says_nothing():
    one = {"a": confusion((4, 1, 0), (1, 4, 0)), "b": Confusion.zeros(2)}
    assert bootstrap_difference([(one, one)], generator()) is None


def test_other_scenes_are_refused():
    first, second = random_maps(generator())
    second["elsewhere"] = second.pop("scene3")
    with pytest.raises(DataError, match=r"have different scenes: only one has 'elsewhere'"):
        bootstrap_difference([(first, second)], generator())


def test_another_truth_is_refused():
    first, second = random_maps(generator())
    second["scene2"] = Confusion(second["scene2"].counts + 1)
    with pytest.raises(DataError, match="the truth of scene 'scene2' differs"):
        bootstrap_difference([(first, second)], generator())


def test_a_level_outside_of_its_range_is_refused():
    first, second = random_maps(generator())
    with pytest.raises(ConfigError, match=r"level is 95, expected a number in \[0, 1\]"):
        bootstrap_difference([(first, second)], generator(), level=95)
