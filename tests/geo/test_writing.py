from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from mapsr.errors import RasterError
from mapsr.geo import Grid, Window, read_grid, window_writer, write_cog, write_raster
from mapsr.geo import writing as writing_module
from mapsr.legends import load_legend

LEGEND = load_legend("chesapeake4")
SMALL = Grid(CRS.from_epsg(26917), Affine(1.0, 0.0, 500000.0, 0.0, -1.0, 4150000.0), 6, 9)
LARGE = Grid(SMALL.crs, SMALL.transform, 600, 1100)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 9), (1, 6, 9), (5, 6, 9)])
def test_array_comes_back(tmp_path: Path, dtype: str, shape: tuple[int, ...]):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    path = tmp_path / "new" / "a.tif"
    write_raster(path, array, SMALL)
    back = read(path)
    assert back.dtype == dtype
    assert (back == array.reshape(-1, 6, 9)).all()
    assert read_grid(path) == SMALL
    assert [file.name for file in path.parent.iterdir()] == ["a.tif"]


def test_fourth_band_is_no_alpha(tmp_path: Path):
    path = tmp_path / "a.tif"
    write_raster(path, np.ones((4, 6, 9), np.uint8), SMALL)
    with rasterio.open(path) as dataset:
        assert ColorInterp.alpha not in dataset.colorinterp
        assert dataset.colorinterp[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def test_nodata_is_declared(tmp_path: Path):
    path = tmp_path / "a.tif"
    write_raster(path, np.ones((6, 9), np.float32), SMALL, nodata=-9999.0)
    with rasterio.open(path) as dataset:
        assert dataset.nodata == -9999.0
        assert dataset.block_shapes == [(6, 9)]


def test_large_raster_is_tiled(tmp_path: Path):
    path = tmp_path / "a.tif"
    write_raster(path, np.ones((600, 1100), np.uint8), LARGE)
    with rasterio.open(path) as dataset:
        assert dataset.block_shapes == [(512, 512)]


@pytest.mark.parametrize("shape", [(9, 6), (2, 9, 6), (9,), (1, 1, 6, 9)])
def test_array_of_another_shape_is_refused(tmp_path: Path, shape: tuple[int, ...]):
    with pytest.raises(RasterError, match=r"the array has shape .* with 6 x 9 pixels"):
        write_raster(tmp_path / "a.tif", np.ones(shape, np.uint8), SMALL)
    assert not list(tmp_path.iterdir())


def random_labels(grid: Grid, seed: int = 60113) -> np.ndarray:
    drawn = np.random.default_rng(seed).integers(0, 4, (1, grid.height, grid.width))
    return drawn.astype(np.uint8)


def plain(path: Path, grid: Grid, values: np.ndarray, nodata: float = 255) -> Path:
    with window_writer(path, grid, len(values), values.dtype.name, nodata) as write:
        write(grid.window, values)
    return path


def cog(folder: Path, grid: Grid, values: np.ndarray, nodata: float = 255, **about: object) -> Path:
    target = folder / "map.tif"
    write_cog(plain(folder / "plain.tif", grid, values, nodata), target, tags={}, **about)
    return target


def valid_cog(path: Path) -> bool:
    validate = pytest.importorskip("rio_cogeo.cogeo").cog_validate
    valid, errors, warnings = validate(path, strict=True, quiet=True)
    assert (errors, warnings) == ([], [])
    return bool(valid)


@pytest.mark.parametrize("order", ["as they come", "backwards", "shuffled"])
@pytest.mark.parametrize("grid", [SMALL, LARGE], ids=["small", "large"])
def test_windows_in_any_order(tmp_path: Path, grid: Grid, order: str):
    values = np.random.default_rng(3).random((2, grid.height, grid.width)).astype(np.float32)
    windows = [
        Window(row, col, 170, 300).intersect(grid.window)
        for row in range(0, grid.height, 170)
        for col in range(0, grid.width, 300)
    ]
    if order == "backwards":
        windows.reverse()
    elif order == "shuffled":
        np.random.default_rng(8).shuffle(windows)
    path = tmp_path / "a.tif"
    with window_writer(path, grid, 2, "float32", float("nan")) as write:
        for window in windows:
            write(window, values[:, *window.slices])
    np.testing.assert_array_equal(read(path), values)
    assert read_grid(path) == grid


@pytest.mark.parametrize("grid", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 255), ("float32", float("nan"))])
def test_what_is_not_written_is_nodata(tmp_path: Path, grid: Grid, dtype: str, nodata: float):
    path = tmp_path / "a.tif"
    with window_writer(path, grid, 2, dtype, nodata) as write:
        write(Window(1, 2, 1, 3), np.ones((2, 1, 3), dtype))
    target = tmp_path / "map.tif"
    write_cog(path, target, tags={})
    for file in (path, target):
        expected = np.full((2, grid.height, grid.width), nodata, dtype)
        expected[:, 1, 2:5] = 1
        np.testing.assert_array_equal(read(file), expected)
        with rasterio.open(file) as dataset:
            assert dataset.nodata == nodata or np.isnan([dataset.nodata, nodata]).all()


