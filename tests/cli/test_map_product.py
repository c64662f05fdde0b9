"""`mapsr map` as it is without any choice: EM prompts, and the product as a prior."""

import csv
import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from make_maps import coarse_file, labels_of

import mapsr.legends
from mapsr.cli.main import main
from mapsr.geo import Grid, cell_spans, read_codes, read_grid
from mapsr.geo.ground import pixel_areas
from mapsr.legends import load_crosswalk, load_legend
from mapsr.methods import load_fitted

QUICK = ("upsampler=bilinear", "prompts.pixels=2000", "windows.chip=48", "windows.overlap=8")


def product(folder, name="village"):
    return next(folder.glob(f"*/{name}_nlcd_30m.tif"))


def image(folder, name="village"):
    return next(folder.glob(f"*/{name}_naip.tif"))


@pytest.fixture(scope="module")
def made(scene_folder, tmp_path_factory):
    """A map made with defaults alone, confidence and scores beside it."""
    out = tmp_path_factory.mktemp("made") / "map.tif"
    given = [f"image={image(scene_folder)}", f"coarse={product(scene_folder)}", f"out={out}"]
    assert main(["map", *given, *QUICK, "confidence=true", "scores=true"]) == 0
    return out


def mapped(made, scene_folder, out, *overrides):
    return main(["map", f"fitted={made.parent}", f"image={image(scene_folder)}", f"out={out}",
                 *overrides])  # fmt: skip


def test_scores_are_probabilities_and_the_confidence_is_the_bests(made):
    with rasterio.open(made.with_name("map_scores.tif")) as scores:
        values = scores.read()
    with rasterio.open(made.with_name("map_confidence.tif")) as confidence:
        sure = confidence.read(1)
        assert confidence.descriptions == ("confidence",)
    seen = labels_of(made) != 255
    assert np.allclose(values[:, seen].sum(0), 1, atol=1e-4)
    assert np.array_equal(sure[seen], values.max(0)[seen])
    assert np.isnan(sure[~seen]).all()


def test_a_record_beside_the_map_says_its_areas_and_the_product_s(made, scene_folder, capsys):
    record = json.loads(made.with_name("map_record.json").read_text())
    labels, grid = labels_of(made), read_grid(made)
    areas = pixel_areas(grid, grid.window)
    codes = read_codes(product(scene_folder), grid, grid.window)
    crosswalk = load_crosswalk("paraformer", load_legend("nlcd"), load_legend("chesapeake4"))
    given = crosswalk.apply(crosswalk.source.encode(codes)[0])
    seen = (labels != 255) & (given != 255)
    for index, row in enumerate(record["areas"]["classes"]):
        assert row["hectares"] == pytest.approx(areas[labels == index].sum() / 1e4, abs=1e-4)
        there = seen & (given == index)
        assert row["product_hectares"] == pytest.approx(areas[there].sum() / 1e4, abs=1e-4)
        if there.any():
            share = 100 * areas[there & (labels == index)].sum() / areas[there].sum()
            assert row["product_that_agrees_per_cent"] == pytest.approx(share, abs=1e-3)
    with rasterio.open(made.with_name("map_confidence.tif")) as dataset:
        sure = dataset.read(1)
    low = 100 * areas[sure < 0.5].sum() / areas[labels != 255].sum()
    assert record["confidence"]["low_per_cent"] == pytest.approx(low, abs=1e-3)
    assert record["product"]["legend"] == "nlcd" and record["product"]["crosswalk"] == "paraformer"
    assert set(record["seconds"]) == {"fit", "map", "measure", "derive", "total"}
    assert record["seconds"]["total"] >= record["seconds"]["fit"] > 0
    (image_file,) = record["inputs"]["images"]
    assert image_file["path"] == str(image(scene_folder).resolve())
    assert record["inputs"]["products"][0]["path"] == str(product(scene_folder).resolve())
    assert record["versions"]["mapsr"] and record["settings"]["low_confidence"] == 0.5
    assert record["command"].startswith("mapsr map image=")
    assert record["log"] == str(made.with_name("map_log.txt"))
    # what the fit found, as docs/em.md promises: it stood in runs alone
    assert record["fitted"]["fit"]["soft_crosswalk"] == "definition"
    assert 0 <= record["fitted"]["fit"]["product_calibration"]["error"] < 1


