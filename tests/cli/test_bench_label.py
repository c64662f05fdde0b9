"""`mapsr bench label` on regions that are smaller than the real ones."""

import json

import numpy as np
import pytest
import stand_ins  # noqa: F401 - one thread

from mapsr.benchmarks import label as bench
from mapsr.benchmarks.label_region import draw_region
from mapsr.cli.main import main
from mapsr.geo import Window
from mapsr.labelling import VotingSettings, load_registry, make_plan, open_products, read_patch

SMALL = bench.Sizes(patch=64, small=1, middle=2, large=3, repeats=1, patches=1)


def test_the_last_line_has_the_ratios(monkeypatch, capsys):
    peaks = {1: 200.0, 9: 210.0}
    ran = []

    def labelled(settings, progress):
        patches = {"1": 1, "2": 4, "3": 9}[settings.image.split("/")[-2]]
        ran.append(patches)
        return None, {"seconds": {"vote": {1: 2.0, 4: 9.0, 9: 18.0}[patches]}}, True

    monkeypatch.setattr(bench, "Sizes", lambda: SMALL)
    monkeypatch.setattr(bench, "run_labelling", labelled)
    monkeypatch.setattr(bench, "_in_process", lambda one: peaks[int(one.image.split("/")[-2]) ** 2])
    assert main(["bench", "label"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["memory_growth"] == pytest.approx(1.05)
    assert result["linearity"] == pytest.approx(2.25 / 2)
    assert 0 < result["vector_share"] < 1
    assert result["prompts"] > 0
    assert ran == [1, 1, 4, 9]


def test_labelling_of_a_drawn_region_is_timed(tmp_path):
    from mapsr.cli.compose import compose_label

    region = draw_region(tmp_path, 1, 64)
    words = [f"image={region.image}", f"registry={region.registry}", "patch=64"]
    settings = compose_label([*words, f"output={tmp_path / 'labels'}", "overwrite=true"])
    found = bench._seconds_per_patch({1: settings}, 1, 1)
    assert found["1 patches"] > 0
    metrics = json.loads((tmp_path / "labels" / "metrics.json").read_text())
    assert metrics["patches"] == 1
    assert 0 < metrics["rounds"][0]["trusted"] <= 1
    assert bench.peak_of_labelling(settings) > 1


def test_patches_of_a_drawn_region_differ_and_all_products_vote(tmp_path):
    region = draw_region(tmp_path, 2, 256)
    assert region.patches == 4
    plan = make_plan(load_registry(str(region.registry)), VotingSettings())
    products = open_products(plan.products)
    grid = products[0].tiles.grids[0]
    assert (grid.height, grid.width) == (512, 512)
    patches = [
        read_patch(products, plan.weights, plan.target, grid, Window(row, col, 256, 256))
        for row in (0, 256)
        for col in (0, 256)
    ]
    said = {prompt.product for patch in patches for prompt in patch.prompts}
    assert said == set(range(6))
    masks = [
        next(one.mask for one in patch.prompts if one.product == 5 and one.target == 2)
        for patch in patches
    ]
    assert not any(np.array_equal(masks[0], other) for other in masks[1:])
