"""`mapsr bench gpu` on a chip that is smaller than the real one, and without a GPU."""

import json

import pytest
import stand_ins  # noqa: F401 - one thread
import torch

from mapsr.benchmarks import gpu as bench
from mapsr.benchmarks import rasters
from mapsr.cli.main import main
from mapsr.geo import WindowSettings

STAGES = ("encode", "upsample", "networks", "score", "superpixels", "graph", "blend")


def test_without_a_gpu_it_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "gpu"]) == 1
    said = capsys.readouterr().err.strip()
    assert said.endswith(
        "mapsr bench gpu needs a CUDA device, and torch finds none here: run it where there is "
        "one, or give --device cpu for a small run on the CPU."
    )


def test_the_cpu_goes_the_way_of_a_gpu(monkeypatch, capsys):
    windows = WindowSettings(chip=64, overlap=8, unit=128)
    monkeypatch.setattr(bench, "ON_CPU", bench.Sizes((64, 110), windows, (64, 64), 1))
    monkeypatch.setattr(rasters, "ENCODER", "vit_tiny_patch16_224")
    assert main(["bench", "gpu", "--device", "cpu", "--batch", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert tuple(result["stage_seconds"]) == STAGES
    assert all(seconds >= 0 for seconds in result["stage_seconds"].values())
    assert result["stage_seconds"]["networks"] <= result["stage_seconds"]["upsample"]
    assert (result["chips"], result["batch"], result["device"]) == (2, 2, "cpu")
    assert result["chips_per_second"] > 0 and result["peak_mib"] > 0
    assert result["mpx_per_second"] == pytest.approx(
        result["chips_per_second"] * 64 * 110 / 2e6, rel=1e-6
    )
    assert 0 < result["utilisation"] <= 2
    assert lines[0].split()[0] == "encode" and "batch 2, peak" in lines[-2]


@pytest.mark.gpu
def test_a_gpu_is_measured(capsys):
    assert main(["bench", "gpu"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["chips_per_second"] > 1
