import json

import numpy as np
import pytest

from mapsr.errors import ConfigError, DataError
from mapsr.evaluation.confusion import Confusion
from mapsr.evaluation.intervals import bootstrap
from mapsr.evaluation.scores import Scores


def scene(hits, misses):
    return Confusion(np.array([[hits, misses, 0], [misses, hits, 0]]))


SCENES = [scene(90, 10), scene(60, 40), scene(70, 30), scene(20, 80)]


def test_equals_a_loop_over_draws():
    found = bootstrap(SCENES, np.random.default_rng(5021), resamples=50, level=0.8)
    generator, values = np.random.default_rng(5021), []
    for times in generator.multinomial(4, [0.25] * 4, size=50):
        pool = Confusion.zeros(2)
        for confusion, count in zip(SCENES, times, strict=True):
            pool = pool + Confusion(confusion.counts * count)
        values.append(Scores.of(pool).miou)
    assert found is not None
    np.testing.assert_allclose(found.miou, np.quantile(values, [0.1, 0.9]))


def test_interval_holds_the_pooled_score_and_grows_with_the_level():
    narrow = bootstrap(SCENES, np.random.default_rng(77), level=0.5)
    wide = bootstrap(SCENES, np.random.default_rng(77), level=0.95)
    assert wide.oa[0] < narrow.oa[0] < 240 / 400 < narrow.oa[1] < wide.oa[1]
    assert wide.scenes == 4


def test_equal_scenes_leave_no_doubt():
    found = bootstrap([scene(3, 1)] * 5, np.random.default_rng(1), resamples=20)
    assert found.oa == (0.75, 0.75)
    assert found.miou == pytest.approx((0.6, 0.6))


def test_one_scene_or_none_gives_no_interval():
    assert bootstrap([], np.random.default_rng(2)) is None
    assert bootstrap(SCENES[:1], np.random.default_rng(2)) is None


def test_scenes_without_truth_are_not_drawn():
    empty = Confusion.zeros(2)
    assert bootstrap([SCENES[0], empty], np.random.default_rng(3)) is None
    found = bootstrap([empty, *SCENES], np.random.default_rng(3), resamples=200)
    assert found.scenes == 4
    assert np.isfinite(found.miou).all()


def test_as_dict_is_json():
    found = bootstrap(SCENES, np.random.default_rng(4), resamples=10)
    record = found.as_dict()
    assert json.loads(json.dumps(record)) == record
    assert record["resamples"] == 10


@pytest.mark.parametrize(("key", "value"), [("resamples", 0), ("level", 1.5)])
def test_settings_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"{key} is {value}, expected a number in"):
        bootstrap(SCENES, np.random.default_rng(5), **{key: value})


def test_scenes_of_two_legends_are_refused():
    with pytest.raises(DataError, match="different legends"):
        bootstrap([Confusion.zeros(2), Confusion.zeros(3)], np.random.default_rng(6))