def test_the_record_is_one_line_of_json_on_stdout(made, scene_folder, tmp_path, capsys):
    out = tmp_path / "map.tif"
    capsys.readouterr()
    assert mapped(made, scene_folder, out, "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == json.loads(out.with_name("map_record.json").read_text())
    assert f"map in {out}" in shown.err
    first = out.with_name("map_record.json").read_bytes()
    assert mapped(made, scene_folder, out) == 0  # made before: measured before
    assert out.with_name("map_record.json").read_bytes() == first
    out.with_name("map_record.json").unlink()
    assert mapped(made, scene_folder, out) == 0
    again = json.loads(out.with_name("map_record.json").read_text())
    assert again["areas"] == json.loads(first)["areas"]
    assert json.loads(first)["product"] is None  # none was named


def test_a_file_of_somebody_else_in_place_of_the_record_stays(made, scene_folder, tmp_path, capsys):
    other = tmp_path / "map_record.json"
    other.write_text('{"type": "FeatureCollection"}')
    assert mapped(made, scene_folder, tmp_path / "map.tif") == 1
    assert "is not a record of a map: choose another out=" in capsys.readouterr().err
    assert other.read_text() == '{"type": "FeatureCollection"}'
    assert not (tmp_path / "map.tif").exists()


def test_a_minimum_unit_and_polygons_lie_beside_the_map(made, scene_folder, tmp_path, capsys):
    out, more = tmp_path / "map.tif", ("mmu=20px", "vectors=true", "confidence=true")
    (tmp_path / "map.gpkg").write_text("somebody's")
    assert mapped(made, scene_folder, out, *more) == 1
    assert "map.gpkg, which is written beside" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "map.gpkg").unlink()
    assert mapped(made, scene_folder, out, "confidence=true") == 0
    assert mapped(made, scene_folder, out, *more) == 0  # of a map that was made before
    labels, sieved = labels_of(out), labels_of(tmp_path / "map_mmu.tif")
    assert np.array_equal(sieved == 255, labels == 255)
    meta, _, _, values = pyogrio.raw.read(tmp_path / "map.gpkg", read_geometry=False)
    rows = dict(zip(meta["fields"], values, strict=True))
    assert rows["pixels"].min() >= 20 and rows["pixels"].sum() == (sieved != 255).sum()
    legend = load_legend("chesapeake4")
    for index, name in enumerate(legend.names):
        assert rows["pixels"][rows["class"] == name].sum() == (sieved == index).sum()
    with rasterio.open(tmp_path / "map_confidence.tif") as dataset:
        mean = np.nanmean(dataset.read(1))
    assert np.average(rows["confidence"], weights=rows["pixels"]) == pytest.approx(mean, abs=1e-5)
    record = json.loads((tmp_path / "map_record.json").read_text())
    assert record["derived"]["mmu"]["patches_left"] == len(rows["pixels"])
    assert record["derived"]["vectors"]["polygons"] == len(rows["pixels"])
    before = (tmp_path / "map.gpkg").stat().st_mtime_ns
    assert mapped(made, scene_folder, out, *more) == 0  # nothing is made again
    assert (tmp_path / "map.gpkg").stat().st_mtime_ns == before
    assert mapped(made, scene_folder, out, "mmu=5") == 1
    assert "mmu=5 can't be read" in capsys.readouterr().err


def test_several_times_the_product_s_area_is_said_where_the_map_is_made(
    made, scene_folder, tmp_path, capsys
):
    # impervious land came out ten times too large, and nothing said it
    labels, out = labels_of(made), tmp_path / "map.tif"
    most = int(np.bincount(labels[labels != 255], minlength=4)[:4].argmax())
    code = 41 if most != 1 else 11  # a class that hardly is there
    grid = read_grid(image(scene_folder))
    place = Grid(grid.crs, grid.transform @ Affine.scale(5), 14, 22)
    other = coarse_file(tmp_path / "one.tif", place, np.full((14, 22), code))
    assert mapped(made, scene_folder, out, other, "product_prior=0") == 0
    err = capsys.readouterr().err
    assert "though the product has none of it" in err
    assert "though the product has none of it" in (tmp_path / "map_log.txt").read_text()
    assert json.loads((tmp_path / "map_record.json").read_text())["warnings"]


