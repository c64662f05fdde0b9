"""Bad input: one clear sentence, a non-zero exit, and nothing that looks like a result."""

import json
import shutil

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from make_scenes import HEIGHT, WIDTH, coarse_grid, image_grid, make_scene
from rasterio.crs import CRS
from safetensors.torch import save_file
from stand_ins import generator

from mapsr.cli.main import main
from mapsr.geo import Grid, read_codes, read_grid, write_raster

QUICK = (
    "data=geotiff",
    "data.image={scene}_naip.tif",
    "data.coarse={scene}_nlcd_30m.tif",
    "data.truth={scene}_cclc.tif",
    "transductive=true",
    "prompts.pixels=500",
    "prompts.epochs=1",
    "upsampler=nearest",
    "refine=none",
    "logger=none",
)


@pytest.fixture
def scene(tmp_path):
    """A folder with the three files of one scene, to be spoiled."""
    folder = tmp_path / "scenes"
    make_scene(folder, "field", 0)
    return folder


@pytest.fixture
def run(scene, tmp_path, capsys):
    """Runs `mapsr run` on the scene; returns exit status and stderr."""

    def command(*overrides):
        output = tmp_path / "run"
        status = main(["run", *QUICK, f"data.root={scene}", f"output={output}", *overrides])
        return status, capsys.readouterr().err

    return command


def image(scene):
    return scene / "field_naip.tif"


def coarse(scene):
    return scene / "field_nlcd_30m.tif"


def pixels(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def fill_coarse(scene, value):
    """Give every cell one code."""
    grid = coarse_grid(image_grid(0))
    write_raster(coarse(scene), np.full((grid.height, grid.width), value, np.uint8), grid, nodata=0)


def truncate(scene):
    path = image(scene)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(scene):
    image(scene).write_bytes(b"no raster at all")


def remove_crs(scene):
    values = pixels(image(scene))
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 4, "dtype": "uint8"}
    with rasterio.open(
        image(scene), "w", **profile, transform=Affine(1, 0, 5, 0, -1, 9), photometric="RGB"
    ) as dataset:
        dataset.write(values)


def move_coarse(scene):
    values, grid = pixels(coarse(scene)), read_grid(coarse(scene))
    moved = Grid(grid.crs, grid.transform @ Affine.translation(500, 0), grid.height, grid.width)
    write_raster(coarse(scene), values, moved, nodata=0)


def keep_one_band(scene):
    write_raster(image(scene), pixels(image(scene))[:1], read_grid(image(scene)))


def blank(scene):
    """Declare every pixel of the image nodata."""
    values = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    write_raster(image(scene), values, read_grid(image(scene)), nodata=0)


def remove_coarse(scene):
    coarse(scene).unlink()


def one_class(scene):
    fill_coarse(scene, 41)


def no_known_code(scene):
    fill_coarse(scene, 99)


BAD_SCENES = [
    (remove_coarse, "data.coarse '{scene}_nlcd_30m.tif' must match one file for scene 'field'"),
    (garble, "field_naip.tif: "),
    (truncate, "field_naip.tif: "),
    (remove_crs, "field_naip.tif has no "),
    (move_coarse, "field_nlcd_30m.tif do not overlap the image "),
    (keep_one_band, "The image has 1 band(s), but Texture reads 3"),
    (blank, "No pixel of the scenes to fit on has a coarse label of a target class"),
    (one_class, "Only 1 of 4 classes has pixels for a prompt"),
    (no_known_code, "No pixel of the scenes to fit on has a coarse label of a target class"),
]


def one_error(err):
    """The error of a command: one line, and no trace."""
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert err.splitlines()[-1] == errors[0]
    return errors[0]


def leftovers(folder):
    """What could be taken for a result, and temporary files."""
    if not folder.exists():
        return []
    names = ("metrics.json", "fitted.safetensors")
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [p for p in found if p.name in names or p.name.startswith(".") or p.suffix == ".tif"]


@pytest.mark.parametrize(("spoil", "message"), BAD_SCENES, ids=lambda v: getattr(v, "__name__", ""))
def test_a_bad_scene_is_named_in_one_sentence(scene, run, tmp_path, spoil, message):
    spoil(scene)
    status, err = run()
    assert status == 1
    assert message in one_error(err)
    assert leftovers(tmp_path / "run") == []


@pytest.mark.parametrize("missing", ["nowhere", "other_{scene}.tif"])
def test_missing_files(run, tmp_path, missing):
    key = "data.root" if missing == "nowhere" else "data.image"
    value = tmp_path / missing if missing == "nowhere" else missing
    status, err = run(f"{key}={value}")
    assert status == 1
    assert key in one_error(err)
    assert leftovers(tmp_path / "run") == []


