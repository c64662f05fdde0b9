"""`mapsr preview`: doctor, a small part where the product is varied, and its page."""

import json
import re
from math import log

import numpy as np
import pytest
from make_maps import coarse_file, fitted, labels_of
from make_scenes import coarse_grid, image_grid

from mapsr.cli.main import main
from mapsr.doctor.preview import _grown, variety
from mapsr.geo import Window, image_info, read_grid, write_raster

SMALL = ("windows.chip=24", "windows.overlap=4", "prompts.pixels=1000", "upsampler=bilinear")
WORDS = (*SMALL, "legend.coarse=nlcd")


def test_variety_by_hand():
    assert variety([0.5, 0.5]) == pytest.approx(log(2))
    assert variety([1.0]) == variety([]) == 0
    # half of the place has no class
    assert variety([0.25, 0.25]) == pytest.approx(log(2) / 2)
    assert variety([0.9, 0.1]) < variety([0.5, 0.4, 0.1])


def test_a_window_grows_within_the_whole():
    whole = Window(0, 0, 50, 90)
    assert _grown(Window(20, 30, 10, 8), 3, whole) == Window(10, 22, 30, 24)
    assert _grown(Window(0, 80, 10, 10), 3, whole) == Window(0, 60, 30, 30)
    assert _grown(Window(45, 0, 5, 9), 40, whole) == whole


def varied_on_the_right(path, image):
    """A product of the image: one class, and four beside each other on the last third."""
    grid = coarse_grid(read_grid(image), 10)
    codes = np.full((grid.height, grid.width), 41, np.uint8)
    varied = codes[:, 2 * grid.width // 3 :]
    varied[:] = np.resize([11, 41, 82, 24], varied.shape)
    return coarse_file(path, grid, codes)


def test_the_place_is_where_the_product_is_varied(scene_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    image = scene_folder / "train" / "field_naip.tif"
    coarse = varied_on_the_right(tmp_path / "c.tif", image)
    assert main(["preview", f"image={image}", coarse, *WORDS]) == 0
    out, err = capsys.readouterr()
    assert "now a small part of it" in out and "the product covers 100 % of the image" in out
    assert "preview in outputs/preview/preview.tif" in out
    found = re.search(r"place: (\d+) x (\d+) px from row (\d+), column (\d+): where the", err)
    height, width, row, col = map(int, found.groups())
    whole = read_grid(image)
    assert col + width == whole.width  # it lies at the right
    assert "impervious, low vegetation, tree canopy, water)" in err
    assert re.search(r"fit: prompts fitted on \d+ chip\(s\) at most", err)
    preview = tmp_path / "outputs" / "preview" / "preview.tif"
    labels = labels_of(preview)
    assert labels.shape == (height, width) and (labels != 255).all()
    assert read_grid(preview) == whole.crop(Window(row, col, height, width))
    assert (tmp_path / "outputs" / "preview" / "preview_confidence.tif").exists()
    html = (tmp_path / "outputs" / "preview" / "preview.html").read_text()
    assert all(f'alt="{layer} of' in html for layer in ("image", "product", "map", "confidence"))
    record = json.loads(preview.with_name("preview_record.json").read_text())
    assert record["command"].startswith("mapsr preview image=")
    # the next one takes its place
    assert main(["preview", str(image), coarse, *WORDS, "seed=1"]) == 0
    assert json.loads(preview.with_name("preview_record.json").read_text())["settings"]["seed"] == 1


def test_with_a_fitted_method_it_is_the_same_part_of_the_whole(scene_folder, tmp_path, capsys):
    image = scene_folder / "train" / "field_naip.tif"
    assert fitted(scene_folder, "field", tmp_path / "whole.tif") == 0
    method = tmp_path / "whole.fitted.safetensors"
    words = [f"fitted={method}", f"image={image}", f"out={tmp_path / 'look.tif'}"]
    assert main(["preview", *words]) == 0
    shown = capsys.readouterr().err
    assert "the middle of what holds data, as no product says where it is varied" in shown
    assert "fit:" not in shown
    found = re.search(r"place: (\d+) x (\d+) px from row (\d+), column (\d+)", shown)
    height, width, row, col = map(int, found.groups())
    part = labels_of(tmp_path / "whole.tif")[row : row + height, col : col + width]
    assert (labels_of(tmp_path / "look.tif") == part).mean() > 0.999  # units are cut otherwise
    # a file of one's own is not replaced unasked
    assert main(["preview", *words, "scale=200"]) == 1
    assert "set overwrite=true" in capsys.readouterr().err


def test_what_can_not_be_previewed_is_told(scene_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    image = scene_folder / "train" / "field_naip.tif"
    coarse = f"coarse={scene_folder / 'train' / 'field_nlcd_30m.tif'}"
    said = [
        ([f"image={image}", coarse, "window=0,0,9,9"], "chooses its place itself"),
        ([f"image={image}", coarse, "method=unet_small", *SMALL[:2]], "can't be previewed"),
        (["image=no.tif", coarse], "there is no such file"),
        ([f"image={image}"], "Give fitted=RUN"),
    ]
    for words, sentence in said:
        assert main(["preview", *words]) == 1
        assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    # before anything is measured, which took minutes
    monkeypatch.setattr("mapsr.doctor.preview.plan_preview", lambda *_: pytest.fail("was planned"))
    assert main(["preview", f"image={image}", coarse, f"out={tmp_path / 'look'}"]) == 1
    assert "expected a name that ends in .tif" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    empty = tmp_path / "empty.tif"
    info = image_info(image)
    values = np.zeros((info.bands, info.grid.height, info.grid.width), np.uint8)
    write_raster(empty, values, info.grid, nodata=0)
    assert main(["preview", f"image={empty}", coarse]) == 1
    assert "to fix valid: check the image's nodata value" in capsys.readouterr().err
    assert not (tmp_path / "outputs").exists()


def test_the_most_varied_of_several_images_is_taken(scene_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    dull = tmp_path / "images" / "a.tif"
    dull.parent.mkdir()
    dull.write_bytes((scene_folder / "train" / "field_naip.tif").read_bytes())
    grid = image_grid(3)
    rng = np.random.default_rng(0)
    write_raster(
        dull.with_name("b.tif"),
        rng.integers(0, 255, (4, grid.height, grid.width)).astype(np.uint8),
        grid,
    )
    wide = coarse_grid(grid)
    codes = np.resize([11, 41, 82, 24], (wide.height, wide.width))
    coarse = coarse_file(tmp_path / "c.tif", wide, codes)
    assert main(["preview", f"image={tmp_path}/images/*.tif", coarse, *WORDS, "bands=4"]) == 0
    assert re.search(r"place: .* of .*b\.tif: where the product's", capsys.readouterr().err)
