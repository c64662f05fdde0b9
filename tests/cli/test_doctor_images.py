"""`mapsr doctor IMAGE COARSE`: what `mapsr map` will do, or what is wrong and how to fix it."""

import re
import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine
from make_scenes import coarse_grid, image_grid

from mapsr.cli.main import main
from mapsr.geo import Grid, Window, read_grid, write_raster

WORKS = "`mapsr map` works with these"
FAILS = "`mapsr map` can't work with these yet"


@pytest.fixture
def image(scene_folder):
    return scene_folder / "train" / "field_naip.tif"


@pytest.fixture
def coarse(scene_folder):
    return scene_folder / "train" / "field_nlcd_30m.tif"


@pytest.fixture
def doctor(capsys):
    """Runs the command, without timing unless asked; returns status, lines and remedies."""

    def command(*words, timing=False):
        status = main(["doctor", *([] if timing else ["--no-timing"]), *map(str, words)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return command


def pixels(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def line(out, topic, number=0):
    """The text of a topic's line."""
    found = [text for text in out.splitlines() if re.match(rf"{topic} +", text)]
    return found[number].split(maxsplit=1)[1]


def test_good_files_are_described(doctor, image, coarse):
    status, out, err = doctor(image, coarse)
    assert (status, err) == (0, "")
    assert line(out, "image") == (
        f"{image}: 70 x 110 px (rows x columns, 0.0077 Mpx), 4 band(s) of uint8, EPSG:26917"
    )
    assert line(out, "pixel") == "1 m"
    assert line(out, "valid").startswith("100 % of the pixels looked at hold data; nothing marks")
    assert line(out, "scale") == "255 becomes 1, as of all bytes"
    assert line(out, "coarse").endswith("px, EPSG:5070, pixels of 30 m")
    assert re.fullmatch(
        r"its pixels are about 29\.\d m on the ground, 29\.\d x the image's", line(out, "factor")
    )
    assert line(out, "overlap") == "the product covers 100 % of the image"
    assert line(out, "codes") == "as legend.coarse=nlcd, legend.crosswalk=paraformer"
    codes = [text for text in out.splitlines() if text.startswith("code ")]
    assert any("41: deciduous forest -> tree canopy, " in text for text in codes)
    shares = [float(re.search(r"([\d.]+) %$", text)[1]) for text in codes]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)
    assert line(out, "chips") == "1 of 448 px, overlapping by 64, in 1 work unit(s)"
    assert "time " not in out
    assert out.splitlines()[-1] == WORKS


def test_a_chip_is_measured(doctor, image, coarse):
    status, out, _ = doctor(
        image,
        coarse,
        "windows.chip=48",
        "windows.overlap=8",
        "windows.unit=48",
        "engine.workers=3",
        timing=True,
    )
    assert status == 0
    assert line(out, "chips") == "6 of 48 px, overlapping by 8, in 6 work unit(s)"
    number = r"[\d.]+"
    expected = (
        rf"about {number} (s|minutes): {number} s to start, {number} s for 6 chip\(s\) of {number} "
        rf"s, 3 at once, and to write the map, {number} s to measure it, and {number} s to fit "
        r"prompts on 6 chip\(s\)"
    )
    assert re.fullmatch(expected, line(out, "time"))
    assert re.match(r"about [\d.]+ [MG]iB: 3 worker\(s\) x \d+ [KM]iB, ", line(out, "memory"))


def test_an_image_alone(doctor, image):
    status, out, err = doctor(image)
    assert (status, err) == (0, "")
    assert line(out, "coarse").startswith("none given: `mapsr map` needs fitted=RUN, or coarse=")


def test_the_words_of_mapsr_map_are_taken(doctor, image, coarse):
    """The same command, but for its name."""
    first = doctor(image, coarse)
    again = doctor(f"image={image}", f"coarse={coarse}", "legend.coarse=nlcd", "out=nowhere.tif")
    assert first == again


def test_a_missing_file(doctor, image, tmp_path):
    status, out, err = doctor(tmp_path / "no.tif", tmp_path / "neither.tif")
    assert status == 1
    assert "there is no such file; check the path" in err
    assert out.splitlines()[-1] == FAILS
    status, out, err = doctor(image, tmp_path / "neither.tif")
    assert status == 1
    assert err.startswith("to fix coarse: Can't read ")


def without_crs(path):
    profile = {"driver": "GTiff", "height": 20, "width": 30, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, transform=Affine(1, 0, 5, 0, -1, 9)) as dataset:
        dataset.write(np.ones((3, 20, 30), np.uint8))


def rotated(path):
    grid = image_grid(0)
    turned = Grid(grid.crs, grid.transform @ Affine.rotation(20), 20, 30)
    write_raster(path, np.ones((3, 20, 30), np.uint8), turned)


def garbled(path):
    path.write_bytes(b"no raster at all")


def blank(path):
    write_raster(path, np.zeros((3, *pixel_size()), np.uint8), image_grid(0), nodata=0)


def pixel_size():
    return image_grid(0).height, image_grid(0).width


@pytest.mark.parametrize(
    ("make", "topic", "remedy"),
    [
        (without_crs, "image", "set it with gdal_edit.py -a_srs EPSG:CODE"),
        (rotated, "image", "warp it first with gdalwarp"),
        (garbled, "image", "expected a whole raster that GDAL can open"),
        (blank, "valid", "check the image's nodata value"),
    ],
)
def test_images_that_can_not_be_mapped(doctor, tmp_path, coarse, make, topic, remedy):
    make(tmp_path / "a.tif")
    status, out, err = doctor(tmp_path / "a.tif", coarse)
    assert status == 1
    assert f"to fix {topic}: " in err
    assert remedy in err
    assert out.splitlines()[-1] == FAILS


def moved_coarse(coarse, path, cells):
    grid = read_grid(coarse)
    moved = Grid(grid.crs, grid.transform @ Affine.translation(cells, 0), grid.height, grid.width)
    write_raster(path, pixels(coarse), moved, nodata=0)
    return path


def test_no_overlap_names_both_places(doctor, tmp_path, image, coarse):
    status, _, err = doctor(image, moved_coarse(coarse, tmp_path / "c.tif", 5000))
    assert status == 1
    place = r"longitude -\d+\.\d{4} to -\d+\.\d{4}, latitude 3\d\.\d{4} to 3\d\.\d{4}"
    assert re.match(f"to fix overlap: the image is at {place}, the product at {place}: give", err)


def test_half_coverage_is_a_note(doctor, tmp_path, image, coarse):
    status, out, err = doctor(image, moved_coarse(coarse, tmp_path / "c.tif", 3))
    share = float(
        re.match(
            r"the product covers ([\d.]+) % of the image; methods are fitted there",
            line(out, "overlap"),
        )[1]
    )
    assert 20 < share < 80
    assert "masked or beyond: nodata -> left out" in out
    assert (status, err) == (0, "")


def test_the_wrong_legend_is_told_and_a_fitting_one_named(doctor, image, coarse):
    status, out, err = doctor(image, coarse, "legend.coarse=esa_worldcover")
    assert status == 1
    assert err == "to fix codes: the codes fit legend.coarse=nlcd\n"
    assert "100 % of the pixels with a code have one that esa_worldcover has not" in out


def test_codes_that_no_legend_has(doctor, tmp_path, image):
    grid = coarse_grid(image_grid(0))
    codes = np.full((grid.height, grid.width), 201, np.uint8)
    codes[:, ::2] = 17
    write_raster(tmp_path / "c.tif", codes, grid)
    status, _, err = doctor(image, tmp_path / "c.tif")
    assert status == 1
    assert "no legend of the package has these codes: write its legend as a YAML file" in err


def test_one_class_is_not_enough(doctor, tmp_path, image):
    grid = coarse_grid(image_grid(0))
    write_raster(tmp_path / "c.tif", np.full((grid.height, grid.width), 41, np.uint8), grid)
    status, out, err = doctor(image, tmp_path / "c.tif")
    assert status == 1
    assert "the codes stand for 1 class(es) of the map: nothing to tell apart" in out
    assert err == "to fix classes: give the product of a larger area, or its own legend\n"


def test_classes_without_a_pixel_are_a_note(doctor, tmp_path, image):
    grid = coarse_grid(image_grid(0))
    codes = np.full((grid.height, grid.width), 41, np.uint8)
    codes[:, ::2] = 11
    write_raster(tmp_path / "c.tif", codes, grid)
    status, out, _ = doctor(image, tmp_path / "c.tif")
    assert status == 0
    assert line(out, "classes").startswith("no pixel stands for low vegetation, impervious: no ")


def rescaled(image, path, factor, dtype):
    write_raster(path, (pixels(image).astype(float) * factor).astype(dtype), read_grid(image))
    return path


@pytest.mark.parametrize(
    ("factor", "dtype", "scale"),
    [
        (40, "uint16", "10000"),
        (250, "uint16", "65535"),
        (1 / 255, "float32", "1"),
        (1, "int16", "255"),
    ],
)
def test_values_that_do_not_tell_their_scale(doctor, tmp_path, image, coarse, factor, dtype, scale):
    path = rescaled(image, tmp_path / "a.tif", factor, dtype)
    status, out, err = doctor(path, coarse)
    assert status == 1
    assert f"{dtype} values don't tell which of them becomes 1" in out
    assert err.startswith(f"to fix scale: say it: scale={scale} by the values")
    status, out, err = doctor(path, coarse, f"scale={scale}")
    assert (status, err) == (0, "")
    assert line(out, "scale") == f"{scale} becomes 1, as given"


def test_a_scale_that_spoils_the_image_is_told(doctor, tmp_path, image):
    path = rescaled(image, tmp_path / "a.tif", 40, "uint16")
    assert "% of the values would be clipped: scale=10000?" in doctor(path, "scale=1")[1]
    dark = doctor(path, "scale=1e6")[1]
    assert re.search(r"all but black \([\d.]+ % of it\): scale=10000\?", dark)


def test_nan_is_no_data(doctor, tmp_path, image):
    values = pixels(image).astype(np.float32)
    values[:, :35] = np.nan
    write_raster(tmp_path / "a.tif", values, read_grid(image))
    status, out, err = doctor(tmp_path / "a.tif", "scale=255")
    assert (status, err) == (0, "")
    assert line(out, "valid").startswith("50 % of the pixels looked at hold data; nothing marks")


def test_two_images_with_different_bands(doctor, tmp_path, image, coarse):
    shutil.copy(image, tmp_path / "a.tif")
    write_raster(tmp_path / "b.tif", pixels(image)[:3], read_grid(image))
    status, out, err = doctor(tmp_path / "*.tif", coarse)
    assert status == 1
    assert "*.tif: 2, of which 1 can be used, 0.0077 Mpx" in line(out, "images")
    assert "b.tif has 3 band(s), expected at least 4" in err
    status, out, err = doctor(tmp_path / "*.tif", coarse, "bands=3")
    assert (status, err) == (0, "")
    assert line(out, "images", 1) == "2 numbers of bands: 4 (1), 3 (1)"


def test_a_list_with_a_product_each(doctor, scene_folder, tmp_path):
    rows = [
        f"{scene_folder}/train/{name}_naip.tif,{scene_folder}/train/{name}_nlcd_30m.tif"
        for name in ("field", "wood")
    ]
    (tmp_path / "list.csv").write_text("\n".join(["image_fn,label_fn", *rows]))
    status, out, err = doctor(tmp_path / "list.csv")
    assert (status, err) == (0, "")
    assert line(out, "overlap").startswith("the product covers 2 of 2 images, 0 in part, and 0 not")


def test_a_mosaic_counts_the_chips_of_one_map(doctor, image, tmp_path):
    values, grid = pixels(image), read_grid(image)
    for name, window in (("a", Window(0, 0, 70, 60)), ("b", Window(0, 60, 70, 50))):
        rows, columns = window.slices
        write_raster(tmp_path / f"{name}.tif", values[:, rows, columns], grid.crop(window))
    overrides = tmp_path / "*.tif", "windows.chip=40", "windows.overlap=0"
    assert line(doctor(*overrides)[1], "chips").startswith("8 of 40 px")
    assert line(doctor(*overrides, "mosaic=true")[1], "chips").startswith("6 of 40 px")


def test_absent_weights_are_told_and_not_fetched(doctor, image, monkeypatch, tmp_path):
    monkeypatch.delenv("MAPSR_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    status, _, err = doctor(image, "backbone=dinov2_vits14", timing=True)
    assert status == 1
    assert err.startswith("to fix weights: `mapsr weights fetch dinov2_vits14` fetches")
    assert list(tmp_path.iterdir()) == []


def test_too_few_bands_for_the_encoder(doctor, image):
    status, _, err = doctor(image, "bands=1", timing=True)
    assert status == 1
    assert "to fix time: The image has 1 band(s), but Texture reads 3" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.tif", "b.tif", "c.tif"], "put quotes around a pattern ('tiles/*.tif')"),
        (["a.tif", "windows.chp=3"], "Unknown key 'windows.chp'. Did you mean 'windows.chip'?"),
        (["legend.coarse=nlcd"], "image has no value: give image="),
        (["*.tif"], "No file matches image=*.tif"),
        (["{image}", "{coarse}", "legend.coarse=nlc"], "Did you mean 'nlcd'?"),
        (["{image}", "fitted=nowhere"], "There is no file or folder nowhere"),
        (["{image}", "{coarse}", "fitted=nowhere"], "There is no file or folder nowhere"),
    ],
)
def test_words_that_are_wrong(doctor, image, coarse, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = doctor(*(word.format(image=image, coarse=coarse) for word in words))
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert message in err


def test_prompts_from_truth_are_for_runs(doctor, image, coarse):
    status, _, err = doctor(image, coarse, "prompts=truth")
    assert status == 1
    assert err == "to fix method: choose another prompts= or method=, or use `mapsr run`\n"
