"""Maps held against truth, in bands, through the crosswalk of each layer."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from mapsr.data import Scene, SceneSource
from mapsr.evaluation import judging
from mapsr.evaluation.judging import judge, judge_confidence, metrics_of, pooled
from mapsr.geo import Grid, write_raster
from mapsr.legends import Legends, LegendSettings

LEGENDS = Legends.load(LegendSettings())
SIZE = 4, 6
GRID = Grid(CRS.from_epsg(26917), Affine(1, 0, 529483, 0, -1, 4149392), *SIZE)
WATER, FOREST, CROPS, CITY = 11, 41, 82, 24
"""Codes of NLCD for the four target classes 0 to 3."""
TRUTH = np.array([[0, 0, 1, 1, 2, 255]] * 3 + [[3] * 6])
# codes of the Chesapeake truth: water 1, trees 2, low vegetation 3, impervious 5; 0 is nodata
TRUTH_CODES = np.select([TRUTH == 0, TRUTH == 1, TRUTH == 2, TRUTH == 3], [1, 2, 3, 5], 0)


@pytest.fixture
def scene(tmp_path):
    coarse = np.full(SIZE, FOREST)
    coarse[:, :2] = WATER
    coarse[3] = CITY
    for name, codes in (("truth", TRUTH_CODES), ("coarse", coarse)):
        write_raster(tmp_path / f"{name}.tif", codes.astype(np.uint8), GRID, nodata=0)
    write_raster(tmp_path / "image.tif", np.ones((3, *SIZE), np.uint8), GRID)
    return Scene(*("one", *(tmp_path / f"{n}.tif" for n in ("image", "coarse", "truth"))))


@pytest.fixture
def source():
    return SceneSource(255, LEGENDS.coarse, LEGENDS.truth)


def written(path: Path, values, dtype=np.uint8, nodata=255):
    write_raster(path, np.asarray(values, dtype), GRID, nodata=nodata)
    return path


@pytest.mark.parametrize("band", [1, 3, 1024])
def test_counts_by_hand_whatever_the_bands(scene, source, tmp_path, monkeypatch, band):
    monkeypatch.setattr(judging, "_BAND_PX", band)
    labels = np.full(SIZE, 1)
    labels[0, 0], labels[3, 5] = 0, 255
    judgement = judge(source, {scene: {"map": written(tmp_path / "map.tif", labels)}}, LEGENDS)
    counts = pooled(judgement["map"]).counts
    expected = np.zeros((4, 5), np.int64)
    expected[0, 0], expected[0, 1] = 1, 5  # water: one pixel right
    expected[1, 1], expected[2, 1], expected[3, 1], expected[3, 4] = 6, 3, 5, 1
    assert np.array_equal(counts, expected)


def test_the_product_is_judged_through_its_own_crosswalk(scene, source, tmp_path):
    path = written(tmp_path / "map.tif", np.zeros(SIZE))
    judgement = judge(source, {scene: {"map": path, "probe": path}}, LEGENDS)
    assert set(judgement) == {"map", "probe", "coarse"}
    counts = pooled(judgement["coarse"]).counts
    # water and city are right; all else is forest, of which crops are wrong
    assert counts.diagonal().tolist() == [6, 6, 0, 6] and counts[2, 1] == 3
    metrics = metrics_of(judgement, LEGENDS.target.names, 0)
    assert metrics["coarse"]["oa"] == pytest.approx(18 / 21)
    assert metrics["oa"] == pytest.approx(6 / 21) and metrics["probe"]["oa"] == metrics["oa"]


def test_scenes_without_truth_are_not_judged(scene, source, tmp_path):
    bare = Scene("bare", scene.image, scene.coarse, None)
    path = written(tmp_path / "map.tif", np.zeros(SIZE))
    judgement = judge(source, {bare: {"map": path}}, LEGENDS)
    assert judgement == {}
    metrics = metrics_of(judgement, LEGENDS.target.names, 0, ("map", "coarse", "probe"))
    assert metrics["miou"] is None and metrics["coarse"] == {"miou": None, "oa": None, "iou": None}
    assert judge_confidence(source, {bare: (path, path)}).counts.sum() == 0


@pytest.mark.parametrize("band", [1, 1024])
def test_confidence_by_hand(scene, source, tmp_path, monkeypatch, band):
    monkeypatch.setattr(judging, "_BAND_PX", band)
    labels = written(tmp_path / "map.tif", np.ones(SIZE))
    sure = np.full(SIZE, 0.62)
    sure[:, 0], sure[0, 2] = 0.97, np.nan
    path = written(tmp_path / "sure.tif", sure, np.float32, float("nan"))
    found = judge_confidence(source, {scene: (labels, path)})
    # 21 pixels have truth, one no confidence: 4 in the highest bin, 16 in that of 0.62
    assert found.counts[19] == 4 and found.counts[12] == 16 and found.counts.sum() == 20
    assert found.right[19] == 0 and found.right[12] == 5
    expected = abs(4 * 0.97) / 20 + abs(16 * 0.62 - 5) / 20
    assert found.error == pytest.approx(expected, rel=1e-6)
