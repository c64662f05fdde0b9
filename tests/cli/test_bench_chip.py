"""`mapsr bench chip` on a chip and networks that are smaller than the real ones."""

import json

import pytest
import stand_ins  # noqa: F401 - one thread
import torch

from mapsr.benchmarks import chip as bench
from mapsr.benchmarks import rasters
from mapsr.cli.main import main


@pytest.fixture
def small(monkeypatch):
    """A chip of 176 px and a small ViT, in a processor without bfloat16."""
    measure = bench.bench_chip
    monkeypatch.setattr(bench, "bench_chip", lambda repeats, side, p: measure(repeats, 176, p))
    monkeypatch.setattr(rasters, "ENCODER", "vit_tiny_patch16_224")
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)


def test_the_last_line_has_the_ratios(small, capsys):
    assert main(["bench", "chip", "--repeats", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert set(result) == set(bench.ChipResult.__dataclass_fields__)
    for name, ratio in (("exact", "chip_over_encoder"), ("fast", "fast_over_encoder")):
        assert result[ratio] == result[f"{name}_seconds"] / result["encoder_seconds"] > 0
        stages = result[f"{name}_stages"]
        assert set(stages) == {"encode", "upsample", "networks", "score", "refine"}
        parts = sum(seconds for stage, seconds in stages.items() if stage != "networks")
        assert 0 < parts <= result[f"{name}_seconds"] * 1.01
    # what the reader must know of this processor is said
    assert result["fast_encoder"] == "float32" and result["note"] in lines
    assert lines[2].startswith("fast ")


def test_the_shortest_of_several_times_counts_with_its_own_stages():
    timing = bench.Timing()
    for seconds in (3.0, 2.0, 4.0):
        timing.add(seconds, {"encode": seconds / 2})
    found = {"encoder": bench.Timing(4.0), "exact": bench.Timing(9.0), "fast": timing}
    result = bench.ChipResult.of(found, "bfloat16", "", 3).as_dict()
    assert (result["chip_over_encoder"], result["fast_over_encoder"]) == (2.25, 0.5)
    assert result["fast_stages"] == {"encode": 1.0}
