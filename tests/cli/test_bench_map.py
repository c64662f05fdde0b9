"""`mapsr bench map` on rasters that are smaller than the real ones."""

import json
import math

import numpy as np
import pytest
import rasterio
import stand_ins  # noqa: F401 - one thread

from mapsr.benchmarks import map as bench
from mapsr.benchmarks.rasters import draw_raster
from mapsr.cli.main import main
from mapsr.geo import image_info
from mapsr.progress import Quiet

SMALL = bench.Sizes(
    small=(150, 170), large=(300, 290), linear=((90, 120), (180, 120)), ray=(1000, 1100)
)
KEYS = ("memory_growth", "linearity", "overhead_share", "ray_speedup")


def test_the_last_line_has_the_ratios(monkeypatch, capsys):
    peaks = {"150 x 170": 200.0, "300 x 290": 210.0}
    monkeypatch.setattr(bench, "_in_process", lambda folder, size: peaks[bench._text(size)])
    monkeypatch.setattr(bench, "_overhead", lambda folder, size: (0.25, 3.0))
    monkeypatch.setattr(bench, "_ray_rates", lambda *_: {"1 node": 2.0, "2 nodes": 3.8})
    monkeypatch.setattr(bench, "Sizes", lambda: SMALL)
    seconds = {"90 x 120": 2.0, "180 x 120": 2.5}
    monkeypatch.setattr(bench, "_seconds_per_mpx", lambda _, size: seconds[bench._text(size)])
    assert main(["bench", "map"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["memory_growth"] == pytest.approx(1.05)
    assert result["ray_speedup"] == pytest.approx(1.9)
    assert result["overhead_share"] == 0.25
    assert result["linearity"] == pytest.approx(1.25)
    assert result["seconds_per_mpx"] == seconds


def test_the_rate_leaves_out_the_start():
    class Slow:
        def run(self, tasks):
            yield from tasks

    timed = bench._Timed(Slow())
    assert list(timed.run([1, 2, 3])) == [1, 2, 3]
    timed._times = [10.0, 11.0, 13.0, 15.0]
    assert timed.rate(2) == 2 / 4  # after both have given their first


def test_seconds_per_megapixel_are_means_over_like_amounts_of_pixels(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(bench, "_local", lambda: None)
    monkeypatch.setattr(bench, "_map", lambda work, engine: taken.append(1) or 3.0)
    # 1.5 Mpx: six runs make nine
    assert bench._seconds_per_mpx(tmp_path, (1000, 1500)) == pytest.approx(2.0)
    assert len(taken) == 6


def test_a_drawn_raster_has_no_hard_edges(tmp_path):
    draw_raster(tmp_path / "raster.tif", (70, 2300))
    info = image_info(tmp_path / "raster.tif")
    assert (info.grid.height, info.grid.width, info.bands) == (70, 2300, 4)
    with rasterio.open(tmp_path / "raster.tif") as dataset:
        values = dataset.read().astype(int)
    steps = np.abs(np.diff(values, axis=2)).mean(axis=(0, 1))  # by column
    # the landscape is mirrored at 512 and repeated at 1024: both sides of the edge are alike
    edges = [steps[side - 1] for side in (512, 1024, 1536, 2048)]
    assert max(edges) <= steps.mean()
    assert np.array_equal(values[:, :, :512], values[:, :, 1023:511:-1])


@pytest.mark.soak
def test_all_of_it_runs():
    result = bench.bench_map(SMALL, Quiet()).as_dict()
    assert all(math.isfinite(result[key]) and result[key] > 0 for key in KEYS)