def test_the_fit_says_which_table_it_used(made):
    facts = load_fitted(made.parent).state
    assert set(facts.tensors) == {"vectors", "counts", "prior.shares", "prior.area"}
    with rasterio.open(made) as dataset:
        assert dataset.tags()["MAPSR_PRODUCT"] == "village_nlcd_30m.tif"


def test_a_fitted_file_with_the_product_makes_the_same_map(made, scene_folder, tmp_path):
    out = tmp_path / "map.tif"
    assert mapped(made, scene_folder, out, f"coarse={product(scene_folder)}") == 0
    assert np.array_equal(labels_of(out), labels_of(made))


def test_without_the_product_it_maps_and_says_so(made, scene_folder, tmp_path, capsys):
    out = tmp_path / "map.tif"
    assert mapped(made, scene_folder, out, "scores=true") == 0
    assert "is mapped without a coarse product" in capsys.readouterr().err
    with rasterio.open(out) as dataset:
        assert "MAPSR_PRODUCT" not in dataset.tags()
    with (
        rasterio.open(out.with_name("map_scores.tif")) as without,
        rasterio.open(made.with_name("map_scores.tif")) as with_product,
    ):
        assert not np.allclose(without.read(), with_product.read(), equal_nan=True)
    other = tmp_path / "other.tif"
    assert mapped(made, scene_folder, other, "product_prior=0") == 0
    assert capsys.readouterr().err.count("without a coarse product") == 0
    assert np.array_equal(labels_of(other), labels_of(out))


def test_a_strength_below_0_is_refused(made, scene_folder, tmp_path, capsys):
    assert mapped(made, scene_folder, tmp_path / "map.tif", "product_prior=-0.5") == 1
    assert "prior.strength is -0.5, expected a number in [0" in capsys.readouterr().err


def test_a_product_of_another_legend_is_refused(made, scene_folder, tmp_path, capsys):
    grid = read_grid(image(scene_folder))
    place = Grid(grid.crs, grid.transform @ Affine.scale(5), 14, 22)
    other = coarse_file(tmp_path / "other.tif", place, np.full((14, 22), 50))
    out = tmp_path / "map.tif"
    assert mapped(made, scene_folder, out, other) == 1
    err = capsys.readouterr().err
    assert "codes such as 50, which are not in legend 'nlcd'" in err
    assert "product_prior=0" in err and not out.exists()