def test_an_image_without_data_becomes_a_map_without_classes(scene, run, tmp_path):
    grid = image_grid(5)
    write_raster(scene / "void_naip.tif", np.zeros((4, HEIGHT, WIDTH), np.uint8), grid, nodata=0)
    status, err = run("data.truth=null", "data.coarse=null", "data.score=void*", "data.fit=field*")
    assert status == 1  # nothing to fit on without a coarse product
    assert "Scene 'field' has no coarse product to fit on" in one_error(err)
    shutil.rmtree(tmp_path / "run")
    cells = coarse_grid(grid)
    codes = np.full((cells.height, cells.width), 41, np.uint8)
    write_raster(scene / "void_nlcd_30m.tif", codes, cells, nodata=0)
    status, err = run("data.truth=null", "data.score=void*", "data.fit=field*")
    assert status == 0, err
    assert (pixels(tmp_path / "run" / "maps" / "void.tif") == 255).all()


def test_unknown_codes_are_counted_logged_and_left_out(scene, run, tmp_path):
    grid = read_grid(coarse(scene))
    codes = pixels(coarse(scene))[0]
    codes[: grid.height // 2] = 99
    write_raster(coarse(scene), codes, grid, nodata=0)
    seen = read_codes(coarse(scene), image_grid(0), image_grid(0).window)
    assert (seen == 99).any() and (seen != 99).any()
    status, err = run()
    assert status == 0, err
    assert "The coarse labels of scene field hold code 99" in err
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    count = record["unknown_codes"]["field"]["coarse"]["99"]
    assert count >= (seen == 99).sum()
    # pixels that are read again count again, whole readings each
    assert count % (seen == 99).sum() == 0
    assert "hold code 99" in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("refine.segmets=10", "Unknown key 'refine.segmets'. Did you mean 'refine.segments'?"),
        ("backbone=textur", "Did you mean 'texture'?"),
        ("legend.crosswalk=paraformr", "Did you mean 'paraformer'?"),
        ("windows.overlap=448", "windows.overlap=448 must be smaller than windows.chip=448"),
    ],
)
def test_unknown_settings_are_named(run, tmp_path, override, message):
    status, err = run(override)
    assert status == 1
    assert message in one_error(err)
    assert leftovers(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("overrides", "name", "message"),
    [
        (("backbone=vit_tiny",), "foreign.safetensors", "is not a checkpoint of vit_tiny_patch16"),
        (("backbone=vit_tiny",), "foreign.pth", "is not a checkpoint of vit_tiny_patch16"),
        (("upsampler=anyup",), "foreign.pth", "is not an AnyUp checkpoint"),
    ],
)
def test_checkpoint_of_another_architecture(run, tmp_path, overrides, name, message):
    state = {"blocks.0.attn.weight": torch.randn(3, 5, generator=generator(4))}
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    group = overrides[0].partition("=")[0]
    status, err = run(*overrides, f"{group}.checkpoint={path}")
    assert status == 1
    error = one_error(err)
    assert message in error and str(path) in error
    assert leftovers(tmp_path / "run") == []


def test_absent_weights_without_a_network(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    monkeypatch.delenv("MAPSR_WEIGHTS", raising=False)
    monkeypatch.delenv("MAPSR_SHARED", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    status, err = run("upsampler=anyup_paper")
    assert status == 1
    error = one_error(err)
    assert "the weights anyup_paper are not on this machine" in error
    assert "set MAPSR_WEIGHTS=FOLDER" in error
    assert "`backbone=texture upsampler=bilateral` runs" in error
    assert leftovers(tmp_path / "run") == []


def test_a_failed_run_says_so_in_its_folder(scene, run, tmp_path):
    one_class(scene)
    run()
    failed = json.loads((tmp_path / "run" / "failed.json").read_text())
    assert failed["error"].startswith("PromptError: Only 1 of 4 classes")
    make_scene(scene, "field", 0)
    status, err = run()
    assert status == 0, err
    assert not (tmp_path / "run" / "failed.json").exists()
    assert (tmp_path / "run" / "metrics.json").exists()


def test_labels_of_another_crs_than_any_are_no_obstacle(scene, run):
    # the coarse product lies in Albers, the image in UTM: nothing to complain about
    assert read_grid(coarse(scene)).crs == CRS.from_epsg(5070)
    status, err = run()
    assert status == 0, err
