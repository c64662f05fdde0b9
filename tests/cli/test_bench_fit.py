"""`mapsr bench fit` on chips that are smaller than the real ones."""

import json

import stand_ins  # noqa: F401 - one thread
import torch

from mapsr.benchmarks import fit as bench
from mapsr.benchmarks import rasters
from mapsr.cli.main import main
from mapsr.features import TextureSettings
from mapsr.legends import load_crosswalk, load_legend
from mapsr.upsample import BilateralSettings


def test_the_last_line_has_the_ratios(monkeypatch, capsys):
    small, measure = rasters._method, bench.bench_fit

    def weight_free(encoder, upsampler, *more):
        return small(encoder, BilateralSettings().build(None), *more)

    monkeypatch.setattr(rasters, "_method", weight_free)
    monkeypatch.setattr(rasters, "ViT", lambda settings: TextureSettings().build())
    monkeypatch.setattr(bench, "bench_fit", lambda chips, side, p: measure(2, 176, p))
    assert main(["bench", "fit"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result) == set(bench.FitResult.__dataclass_fields__)
    assert all(value > 0 for value in result.values())
    assert result["chips"] == 2


def test_ratios_by_hand():
    result = bench.FitResult.of(fit=3.0, upsampler=5.0, encoder=8.0, chips=16).as_dict()
    assert result["fit_over_encoder"] == 0.375
    assert result["fit_with_upsampling_over_encoder"] == 1.0


def test_coarse_labels_are_the_truth_of_one_pixel_of_each_cell():
    crosswalk = load_crosswalk("paraformer", load_legend("chesapeake_1m"), rasters.LEGEND)
    (chip,) = bench.draw_chips(1, 170, crosswalk)
    assert chip.image.shape == (4, 170, 170) and 0 <= chip.image.min() < chip.image.max() <= 1
    cell = chip.coarse[30:60, 60:90]
    assert (cell == cell[0, 0]).all()
    assert len(torch.unique(chip.coarse)) > 2