def test_a_product_that_covers_half_of_the_image_is_used_and_said(
    made, scene_folder, tmp_path, capsys
):
    grid = read_grid(image(scene_folder))
    rows = -(-grid.height // 5)
    half = -(-grid.width // 10)
    place = Grid(grid.crs, grid.transform @ Affine.scale(5), rows, half)
    part = coarse_file(tmp_path / "half.tif", place, np.full((rows, half), 11, np.uint8))
    out = tmp_path / "map.tif"
    assert mapped(made, scene_folder, out, part) == 0
    assert "covers 5" in capsys.readouterr().err
    labels, plain = labels_of(out), tmp_path / "plain.tif"
    assert mapped(made, scene_folder, plain, "product_prior=0") == 0
    water = [(values == 0)[:, : 5 * half].mean() for values in (labels, labels_of(plain))]
    assert water[0] > water[1]  # where it says water, and that is taken for evidence


def test_a_product_that_is_changed_makes_another_map(made, scene_folder, tmp_path, capsys):
    copy, out = tmp_path / "nlcd.tif", tmp_path / "map.tif"
    copy.write_bytes(product(scene_folder).read_bytes())
    assert mapped(made, scene_folder, out, f"coarse={copy}") == 0
    assert mapped(made, scene_folder, out, f"coarse={copy}") == 0
    assert "made before, by the same command" in capsys.readouterr().out
    copy.write_bytes(product(scene_folder).read_bytes())
    assert mapped(made, scene_folder, out, f"coarse={copy}") == 1
    assert "made from other inputs or settings" in capsys.readouterr().err


def test_where_the_product_is_wrong_is_a_layer_and_a_table(made, scene_folder, tmp_path, capsys):
    out = tmp_path / "map.tif"
    coarse = f"coarse={product(scene_folder)}"
    assert mapped(made, scene_folder, out, coarse, "product_error=true") == 1
    assert "product_error=true needs probabilities: set scores=true" in capsys.readouterr().err
    assert mapped(made, scene_folder, out, coarse, "product_error=true", "scores=true") == 0
    with rasterio.open(tmp_path / "map_product_error.tif") as dataset:
        error = dataset.read(1)
    with rasterio.open(tmp_path / "map_scores.tif") as dataset:
        scores = dataset.read()
    legend, grid = load_fitted(made.parent).product, read_grid(out)
    codes = read_codes(product(scene_folder), grid, grid.window)
    crosswalk = load_crosswalk("paraformer", legend, load_fitted(made.parent).target)
    for row, column in ((0, 0), (30, 50), (60, 100)):
        target = crosswalk.table[legend.codes.index(codes[row, column])]
        expected = 1 - scores[target, row, column]
        assert error[row, column] == pytest.approx(expected, nan_ok=True)
    rows = list(csv.DictReader((tmp_path / "map_composition.csv").read_text().splitlines()))
    assert {int(row["code"]) for row in rows} == set(np.unique(codes[~np.isnan(error)]).tolist())
    names = load_fitted(made.parent).target.names
    for row in rows:
        assert sum(float(row[name]) for name in names) == pytest.approx(1, abs=1e-3)
        here = codes == int(row["code"])
        assert float(row["not_its_class"]) == pytest.approx(np.nanmean(error[here]), abs=1e-3)
    assert int(rows[0]["pixels"]) >= int(rows[-1]["pixels"])


def test_a_report_that_can_not_be_written_is_said_and_the_map_stays(
    made, scene_folder, tmp_path, capsys, monkeypatch
):
    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mapsr.region.product_report.write_text", full)
    out = tmp_path / "map.tif"
    more = (f"coarse={product(scene_folder)}", "product_error=true", "scores=true")
    assert mapped(made, scene_folder, out, *more) == 1
    err = capsys.readouterr().err
    assert "No space left on device; the map itself is whole" in err and "Traceback" not in err
    monkeypatch.undo()
    assert mapped(made, scene_folder, out, *more) == 0
    assert out.with_name("map_composition.csv").is_file()


def test_an_edited_table_of_ones_own_makes_another_fit(scene_folder, tmp_path, capsys):
    # the file counted by its path alone: an edited one was "fitted before, by the same command"
    table = tmp_path / "mine.yaml"
    package = Path(mapsr.legends.__file__).parent / "soft_crosswalks" / "nlcd-definition.yaml"
    table.write_text(package.read_text())
    words = [
        *("map", f"image={image(scene_folder)}", f"coarse={product(scene_folder)}", *QUICK),
        *(f"out={tmp_path / 'map.tif'}", f"legend.soft={table}"),
    ]
    assert main(words) == 0
    assert main(words) == 0
    assert "fitted before, by the same command" in capsys.readouterr().out
    table.write_text(package.read_text() + "# edited\n")
    assert main(words) == 1
    assert "was fitted otherwise: legend.soft" in capsys.readouterr().err


def test_the_span_of_a_cell_is_counted_in_pixels_of_the_image(scene_folder):
    grid = read_grid(image(scene_folder))
    rows, columns = cell_spans(product(scene_folder), grid)
    high, wide = read_grid(product(scene_folder)).pixel_size
    assert rows == pytest.approx(high / grid.pixel_size[0], rel=0.01)
    assert columns == pytest.approx(wide / grid.pixel_size[1], rel=0.01)
