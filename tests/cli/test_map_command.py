"""`mapsr map`: the method of a run, applied to an image."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
import yaml
from make_maps import QUICK_FIT, finished_run, fitted, labels_of, mapped
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from stand_ins import uniform

from mapsr.cli.main import main
from mapsr.data import Chip
from mapsr.geo import Window, read_grid, read_image, write_raster
from mapsr.legends import load_legend
from mapsr.methods import Runtime, load_fitted


@pytest.fixture(scope="module")
def run(scene_folder, tmp_path_factory):
    return finished_run(scene_folder, tmp_path_factory.mktemp("map") / "run")


@pytest.fixture
def image(scene_folder):
    return scene_folder / "val" / "village_naip.tif"


def spoiled(run, path, vectors=None, **about):
    """A copy of the run's prompt file with other contents."""
    source = run / "fitted.safetensors"
    with safe_open(source, framework="pt") as opened:
        metadata = json.loads(opened.metadata()["mapsr"])
    tensors = load_file(source)
    if vectors is not None:
        tensors["vectors"] = vectors
    save_file(tensors, path, metadata={"mapsr": json.dumps(metadata | about)})
    return path


def test_the_map_is_that_of_the_run(run, image, tmp_path, capsys):
    out = tmp_path / "map.tif"
    assert mapped(run, image, out) == 0
    assert capsys.readouterr().out.startswith(f"map in {out}\nCLASS ")
    assert (labels_of(out) == labels_of(run / "maps" / "village.tif")).all()


def test_a_fitted_method_maps_fast_and_the_record_says_what_that_came_to(run, image, tmp_path):
    out = tmp_path / "map.tif"
    assert mapped(run, image, out, "speed=fast", "speed.neighbours=7") == 0
    record = json.loads((tmp_path / "map_record.json").read_text())
    # without networks there is nothing to be made faster but the graph
    assert record["speed"] == {"encoder": "float32", "upsampler": "float32", "guide": 1}
    assert record["settings"]["speed"]["neighbours"] == 7
    with rasterio.open(out) as dataset:
        made = json.loads(dataset.tags()["MAPSR_CONFIGURATION"])
    assert made["speed"]["kind"] == "fast"


def test_the_map_carries_grid_palette_and_tags(run, image, tmp_path):
    out = tmp_path / "map.tif"
    assert mapped(run / "fitted.safetensors", image, out) == 0
    assert read_grid(out) == read_grid(image)
    with rasterio.open(out) as dataset:
        assert (dataset.count, dataset.nodata, dataset.dtypes) == (1, 255, ("uint8",))
        palette = dataset.colormap(1)
        assert [palette[index][:3] for index in range(4)] == list(load_legend("chesapeake4").colors)
        tags = dataset.tags()
    assert tags["MAPSR_CROSSWALK"] == "paraformer"
    assert len(tags["MAPSR_FITTED"]) == 64


@pytest.mark.parametrize("size", [(1, 61), (61, 1), (1, 1), (13, 29), (49, 97)])
def test_images_of_any_size(run, image, tmp_path, size):
    part, out = tmp_path / "part.tif", tmp_path / "map.tif"
    with rasterio.open(image) as dataset:
        values = dataset.read()
    values = np.pad(values, ((0, 0), (0, 30), (0, 0)), mode="reflect")[:, : size[0], : size[1]]
    write_raster(part, values, read_grid(image).crop(Window(0, 0, *size)))
    # a raster of one chip is what the method says of that chip
    assert mapped(run, part, out, "windows.chip=128", "windows.unit=128") == 0
    window = Window(0, 0, *size)
    pixels, valid = map(torch.from_numpy, read_image(part, window, None, 255))
    method = load_fitted(run).build(Runtime(torch.device("cpu")))
    scores = method.score([Chip("part", window, pixels, valid, None, None)])["map"][0]
    assert (labels_of(out) == scores.argmax(0).numpy()).all()
    # cut into chips, it differs only where these begin and end
    cut = tmp_path / "cut.tif"
    assert mapped(run, part, cut) == 0
    assert (labels_of(cut) == labels_of(out)).mean() > 0.95


