"""Fixtures for the tests of the training."""

import pytest
from make_training import make_scene


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return tuple(make_scene(folder, name, (24, 32), seed=k) for k, name in enumerate("ab"))
