"""A mirror that fails does not decide about the run."""

from contextlib import contextmanager

import numpy as np
import pytest

from mapsr.errors import ConfigError
from mapsr.tracking.logger import guarded


class Failing:
    """Fails in one of its calls."""

    def __init__(self, what):
        self.what, self.calls = what, []

    def __getattr__(self, name):
        def call(*_):
            self.calls.append(name)
            if name == self.what:
                raise OSError("no space left\nsecond line")

        return call


@contextmanager
def opened(mirror):
    failed = True
    try:
        yield mirror
        failed = False
    finally:
        mirror.calls.append("failed" if failed else "finished")
        if mirror.what == "close":
            raise OSError("the service is gone")


def use(mirror):
    with guarded(opened(mirror)) as guard:
        guard.step(1, {})
        guard.metrics({})
        guard.picture("a", None)
        guard.confusion(np.zeros((1, 2), np.int64), ["a"])


@pytest.mark.parametrize("what", ["step", "metrics", "picture", "confusion", "close"])
def test_a_failure_is_one_warning_and_the_run_goes_on(what, caplog):
    mirror = Failing(what)
    use(mirror)
    assert len(caplog.records) == 1
    assert "the run goes on without it" in caplog.text and "second line" not in caplog.text
    after = mirror.calls[mirror.calls.index(what) + 1 :] if what != "close" else []
    assert after in ([], ["finished"])  # a mirror that failed is only closed


def test_a_mirror_that_works_gets_everything():
    mirror = Failing(None)
    use(mirror)
    assert mirror.calls == ["step", "metrics", "picture", "confusion", "finished"]


@pytest.mark.parametrize("what", [None, "close"])
def test_the_runs_own_error_stays_the_error(what, caplog):
    mirror = Failing(what)
    with pytest.raises(ZeroDivisionError), guarded(opened(mirror)):
        raise ZeroDivisionError
    assert mirror.calls == ["failed"]
    assert len(caplog.records) == (0 if what is None else 1)


def test_what_is_wrong_before_the_run_is_an_error():
    @contextmanager
    def refused():
        raise ConfigError("no credentials")
        yield

    with pytest.raises(ConfigError, match="no credentials"), guarded(refused()):
        pass