def test_nodata_stays_nodata(run, image, tmp_path):
    part, out = tmp_path / "part.tif", tmp_path / "map.tif"
    with rasterio.open(image) as dataset:
        values = np.maximum(dataset.read(), 1)
    values[:, :20, :60] = 0
    write_raster(part, values, read_grid(image), nodata=0)
    assert mapped(run, part, out) == 0
    assert ((labels_of(out) == 255) == (values == 0).all(0)).all()


def test_confidence_and_scores_lie_beside_the_map(run, image, tmp_path, capsys):
    out = tmp_path / "map.tif"
    assert mapped(run, image, out, "confidence=true", "scores=true") == 0
    labels = labels_of(out)
    with rasterio.open(tmp_path / "map_scores.tif") as dataset:
        assert dataset.descriptions == load_legend("chesapeake4").names
        scores = dataset.read()
    with rasterio.open(tmp_path / "map_confidence.tif") as dataset:
        assert dataset.descriptions == ("confidence",)
        confidence = dataset.read(1)
    scored = np.where(np.isfinite(scores), scores, -np.inf)
    assert (scored.argmax(0) == labels).all()
    best, second = -np.sort(-scored, axis=0)[:2]
    np.testing.assert_allclose(confidence, best - second, rtol=1e-5, atol=1e-7)
    assert capsys.readouterr().out.startswith(f"map in {out}\nCLASS ")


def test_a_pattern_maps_each_image(run, scene_folder, tmp_path, capsys):
    out = tmp_path / "maps"
    assert mapped(run, f"{scene_folder}/**/*_naip.tif", out) == 0
    assert sorted(path.name for path in out.glob("*.tif")) == [
        "field_naip.tif",
        "village_naip.tif",
        "wood_naip.tif",
    ]
    assert (labels_of(out / "village_naip.tif") == labels_of(run / "maps" / "village.tif")).all()
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert sorted(path.name for path in out.glob(".*")) == []


def test_a_list_maps_each_image(run, image, scene_folder, tmp_path):
    table = tmp_path / "list.csv"
    relative = Path(os.path.relpath(scene_folder / "train" / "wood_naip.tif", tmp_path))
    table.write_text(f"image_fn\n{image}\n{relative}\n")
    assert mapped(run, table, tmp_path / "maps") == 0
    assert {path.name for path in (tmp_path / "maps").glob("*.tif")} == {
        "village_naip.tif",
        "wood_naip.tif",
    }


def test_a_folder_takes_the_map_of_one_image(run, image, tmp_path, capsys):
    assert mapped(run, image, tmp_path) == 0
    assert capsys.readouterr().out.startswith(f"map in {tmp_path / 'village_naip.tif'}\n")


def halves(image, folder):
    """The image as two files that share columns, with a reason to read in order."""
    with rasterio.open(image) as dataset:
        values = dataset.read()
    grid = read_grid(image)
    for name, window in (("a", Window(0, 0, 70, 60)), ("b", Window(0, 50, 70, 60))):
        rows, columns = window.slices
        write_raster(folder / f"{name}.tif", values[:, rows, columns], grid.crop(window))
    return folder / "?.tif"


def test_a_mosaic_is_mapped_as_the_merged_raster_is(run, image, tmp_path):
    tiles = halves(image, tmp_path)
    whole, mosaic = tmp_path / "whole_map.tif", tmp_path / "mosaic_map.tif"
    assert mapped(run, image, whole, "scores=true") == 0
    assert mapped(run, tiles, mosaic, "scores=true", "mosaic=true") == 0
    assert read_grid(mosaic) == read_grid(image)
    assert (labels_of(mosaic) == labels_of(whole)).all()
    one, other = (tmp_path / f"{name}_map_scores.tif" for name in ("whole", "mosaic"))
    np.testing.assert_array_equal(labels_of(one), labels_of(other))


