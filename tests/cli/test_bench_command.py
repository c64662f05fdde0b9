"""`mapsr bench upsample` on a chip that is smaller than the real one."""

import json

import pytest
import stand_ins  # noqa: F401 - one thread

from mapsr.benchmarks import upsample
from mapsr.cli.main import main


class SameProcess:
    """A pool without processes; peaks are made up, in MiB."""

    def __init__(self, method):
        assert method == "spawn"

    def Pool(self, count):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def apply(self, function, arguments):
        assert function is upsample._peak_mib
        return {"ours": 30.0, "dense": 120.0}[arguments[0]]


@pytest.fixture
def small(monkeypatch):
    """A chip of 192 px with 8 x 8 tokens of 16 channels; no child processes."""
    for name, value in {
        "CHIP_PX": 192,
        "GRID": 8,
        "CHANNELS": 16,
        "ENCODER": "vit_tiny_patch16_224",
    }.items():
        monkeypatch.setattr(upsample, name, value)
    monkeypatch.setattr(upsample.multiprocessing, "get_context", SameProcess)
    monkeypatch.setenv("MAPSR_OFFLINE", "1")


def test_the_last_line_is_json_and_both_ways_agree(small, capsys):
    assert main(["bench", "upsample", "--repeats", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert result["max_abs_diff"] <= 1e-4
    assert result["same_label"] >= 0.9999
    assert result["memory_ratio"] == 0.25
    assert min(result["speedup"], result["over_encoder"]) > 0
    assert lines[0].startswith("ours ") and "30 MiB" in lines[0]


def test_ratios_by_hand():
    found = upsample.ratios(
        {"ours": 4.0, "dense": 14.0, "encoder": 2.0}, {"ours": 30.0, "dense": 120.0}
    )
    assert (found["speedup"], found["over_encoder"], found["memory_ratio"]) == (3.5, 2.0, 0.25)


def test_both_ways_are_not_the_same_computation(small):
    chip = upsample.Chip("cpu")
    ours, dense = chip.ours(), chip.dense()
    assert ours.shape == dense.shape == (4, 192, 192)
    assert len(ours.argmax(0).unique()) > 1
    assert not ours.equal(dense)  # else one is compared with itself