@pytest.mark.parametrize(
    ("window", "values", "message"),
    [
        (Window(5, 0, 2, 3), np.zeros((1, 2, 3), np.uint8), "inside 6 x 9 pixels"),
        (Window(0, 0, 2, 3), np.zeros((1, 3, 2), np.uint8), r"expected \(1, 2, 3\)"),
        (Window(0, 0, 2, 3), np.zeros((2, 2, 3), np.uint8), r"expected \(1, 2, 3\)"),
        (Window(0, 0, 2, 3), np.zeros((1, 2, 3), np.int64), r"Can't write int64 .*expected uint8"),
    ],
)
def test_values_that_do_not_fit(tmp_path: Path, window: Window, values: np.ndarray, message: str):
    with (
        pytest.raises(RasterError, match=message),
        window_writer(tmp_path / "a.tif", SMALL, 1, "uint8", 255) as write,
    ):
        write(window, values)


def test_a_label_map(tmp_path: Path):
    labels = random_labels(LARGE)
    labels[:, :, :30] = 255
    path = tmp_path / "map.tif"
    write_cog(
        plain(tmp_path / "plain.tif", LARGE, labels),
        path,
        tags={"METHOD": "toy", "CROSSWALK": "paraformer"},
        names=["labels"],
        legend=LEGEND,
    )
    assert valid_cog(path)
    assert (read(path) == labels).all()
    assert read_grid(path) == LARGE
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.dtypes == ("uint8",)
        assert dataset.nodata == 255
        assert dataset.compression.name == "deflate"
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.descriptions == ("labels",)
        assert dataset.tags()["METHOD"] == "toy"
        assert dataset.tags()["CROSSWALK"] == "paraformer"
        assert dataset.tags(1)["CLASS_0"] == "water"
        assert dataset.tags(1)["CLASS_3"] == "impervious"
        colormap = dataset.colormap(1)
        assert [colormap[index][:3] for index in range(4)] == list(LEGEND.colors)
        assert colormap[255][3] == 0
        assert dataset.colorinterp == (ColorInterp.palette,)
        assert dataset.overviews(1)


def test_a_float_map(tmp_path: Path):
    scores = np.random.default_rng(5).random((3, 600, 1100)).astype(np.float32)
    scores[:, :40] = np.nan
    path = cog(tmp_path, LARGE, scores, float("nan"), names=["a", "b", "c"])
    assert valid_cog(path)
    np.testing.assert_array_equal(read(path), scores)
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == ("a", "b", "c")
        assert np.isnan(dataset.nodata)


def test_the_same_values_give_the_same_bytes(tmp_path: Path):
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        path = cog(tmp_path / name, LARGE, random_labels(LARGE), legend=LEGEND)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_overviews_of_labels_hold_the_most_frequent_class(tmp_path: Path):
    # of each 2 x 2 pixels three are of class 3: their mean is 2.25, the nearest may be 0
    labels = np.full((1, 600, 1100), 3, np.uint8)
    labels[:, ::2, ::2] = 0
    path = cog(tmp_path, LARGE, labels, legend=LEGEND)
    with rasterio.open(path, overview_level=0) as dataset:
        assert dataset.shape == (300, 550)
        assert (dataset.read(1) == 3).all()


def test_overviews_of_numbers_hold_means_of_what_is_valid(tmp_path: Path):
    values = np.full((1, 600, 1100), 2, np.float32)
    values[:, ::2, ::2] = 6
    values[:, :, -2:] = np.nan
    values[:, :2, 2] = np.nan
    path = cog(tmp_path, LARGE, values, float("nan"))
    with rasterio.open(path, overview_level=0) as dataset:
        seen = dataset.read(1)
    assert np.isnan(seen[:, -1]).all()
    assert (seen[1:, :-1] == 3).all()
    assert seen[0, 1] == 2


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 1500), (512, 512)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_maps_of_any_size(tmp_path: Path, size: tuple[int, int], dtype: str):
    grid = Grid(SMALL.crs, SMALL.transform, *size)
    values = random_labels(grid).astype(dtype)
    legend = LEGEND if dtype == "uint8" else None
    path = cog(tmp_path, grid, values, 255 if legend else float("nan"), legend=legend)
    if size[1] > 1:  # the validator takes an overview's decimation from its width
        assert valid_cog(path)
    assert (read(path) == values).all()


def test_a_copy_that_does_not_hold_the_source_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A full disk lets GDAL end without an error now and then."""
    other = plain(tmp_path / "other.tif", LARGE, random_labels(LARGE, 7))
    real = writing_module.rasterio.shutil.copy
    monkeypatch.setattr(
        writing_module.rasterio.shutil,
        "copy",
        lambda source, target, **options: real(other, target, **options),
    )
    with pytest.raises(RasterError, match=r"map\.tif does not hold what was written to it"):
        cog(tmp_path, LARGE, random_labels(LARGE), legend=LEGEND)


def test_a_truncated_source_is_an_error(tmp_path: Path):
    source = plain(tmp_path / "plain.tif", LARGE, random_labels(LARGE))
    source.write_bytes(source.read_bytes()[:300_000])
    with pytest.raises(RasterError, match=r"Can't write .*map\.tif: .*; check the space"):
        write_cog(source, tmp_path / "map.tif", tags={})


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(RasterError, match=r"Can't write .*none.a\.tif: .*; check the space"):
        plain(tmp_path / "none" / "a.tif", SMALL, random_labels(SMALL))
