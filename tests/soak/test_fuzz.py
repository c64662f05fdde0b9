"""Damaged input of every kind for two minutes: no trace, and no output of a command that fails."""

import pytest
from fuzz import fuzz


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_damaged_input_ends_in_a_sentence():
    counts, faults = fuzz(minutes=2, seed=1)
    assert sum(counts.values()) > 20 and len(counts) > 5
    assert faults == []
