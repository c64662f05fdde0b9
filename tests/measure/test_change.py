"""`mapsr change`: a raster of changes and a matrix in hectares."""

import csv
import json

import numpy as np
import pytest
import rasterio
from make_labels import ALBERS, map_file, quarters

from mapsr.cli.main import main
from mapsr.geo import Grid, Window, read_grid
from mapsr.geo.palettes import read_legend


@pytest.fixture
def maps(tmp_path):
    """A map, and one before it: five columns of the built land were forest, a row was water."""
    before = quarters()
    before[20:39, 45:50] = 1
    before[20, :45] = 0
    before[0] = 255
    return (
        map_file(tmp_path / "map.tif", quarters()),
        map_file(tmp_path / "before.tif", before),
    )


def test_changes_are_counted_by_hand_and_drawn(maps, tmp_path, capsys):
    after, before = maps
    out = tmp_path / "change.tif"
    assert main(["change", str(after), str(before), f"out={out}", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [(one["from"], one["to"]) for one in record["changes"]] == [
        ("forest", "built"),
        ("water", "forest"),
    ]
    assert [one["hectares"] for one in record["changes"]] == pytest.approx([95, 45], rel=1e-6)
    assert record["compared_hectares"] == pytest.approx(38 * 60, rel=1e-6)
    assert record["same_hectares"] == pytest.approx(38 * 60 - 140, rel=1e-6)
    rows = list(csv.reader((tmp_path / "change.csv").read_text().splitlines()))
    assert rows[0][1:] == ["water", "forest", "built"]
    assert rows[2][0] == "forest" and float(rows[2][3]) == pytest.approx(95, rel=1e-6)
    legend = read_legend(out)
    assert legend.names == ("as the product", "water to forest", "forest to built")
    with rasterio.open(out) as dataset:
        values = dataset.read(1)
    expected = np.zeros_like(values)
    expected[20, :45] = 1
    expected[20:39, 45:50] = 2
    expected[[0, -1]] = 255
    assert np.array_equal(values, expected)
    assert read_grid(out) == read_grid(after)


def test_a_change_of_several_windows_is_that_of_one(maps, tmp_path, monkeypatch):
    after, before = maps
    one, two = tmp_path / "one.tif", tmp_path / "two.tif"
    assert main(["change", str(after), str(before), f"out={one}"]) == 0
    monkeypatch.setattr("mapsr.measure.labels.blocks.__defaults__", (17,))
    assert main(["change", str(after), str(before), f"out={two}"]) == 0
    with rasterio.open(one) as first, rasterio.open(two) as second:
        assert np.array_equal(first.read(), second.read())


def test_what_can_not_be_compared_is_a_sentence(maps, tmp_path, capsys):
    after, _ = maps
    far = Grid(ALBERS.crs, ALBERS.crop(Window(900, 900, 1, 1)).transform, 40, 60)
    elsewhere = map_file(tmp_path / "far.tif", quarters(), far)
    out = tmp_path / "change.tif"
    for words, says in (
        ([str(elsewhere), f"out={out}"], "has no class where"),
        ([str(after), f"out={after}"], "is an input itself"),
        ([str(after), "out=change.png"], "expected a name that ends in .tif"),
    ):
        assert main(["change", str(after), *words]) == 1
        assert says in capsys.readouterr().err
    assert main(["change", str(after), str(after), f"out={out}"]) == 0
    assert "0 ha" not in capsys.readouterr().err
    assert main(["change", str(after), str(after), f"out={out}"]) == 1
    assert "is there already" in capsys.readouterr().err
