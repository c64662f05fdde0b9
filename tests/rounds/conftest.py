import pytest
from make_places import make_place


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """Registry of a miniature place; not to be written to."""
    return make_place(tmp_path_factory.mktemp("place"))
