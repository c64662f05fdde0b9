"""Fixtures for the whole tests tree."""

import os
from pathlib import Path

# Workers share the cores: one thread each, here and in the processes that they start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from make_scenes import make_scene_folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need a CUDA device where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch  # takes seconds, which other tests should not

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the real imagery (data/) and weights (weights/); skips where there is none."""
    folder = os.environ.get("MAPSR_SHARED")
    if not folder:
        pytest.skip("needs real imagery or weights, and MAPSR_SHARED is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Miniature data set {train,val}/{scene}_{naip,nlcd_30m,cclc}.tif; not to be written to."""
    return make_scene_folder(tmp_path_factory.mktemp("scenes"))