def test_images_of_one_name_in_two_folders_are_not_taken_for_each_other(scene_folder, tmp_path):
    # features that are kept for the second pass were once kept by the image's name
    renamed = []
    for name in ("field", "wood"):
        (tmp_path / name).mkdir()
        for kind in ("naip", "nlcd_30m"):
            source = scene_folder / "train" / f"{name}_{kind}.tif"
            (tmp_path / name / f"{kind}.tif").symlink_to(source)
            (tmp_path / f"{name}_{kind}.tif").symlink_to(source)
        renamed.append(f"{name}/naip.tif,{name}/nlcd_30m.tif")
    own = [f"{name}_naip.tif,{name}_nlcd_30m.tif" for name in ("field", "wood")]
    found = []
    for rows, out in ((renamed, "same.tif"), (own, "own.tif")):
        table = tmp_path / f"{out}.csv"
        table.write_text("\n".join(["image_fn,label_fn", *rows]))
        command = ["map", f"image={table}", f"out={tmp_path / out}", "mosaic=true", *QUICK_FIT]
        assert main(command) == 0
        found.append(labels_of(tmp_path / out))
    np.testing.assert_array_equal(*found)


def test_the_coarse_product_is_never_overwritten(scene_folder, image, capsys):
    coarse = scene_folder / "val" / "village_nlcd_30m.tif"
    before = coarse.read_bytes()
    command = ["map", f"image={image}", f"coarse={coarse}", f"out={coarse}", "overwrite=true"]
    assert main(command) == 1
    assert "is the product itself; choose another path" in capsys.readouterr().err
    assert coarse.read_bytes() == before


def test_a_vrt_is_mapped_as_the_merged_raster_is(run, image, tmp_path):
    path = tmp_path / "area.vrt"
    rasterio.shutil.copy(image, path, driver="VRT")
    out = tmp_path / "map.tif"
    assert mapped(run, path, out) == 0
    assert (labels_of(out) == labels_of(run / "maps" / "village.tif")).all()


@pytest.mark.parametrize(
    "overrides", [["engine.workers=3"], ["compute.batch=4", "engine.workers=1"]]
)
def test_workers_and_batches_change_no_label(run, image, tmp_path, overrides):
    out = tmp_path / "map.tif"
    assert mapped(run, image, out, *overrides) == 0
    assert (labels_of(out) == labels_of(run / "maps" / "village.tif")).all()


def test_show_prints_the_configuration_and_maps_nothing(run, image, tmp_path, capsys):
    assert mapped(run, image, tmp_path / "map.tif", "windows.unit=99", "--show") == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["image"] == str(image)
    windows = shown["windows"]
    assert (windows["chip"], windows["unit"]) == (48, 99)  # as fitted, and as given
    assert shown["refine"]["nodes"] == "none"
    assert list(tmp_path.iterdir()) == []


def test_fitted_on_the_coarse_product_first(scene_folder, tmp_path, capsys):
    out = tmp_path / "map.tif"
    assert fitted(scene_folder, "village", out) == 0
    prompts = tmp_path / "map.fitted.safetensors"
    assert capsys.readouterr().out.startswith(f"fitted method in {prompts}\nmap in {out}\n")
    with rasterio.open(scene_folder / "val" / "village_cclc.tif") as dataset:
        truth = dataset.read(1)
    trees = labels_of(out) == 1
    assert trees[truth == 2].mean() > 0.8  # the truth's code 2 is tree canopy
    with rasterio.open(out) as dataset:
        tags = dataset.tags()
    assert len(tags["MAPSR_FITTED"]) == 64 and tags["MAPSR_CROSSWALK"] == "paraformer"
    assert json.loads(tags["MAPSR_CONFIGURATION"])["windows"]["chip"] == 48
    again = tmp_path / "again.tif"
    assert mapped(prompts, scene_folder / "val" / "village_naip.tif", again) == 0
    assert (labels_of(again) == labels_of(out)).all()


