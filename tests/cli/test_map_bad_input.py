"""`mapsr map` on bad input: a clear sentence, the others mapped, and nothing that looks whole."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from make_maps import checkered, coarse_file, finished_run, fitted, labels_of, mapped
from make_scenes import coarse_grid, image_grid
from rasterio.crs import CRS
from rasterio.warp import transform

from mapsr.cli.main import main
from mapsr.geo import Grid, Window, read_grid, write_raster


@pytest.fixture(scope="module")
def run(scene_folder, tmp_path_factory):
    return finished_run(scene_folder, tmp_path_factory.mktemp("bad") / "run")


@pytest.fixture
def image(scene_folder):
    return scene_folder / "val" / "village_naip.tif"


def pixels(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def truncated(image, path):
    path.write_bytes(image.read_bytes()[: image.stat().st_size // 2])


def garbled(image, path):
    path.write_bytes(b"no raster at all")


def of_two_bands(image, path):
    write_raster(path, pixels(image)[:2], read_grid(image))


def of_uint16(image, path):
    write_raster(path, pixels(image).astype(np.uint16) * 40, read_grid(image))


def of_floats(image, path):
    write_raster(path, pixels(image).astype(np.float32) / 255, read_grid(image))


def rotated(image, path):
    grid = read_grid(image)
    turned = grid.transform @ Affine.rotation(10)
    write_raster(path, pixels(image), Grid(grid.crs, turned, grid.height, grid.width))


def without_crs(image, path):
    grid = read_grid(image)
    write_raster(path, pixels(image), Grid(None, grid.transform, grid.height, grid.width))


SPOILT = [
    (truncated, "Can't read "),
    (garbled, "expected a whole raster that GDAL can open"),
    (of_two_bands, "has 2 band(s), expected at least 4"),
    (of_uint16, "holds uint16 values, the others uint8: say which value"),
    (of_floats, "holds float32 values, the others uint8: say which value"),
    (rotated, "has rotated or sheared pixels"),
    (without_crs, "has no coordinate reference system"),
]
CASES = pytest.mark.parametrize(("spoil", "message"), SPOILT, ids=[s.__name__ for s, _ in SPOILT])


@CASES
def test_an_image_that_can_not_be_mapped_is_named(run, image, tmp_path, capsys, spoil, message):
    bad, out = tmp_path / "bad.tif", tmp_path / "out" / "map.tif"
    spoil(image, bad)
    assert mapped(run, bad, out) == 1
    shown = capsys.readouterr()
    assert message in shown.err and "bad.tif" in shown.err and "Traceback" not in shown.err
    assert shown.out == ""
    assert not out.parent.exists() or [p for p in out.parent.iterdir() if p.is_file()] == []


@CASES
def test_the_others_of_a_pattern_are_mapped(run, image, tmp_path, capsys, spoil, message):
    tiles, out = tmp_path / "tiles", tmp_path / "maps"
    tiles.mkdir()
    for name in ("a", "c"):
        (tiles / f"{name}.tif").write_bytes(image.read_bytes())
    spoil(image, tiles / "b.tif")
    assert mapped(run, tiles / "*.tif", out) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [f"map in {out / 'a.tif'}", f"map in {out / 'c.tif'}"]
    *_, reason, end = shown.err.splitlines()
    assert reason.startswith(f"not mapped: {tiles / 'b.tif'}: ") and message in reason
    assert end == "1 of 3 could not be mapped"
    assert {path.name for path in out.glob("*.tif")} == {"a.tif", "c.tif"}
    expected = labels_of(run / "maps" / "village.tif")
    assert all((labels_of(out / f"{name}.tif") == expected).all() for name in ("a", "c"))


@pytest.mark.parametrize(("spoil", "scale"), [(of_uint16, 255 * 40), (of_floats, 1)])
def test_imagery_of_another_type_works_with_its_scale(run, image, tmp_path, spoil, scale):
    other, out = tmp_path / "other.tif", tmp_path / "map.tif"
    spoil(image, other)
    assert mapped(run, other, out, f"scale={scale}") == 0
    same = labels_of(out) == labels_of(run / "maps" / "village.tif")
    assert same.mean() > 0.999


@pytest.mark.parametrize("spoil", [of_uint16, of_floats])
def test_fitting_on_imagery_of_another_type_asks_for_the_scale(
    scene_folder, image, tmp_path, capsys, spoil
):
    other, out = tmp_path / "other.tif", tmp_path / "map.tif"
    spoil(image, other)
    assert fitted(scene_folder, "village", out, image=other) == 1
    assert "values; say which one becomes 1: scale=10000" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [other]
    scale = 1 if spoil is of_floats else 10200
    assert fitted(scene_folder, "village", out, f"scale={scale}", image=other) == 0
    assert out.exists()


def test_pixels_that_are_no_number_become_nodata(run, image, tmp_path):
    values = pixels(image).astype(np.float32) / 255
    values[1, 10:14, 20:60] = np.nan
    values[:, 30:33, 5:9] = np.inf
    other, out = tmp_path / "other.tif", tmp_path / "map.tif"
    write_raster(other, values, read_grid(image))
    assert mapped(run, other, out, "scale=1") == 0
    assert ((labels_of(out) == 255) == ~np.isfinite(values).all(0)).all()


def test_bands_may_be_left_out(scene_folder, image, tmp_path):
    out = tmp_path / "map.tif"
    assert fitted(scene_folder, "village", out, "bands=3") == 0
    three = tmp_path / "three.tif"
    write_raster(three, pixels(image)[:3], read_grid(image))
    again = tmp_path / "again.tif"
    assert mapped(tmp_path / "map.fitted.safetensors", three, again) == 0
    assert (labels_of(again) == labels_of(out)).all()


def test_a_coarse_product_of_any_crs_and_resolution(scene_folder, image, tmp_path):
    degrees = Grid(CRS.from_epsg(4326), Affine(3e-4, 0, -80.69, 0, -2e-4, 37.52), 300, 200)
    left, bottom, right, top = read_grid(image).bounds
    (x0, x1), (y0, y1) = transform(read_grid(image).crs, degrees.crs, [left, right], [bottom, top])
    place = Affine(3e-4, 0, x0 - 1e-3, 0, -2e-4, y1 + 1e-3)
    coarse = coarse_file(
        tmp_path / "coarse.tif", Grid(degrees.crs, place, 20, 16), checkered(20, 16)
    )
    assert x1 > x0 and y1 > y0
    out = tmp_path / "map.tif"
    assert fitted(scene_folder, "village", out, coarse) == 0
    assert labels_of(out).shape == labels_of(image).shape


def test_a_coarse_product_of_half_the_image_warns(scene_folder, image, tmp_path, capsys):
    grid = read_grid(image)
    half = Grid(grid.crs, grid.transform @ Affine.scale(5), 14, 11)  # 55 of 110 columns
    coarse = coarse_file(tmp_path / "coarse.tif", half, checkered(14, 11))
    out = tmp_path / "map.tif"
    assert fitted(scene_folder, "village", out, coarse) == 0
    assert f"coarse.tif covers 50 % of {image}." in capsys.readouterr().err
    assert (labels_of(out) != 255).all()


def test_a_coarse_product_elsewhere_is_refused(scene_folder, tmp_path, capsys):
    elsewhere = coarse_grid(image_grid(500))
    size = elsewhere.height, elsewhere.width
    coarse = coarse_file(tmp_path / "coarse.tif", elsewhere, checkered(*size))
    assert fitted(scene_folder, "village", tmp_path / "map.tif", coarse) == 1
    assert "do not overlap" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["coarse.tif"]


def test_a_coarse_product_that_reaches_some_images_warns(scene_folder, tmp_path, capsys):
    out = tmp_path / "maps"
    every = scene_folder / "*" / "*_naip.tif"
    assert fitted(scene_folder, "village", out, image=every) == 0
    assert capsys.readouterr().err.count("do not overlap") == 2
    assert len(list(out.glob("*.tif"))) == 3


def test_codes_out_of_the_legend_are_counted(scene_folder, image, tmp_path, capsys):
    grid = read_grid(image)
    codes = checkered(14, 22)
    codes[0, 0] = 77
    where = Grid(grid.crs, grid.transform @ Affine.scale(5), 14, 22)
    coarse = coarse_file(tmp_path / "coarse.tif", where, codes)
    assert fitted(scene_folder, "village", tmp_path / "map.tif", coarse) == 0
    assert "hold code 77 (25 pixels of a window), which legend nlcd" in capsys.readouterr().err


def test_a_coarse_product_without_a_known_code_is_refused(scene_folder, image, tmp_path, capsys):
    grid = read_grid(image)
    where = Grid(grid.crs, grid.transform @ Affine.scale(5), 14, 22)
    coarse = coarse_file(tmp_path / "coarse.tif", where, np.full((14, 22), 77))
    assert fitted(scene_folder, "village", tmp_path / "map.tif", coarse) == 1
    assert "100 % of the pixels of the coarse product have a code that" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["coarse.tif"]


def test_a_picture_as_the_product_was_mapped_though_doctor_refused_it(
    scene_folder, image, tmp_path, capsys
):
    given = ["legend.coarse=nlcd", f"image={image}", f"coarse={image}"]
    assert main(["doctor", *given, "--no-timing"]) == 1
    assert main(["map", "method=mapsr", *given, f"out={tmp_path / 'map.tif'}"]) == 1
    assert "which ones fit" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def zone_tiles(image, folder):
    """A tile in zone 17 and one in zone 18 that lies on its right."""
    grid = read_grid(image)
    values = pixels(image)
    write_raster(folder / "a.tif", values, grid)
    zone = CRS.from_epsg(26918)
    x, y = transform(grid.crs, zone, [grid.bounds[2] - 10], [grid.bounds[3]])
    place = Affine(1, 0, round(x[0]), 0, -1, round(y[0]))
    write_raster(folder / "b.tif", values, Grid(zone, place, grid.height, grid.width))
    return folder / "?.tif"


def test_tiles_of_two_zones_are_mapped_each_on_its_grid(run, image, tmp_path):
    tiles = zone_tiles(image, tmp_path)
    assert mapped(run, tiles, tmp_path / "maps") == 0
    for name in ("a", "b"):
        out = tmp_path / "maps" / f"{name}.tif"
        assert read_grid(out) == read_grid(tmp_path / f"{name}.tif")
        assert (labels_of(out) == labels_of(run / "maps" / "village.tif")).all()


def test_tiles_of_two_zones_as_one_mosaic(run, image, tmp_path):
    tiles, out = zone_tiles(image, tmp_path), tmp_path / "mosaic.tif"
    assert mapped(run, tiles, out, "mosaic=true") == 0
    labels = labels_of(out)
    assert read_grid(out).crs == read_grid(image).crs
    height, width = labels_of(image).shape
    assert labels.shape[1] > 1.7 * width
    top = round(read_grid(out).bounds[3] - read_grid(image).bounds[3])
    assert (labels[top : top + height, :width] != 255).all()
    assert 0.5 < (labels != 255).mean() < 1  # turned against each other: corners stay empty


def test_a_mosaic_of_other_numbers_of_bands_is_refused(run, image, tmp_path, capsys):
    of_two_bands(image, tmp_path / "b.tif")
    (tmp_path / "a.tif").write_bytes(image.read_bytes())
    out = tmp_path / "out" / "mosaic.tif"
    assert mapped(run, tmp_path / "?.tif", out, "mosaic=true") == 1
    assert "has 2 band(s), expected at least 4" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["/proc/self/maps_of_mapsr", "/sys/maps_of_mapsr"])
def test_a_folder_that_can_not_be_written(run, scene_folder, image, capsys, folder):
    out = f"{folder}/map.tif"
    for command in (
        lambda: mapped(run, image, out),
        lambda: fitted(scene_folder, "village", out),
    ):
        assert command() == 1
        shown = capsys.readouterr()
        assert f"Can't write in {folder}" in shown.err and "choose another out=" in shown.err
        assert "Traceback" not in shown.err and shown.out == ""
        assert "probe" not in shown.err  # nothing is fitted in vain


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nowhere/*.tif", "No file matches image=nowhere/*.tif"),
        ("nowhere.tif", "Can't read nowhere.tif: there is no such file"),
        ("nowhere.csv", "There is no CSV file 'nowhere.csv'"),
    ],
)
def test_images_that_are_not_there(run, tmp_path, capsys, image, message):
    assert mapped(run, image, tmp_path / ("map.tif" if image.endswith("e.tif") else "maps")) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_list_that_names_an_image_twice(run, image, tmp_path, capsys):
    table = tmp_path / "list.csv"
    table.write_text(f"image_fn\n{image}\n{image}\n")
    assert mapped(run, table, tmp_path / "maps") == 1
    assert "2 times, expected it once" in capsys.readouterr().err


def test_outputs_that_make_no_sense(run, image, scene_folder, tmp_path, capsys):
    pattern = scene_folder / "*" / "*_naip.tif"
    for arguments, message in (
        ((pattern, tmp_path / "map.tif"), "is one file, but image="),
        ((pattern, tmp_path / "maps", "mosaic=true"), "is one map, expected a name that ends in"),
        ((image, tmp_path / "map.png"), "is one map, expected a name that ends in .tif"),
    ):
        assert mapped(run, *arguments) == 1
        assert message in capsys.readouterr().err
    for part in ("x", "y"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "same.tif").write_bytes(image.read_bytes())
    assert mapped(run, tmp_path / "*" / "same.tif", tmp_path / "maps") == 1
    assert "2 images would have the map" in capsys.readouterr().err


def test_a_vrt_of_files_that_are_not_there(run, image, tmp_path, capsys):
    tile, path = tmp_path / "tile.tif", tmp_path / "area.vrt"
    write_raster(tile, pixels(image), read_grid(image).crop(Window(0, 0, *labels_of(image).shape)))
    rasterio.shutil.copy(tile, path, driver="VRT")
    tile.unlink()
    assert mapped(run, path, tmp_path / "map.tif") == 1
    err = capsys.readouterr().err
    assert "tile.tif" in err and "area.vrt" in err and "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["area.vrt"]
