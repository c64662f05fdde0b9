from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from mapsr.errors import RasterError
from mapsr.geo import Grid, Window, label_writer, read_codes, read_grid, write_raster
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


def test_label_map_by_windows(tmp_path: Path):
    labels = np.random.default_rng(60113).integers(0, 4, (600, 1100)).astype(np.uint8)
    labels[:, :30] = 255
    path = tmp_path / "map.tif"
    with label_writer(path, LARGE, LEGEND, {"METHOD": "toy", "CROSSWALK": "paraformer"}) as write:
        for row in range(0, 600, 250):
            for col in range(0, 1100, 300):
                window = Window(row, col, 250, 300).intersect(LARGE.window)
                assert window is not None
                write(window, labels[window.slices])
        assert not path.exists()
    assert (read(path) == labels).all()
    assert read_grid(path) == LARGE
    with rasterio.open(path) as dataset:
        assert dataset.dtypes == ("uint8",)
        assert dataset.nodata == 255
        assert dataset.compression.name == "deflate"
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.tags()["METHOD"] == "toy"
        assert dataset.tags()["CROSSWALK"] == "paraformer"
        assert dataset.tags(1)["CLASS_0"] == "water"
        assert dataset.tags(1)["CLASS_3"] == "impervious"
        colormap = dataset.colormap(1)
        assert [colormap[index][:3] for index in range(4)] == list(LEGEND.colors)
        assert colormap[255][:3] == (0, 0, 0)
        assert dataset.colorinterp == (ColorInterp.palette,)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.qml", "map.tif", "map.tif.aux.xml"]


@pytest.mark.parametrize("grid", [SMALL, LARGE])
def test_what_is_not_written_is_nodata(tmp_path: Path, grid: Grid):
    path = tmp_path / "map.tif"
    with label_writer(path, grid, LEGEND, {}) as write:
        write(Window(1, 2, 1, 3), np.array([[0, 1, 2]], np.uint8))
    labels = read(path)[0]
    assert labels[1, 2:5].tolist() == [0, 1, 2]
    labels[1, 2:5] = 255
    assert (labels == 255).all()
    assert read_codes(path, grid, Window(1, 1, 1, 5)).tolist() == [[-1, 0, 1, 2, -1]]


def test_failure_leaves_nothing(tmp_path: Path):
    def fail() -> None:
        with label_writer(tmp_path / "map.tif", SMALL, LEGEND, {}) as write:
            write(Window(0, 0, 2, 3), np.zeros((2, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("window", "labels", "message"),
    [
        (Window(5, 0, 2, 3), np.zeros((2, 3), np.uint8), "inside its 6 x 9 pixels"),
        (
            Window(0, 0, 2, 3),
            np.zeros((3, 2), np.uint8),
            r"uint8 \(3, 2\), expected uint8 \(2, 3\)",
        ),
        (Window(0, 0, 2, 3), np.zeros((2, 3), np.int64), "the labels are int64"),
        (
            Window(0, 0, 1, 2),
            np.array([[3, 4]], np.uint8),
            "label 4 .* 'chesapeake4' .*255 for nod",
        ),
    ],
)
def test_labels_that_do_not_fit(tmp_path: Path, window: Window, labels: np.ndarray, message: str):
    path = tmp_path / "map.tif"
    with (
        pytest.raises(RasterError, match=message),
        label_writer(path, SMALL, LEGEND, {}) as write,
    ):
        write(window, labels)
    assert not list(tmp_path.iterdir())
