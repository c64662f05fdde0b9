"""mapsr from Python does what the commands do."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import stand_ins  # noqa: F401 - one thread
import torch
from affine import Affine

import mapsr
from mapsr.api.rasters import as_raster
from mapsr.errors import MapsrError, RasterError

# rioxarray multiplies transforms as older versions of affine did
OLD_PRODUCT = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
QUICK = ("method=mapsr", "prompts.pixels=1000", "prompts.epochs=2", "upsampler=bilinear")
QUICK += ("refine=none", "windows.chip=48", "windows.overlap=8", "windows.unit=48")


@pytest.fixture(scope="module")
def scene(scene_folder):
    return {kind: scene_folder / "val" / f"village_{kind}.tif" for kind in ("naip", "nlcd_30m")}


@pytest.fixture(scope="module")
def fitted(scene, tmp_path_factory):
    out = tmp_path_factory.mktemp("fit") / "county"
    return mapsr.fit(scene["naip"], scene["nlcd_30m"], out, *QUICK, "legend.coarse=nlcd")


def test_the_documented_example_works(scene, tmp_path, monkeypatch, capsys):
    for kind, name in (("naip", "tile.tif"), ("nlcd_30m", "nlcd.tif")):
        (tmp_path / name).symlink_to(scene[kind])
    monkeypatch.chdir(tmp_path)
    page = (Path(mapsr.__file__).parents[1] / "docs" / "python.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/python.md", "exec"), {})
    said = capsys.readouterr().out
    assert "water" in said and "(4, 70, 110)" in said
    assert {"map.tif", "map_confidence.tif", "again.tif"} <= {p.name for p in tmp_path.iterdir()}


def test_importing_mapsr_imports_nothing_heavy():
    code = (
        "import sys, mapsr; dir(mapsr); print(sorted({'torch', 'numpy', 'hydra'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="fitt"):
        mapsr.fitt  # noqa: B018


def test_scores_are_those_of_the_file_and_of_the_kind_of_the_array(fitted, scene, tmp_path):
    (out,) = fitted.map(scene["naip"], tmp_path / "map.tif", scores=True)
    with rasterio.open(scene["naip"]) as dataset:
        image = dataset.read()
    with rasterio.open(out.with_name("map_scores.tif")) as dataset:
        wanted = dataset.read()
    scores = fitted.score(image)
    assert isinstance(scores, np.ndarray) and scores.dtype == np.float32
    np.testing.assert_array_equal(scores, wanted)
    tensor = fitted.score(torch.from_numpy(image))
    assert isinstance(tensor, torch.Tensor) and np.array_equal(tensor, wanted, equal_nan=True)
    with rasterio.open(out) as dataset:
        assert (dataset.read(1) == scores.argmax(0)).all()
    with pytest.raises(MapsrError, match="band"):
        fitted.score(image[:2])
    with pytest.raises(RasterError, match="expected numbers"):
        fitted.score(image[None])


def test_arrays_with_a_place_are_mapped_and_others_refused(fitted, scene, tmp_path):
    with rasterio.open(scene["naip"]) as dataset:
        image, crs, transform = dataset.read(), dataset.crs, dataset.transform
    (out,) = fitted.map(image, tmp_path / "a.tif", crs=str(crs), transform=transform)
    (wanted,) = fitted.map(scene["naip"], tmp_path / "b.tif")
    with rasterio.open(out) as one, rasterio.open(wanted) as other:
        assert (one.crs, one.transform) == (other.crs, other.transform)
        assert (one.read() == other.read()).all()
    with pytest.raises(RasterError, match="crs="):
        fitted.map(image, tmp_path / "c.tif")
    with pytest.raises(RasterError, match="both"):
        fitted.map(image, tmp_path / "c.tif", crs="EPSG:26917")
    with pytest.raises(RasterError, match="can't be read as the place"):
        fitted.map(image, tmp_path / "c.tif", crs="EPSG:1", transform=transform)
    assert not (tmp_path / "c.tif").exists()


class Coordinates:
    """What is read of an xarray object."""

    def __init__(self, values, attrs=None):
        self.values, self.attrs = np.asarray(values), attrs or {}

    def __array__(self, dtype=None, copy=None):
        return self.values.astype(dtype or self.values.dtype)


def test_xarray_objects_say_their_place(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    image = Coordinates(values)
    image.dims = ("band", "y", "x")
    image.coords = {
        "y": Coordinates([4000019.0, 4000017.0, 4000015.0]),
        "x": Coordinates([500001.0, 500003.0, 500005.0, 500007.0]),
        "spatial_ref": Coordinates(0, {"crs_wkt": "EPSG:26917"}),
    }
    found = as_raster(image)
    assert (found.values == values).all() and found.nodata is None
    assert found.grid.bounds == (500000.0, 4000014.0, 500008.0, 4000020.0)
    found.write(tmp_path / "a.tif")
    image.coords["x"] = Coordinates([0.0, 1.0, 3.0, 4.0])
    with pytest.raises(RasterError, match="evenly"):
        as_raster(image)


def test_real_xarray_objects_are_taken():
    xarray = pytest.importorskip("xarray")
    image = xarray.DataArray(
        np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
        dims=("band", "y", "x"),
        coords={"y": [9.5, 8.5], "x": [0.5, 1.5, 2.5]},
        attrs={"crs": "EPSG:26917"},
    )
    found = as_raster(image)
    assert found.grid.bounds == (0.0, 8.0, 3.0, 10.0)
    turned = as_raster(image.transpose("y", "x", "band"))
    assert turned.grid == found.grid and (turned.values == found.values).all()


def written(path, transform, nodata=None):
    """A raster of uint8, two bands of 4 x 5 px."""
    values = np.arange(1, 41, dtype=np.uint8).reshape(2, 4, 5)
    values[:, 1, 2] = 0
    options = {"driver": "GTiff", "height": 4, "width": 5, "count": 2, "dtype": "uint8"}
    with rasterio.open(
        path, "w", crs="EPSG:26917", transform=transform, nodata=nodata, **options
    ) as dataset:
        dataset.write(values)
    return values


@OLD_PRODUCT
def test_what_rioxarray_reads_has_place_values_and_nodata_of_the_file(tmp_path):
    rioxarray = pytest.importorskip("rioxarray")
    place = Affine(2, 0, 500000, 0, -3, 4000000)
    values = written(tmp_path / "a.tif", place, nodata=0)
    found = as_raster(rioxarray.open_rasterio(tmp_path / "a.tif"))
    assert (found.values == values).all() and found.nodata == 0
    assert found.grid.transform == place and found.grid.crs.to_epsg() == 26917
    masked = as_raster(rioxarray.open_rasterio(tmp_path / "a.tif", masked=True))
    assert np.isnan(masked.values[:, 1, 2]).all() and masked.grid == found.grid
    plain = rioxarray.open_rasterio(tmp_path / "a.tif", parse_coordinates=False)
    assert as_raster(plain).grid == found.grid


@OLD_PRODUCT
def test_a_rotated_xarray_object_is_refused_not_laid_straight(tmp_path):
    rioxarray = pytest.importorskip("rioxarray")
    written(tmp_path / "a.tif", Affine(2, 0.5, 500000, 0.5, -2, 4000000))
    turned = rioxarray.open_rasterio(tmp_path / "a.tif", parse_coordinates=False)
    with pytest.raises(RasterError, match="rotated"):
        as_raster(turned)


def test_a_run_is_done_once(tmp_path):
    small = ["data.height=200", "data.width=232", "data.fit_scenes=1", "data.score_scenes=1"]
    words = [*small, "prompts.pixels=1000", "prompts.epochs=1", "refine=none", "logger=none"]
    first = mapsr.run(*words, output=tmp_path / "run")
    again = mapsr.run(*words, output=tmp_path / "run")
    assert first.fresh and not again.fresh and first.metrics == again.metrics
    assert first.fitted.classes == mapsr.load(tmp_path / "run").classes
