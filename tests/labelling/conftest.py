import json
from types import SimpleNamespace

import numpy as np
import pytest
from make_votes import PRODUCTS, patch_of


@pytest.fixture(scope="session")
def reference(shared):
    """Values of a brute-force oracle: arrays, facts, and the patch that they belong to."""
    folder = shared / "reference"
    arrays = dict(np.load(folder / "iel_reference.npz"))
    patch = patch_of({name: arrays[name] for name in PRODUCTS[:-1]}, arrays["osm"])
    facts = json.loads((folder / "iel_reference.json").read_text("utf-8"))
    return SimpleNamespace(arrays=arrays, patch=patch, facts=facts)
