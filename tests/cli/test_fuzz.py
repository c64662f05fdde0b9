"""Damaged input of every kind for two minutes: no trace, and no output of a command that fails."""

import fuzz
import pytest


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_damaged_input_ends_in_a_sentence():
    counts, faults = fuzz.fuzz(minutes=2, seed=1)
    assert sum(counts.values()) > 20 and len(counts) > 5
    assert faults == []


def test_the_fuzzer_sees_a_trace_and_what_a_failing_command_leaves(monkeypatch, tmp_path):
    def failing(command):
        (tmp_path / "m.tif").touch()
        return fuzz.sys.stdout.write("error: no\n") and 1

    def broken(command):
        raise KeyError("a bug")

    monkeypatch.setattr(fuzz, "main", broken)
    assert fuzz.fault_of(["map"], ()).startswith("trace: KeyError")
    monkeypatch.setattr(fuzz, "main", failing)
    assert fuzz.fault_of(["map"], (tmp_path,)).startswith("output of a failing command")
    assert fuzz.fault_of(["map"], ()) is None
    monkeypatch.setattr(fuzz, "main", lambda command: 1)
    assert fuzz.fault_of(["map"], ()) == "no word on what failed"