def test_fitted_once_for_many_images_with_products_of_their_own(scene_folder, tmp_path, capsys):
    table = tmp_path / "list.csv"
    rows = [
        f"{scene_folder}/{part}/{name}_naip.tif,{scene_folder}/{part}/{name}_nlcd_30m.tif"
        for part, name in (("train", "field"), ("val", "village"))
    ]
    table.write_text("\n".join(["image_fn,label_fn", *rows]) + "\n")
    out = tmp_path / "maps"
    assert main(["map", *QUICK_FIT, f"image={table}", f"out={out}"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"fitted method in {out / 'fitted.safetensors'}",
        f"map in {out / 'field_naip.tif'}",
        f"map in {out / 'village_naip.tif'}",
    ]


def test_a_map_that_is_there_stays_unless_overwritten(run, image, tmp_path, capsys):
    out = tmp_path / "map.tif"
    out.write_bytes(b"precious")
    assert mapped(run, image, out) == 1
    assert (
        "is there already, made from other inputs or settings: choose another out=, or set "
        "overwrite=true" in capsys.readouterr().err
    )
    assert out.read_bytes() == b"precious"
    assert mapped(run, image, out, "overwrite=true") == 0
    assert labels_of(out).shape == labels_of(image).shape


def test_the_image_is_never_overwritten(run, image, capsys):
    before = image.read_bytes()
    assert mapped(run, image, image, "overwrite=true") == 1
    assert "is the image itself; choose another path" in capsys.readouterr().err
    assert image.read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run, path: path, "There is no file or folder "),
        (lambda run, path: path.write_bytes(b"12") and path, "is not a readable safetensors file"),
        (
            lambda run, path: save_file({"a": uniform(1, 2)}, path) or path,
            "does not hold a fitted method of mapsr",
        ),
        (lambda run, path: spoiled(run, path, version=99), "has version 99 of the format"),
        (
            lambda run, path: spoiled(run, path, vectors=torch.ones(4, 7)),
            "prompts have 7 channels, the encoder 256: they belong to another backbone",
        ),
        (
            lambda run, path: spoiled(
                run, path, weights={"backbone": {"name": "x", "sha256": "y"}, "upsampler": None}
            ),
            "The backbone's weights here (none) are not those that the method was fitted with",
        ),
    ],
    ids=["absent", "damaged", "foreign", "version", "channels", "weights"],
)
def test_fitted_methods_that_do_not_fit(run, image, tmp_path, capsys, spoil, message):
    prompts, out = spoil(run, tmp_path / "fitted.safetensors"), tmp_path / "map.tif"
    assert mapped(prompts, image, out) == 1
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err
    assert not out.exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["overwrit=true"], "Unknown key 'overwrit'. Did you mean 'overwrite'?"),
        (["image=nowhere.tif"], "Can't read nowhere.tif: there is no such file"),
        (["refine=pape"], "refine=pape: expected one of none, paper, pixels, released."),
    ],
)
def test_bad_overrides_are_named(run, image, tmp_path, capsys, overrides, message):
    assert mapped(run, image, tmp_path / "map.tif", *overrides) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.tif", "x"):  # else their absence would be told first
        (tmp_path / name).write_bytes(b"")
    assert main(["map", "image=a.tif", "out=b.tif"]) == 1
    assert (
        "Give fitted=RUN (a finished run, or a fitted file), or coarse=PRODUCT"
        in capsys.readouterr().err
    )
    assert main(["map", "coarse=x", "out=b.tif"]) == 1
    assert "image has no value: give image=" in capsys.readouterr().err
    assert main(["map", "coarse=x", "image=a.tif"]) == 1
    assert "out has no value: give out=" in capsys.readouterr().err


def test_fitted_and_coarse_are_not_given_together(run, image, scene_folder, tmp_path, capsys):
    coarse = scene_folder / "val" / "village_nlcd_30m.tif"
    assert mapped(run, image, tmp_path / "map.tif", f"coarse={coarse}") == 1
    assert "fitted= and coarse= are both given" in capsys.readouterr().err


@pytest.mark.parametrize(
    "override", ["backbone=vit_tiny", "prompts.epochs=3", "legend.coarse=nlcd"]
)
def test_settings_of_the_fit_have_no_say_any_more(run, image, tmp_path, capsys, override):
    assert mapped(run, image, tmp_path / "map.tif", override) == 1
    key = override.partition("=")[0]
    assert f"{key}= has no say with fitted={run}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
