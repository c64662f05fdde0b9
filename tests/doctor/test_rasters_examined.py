"""Findings by themselves: numbers in words, what a scale is guessed from, what a chip takes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from make_scenes import image_grid
from rasterio.crs import CRS

from mapsr.doctor.estimate import _fit_chips, _fit_memory, work_findings
from mapsr.doctor.measure import Cost, measure
from mapsr.doctor.rasters import examine
from mapsr.errors import WeightsError
from mapsr.features import TextureSettings, ViTSettings
from mapsr.features.cache import NoCacheSettings
from mapsr.findings import duration, evenly, percent, pixels, volume
from mapsr.geo import Grid, WindowSettings, cover, image_info, write_raster
from mapsr.legends import LegendSettings, load_legend
from mapsr.mapping import LocalSettings, RaySettings
from mapsr.methods import ComputeSettings, FittedMethod, ImageFacts, State
from mapsr.methods.mapsr import MapSRSettings
from mapsr.methods.method import FitWork
from mapsr.prompts import EmPromptSettings
from mapsr.refine import RefineSettings
from mapsr.region import MapSettings, find_images
from mapsr.upsample import NearestSettings

SETTINGS = MapSettings(
    image="a.tif",
    out="map.tif",
    method=MapSRSettings(),
    legend=LegendSettings(),
    backbone=TextureSettings(),
    upsampler=NearestSettings(),
    prompts=EmPromptSettings(pixels=400, steps=3),
    refine=RefineSettings(nodes="none"),
    windows=WindowSettings(chip=32, overlap=4, unit=60),
    compute=ComputeSettings(device="cpu"),
    engine=LocalSettings(workers=2),
    cache=NoCacheSettings(),
)
FACTS = ImageFacts(255.0, 3, "uint8")


def texts(findings):
    """The last text by topic."""
    return {finding.topic: finding.text for finding in findings}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (percent(0), "0 %"),
        (percent(0.0004), "under 0.1 %"),
        (percent(0.0314), "3.14 %"),
        (percent(0.9996), "over 99.9 %"),
        (percent(1), "100 %"),
        (duration(0.042), "0.042 s"),
        (duration(89), "89 s"),
        (duration(90), "1.5 minutes"),
        (duration(5000), "83 minutes"),
        (duration(36_000), "10 hours"),
        (duration(1_000_000_000), "11574 days"),
        (volume(3 << 10), "3 KiB"),
        (volume(300 << 20), "300 MiB"),
        (volume(5 << 29), "2.5 GiB"),
        (pixels(7700), "0.0077 Mpx"),
        (pixels(1e10), "10 Gpx"),
    ],
)
def test_numbers_in_words(words, expected):
    assert words == expected


@pytest.mark.parametrize(("count", "most"), [(3, 8), (8, 8), (100, 8), (0, 8), (9, 1)])
def test_an_even_draw_keeps_order_and_repeats_nothing(count, most):
    drawn = evenly(range(count), most)
    assert len(drawn) == min(count, most)
    assert drawn == sorted(set(drawn))


def write_image(path: Path, height: int, width: int, **place) -> Path:
    values = np.random.default_rng(2).integers(1, 255, (3, height, width)).astype(np.uint8)
    values[:, : place.get("empty_rows", 0)] = 0
    grid = image_grid(0)
    write_raster(path, values, Grid(grid.crs, grid.transform, height, width), nodata=0)
    return path


def test_work_by_hand(tmp_path):
    """100 x 61 px: chips begin at 0, 28, 56, 84 and 0, 28, 45; two chips a unit along each side."""
    info = image_info(write_image(tmp_path / "a.tif", 100, 61))
    settings = replace(SETTINGS, confidence=True, scores=True)
    found = texts(work_findings([info], settings, FACTS, None, timing=False))
    chips = sum(map(len, cover(100, 61, SETTINGS.windows)))
    assert found["chips"] == f"{chips} of 32 px, overlapping by 4, in 4 work unit(s)"
    # 6 bytes for labels, 12 for confidence and for each of four classes
    assert found["disk"].startswith(f"about {round(6100 * (6 + 12 * 5) / 1024)} KiB")
    # 4 classes x 4 bytes, of a unit and a chip: 92 x 61 px
    assert f"{round(92 * 61 * 16 / 1024)} KiB for the sums of a unit" in found["memory"]
    assert found["memory"].startswith("2 worker(s) x a chip (not measured)")
    assert "time" not in found


def test_a_chip_is_looked_for_where_there_is_data(tmp_path):
    info = image_info(write_image(tmp_path / "a.tif", 90, 70, empty_rows=60))
    cost = measure([info], SETTINGS, FACTS)
    assert cost is not None
    assert 0 < cost.seconds < 60
    assert 0 < cost.encode_seconds < 60
    assert cost.memory_mib is None or 0 <= cost.memory_mib < 2048
    assert cost.device_mib is None


def test_an_empty_image_is_not_measured(tmp_path):
    info = image_info(write_image(tmp_path / "a.tif", 90, 70, empty_rows=90))
    assert measure([info], SETTINGS, FACTS) is None
    found = texts(work_findings([info], SETTINGS, FACTS, None, timing=True))
    assert found["time"] == "not measured: no chip with data was found"


def test_measuring_leaves_the_threads_as_they_were(tmp_path):
    info = image_info(write_image(tmp_path / "a.tif", 40, 33))
    before = torch.get_num_threads()
    measure([info], SETTINGS, FACTS)
    assert torch.get_num_threads() == before


def test_measuring_never_downloads(tmp_path, monkeypatch):
    def network(*rest, **more):
        raise AssertionError("the network was used")

    monkeypatch.setattr("urllib.request.urlopen", network)
    monkeypatch.setattr("mapsr.doctor.measure.locate", lambda name, folder: None)
    info = image_info(write_image(tmp_path / "a.tif", 40, 33))
    settings = replace(SETTINGS, backbone=ViTSettings())
    with pytest.raises(WeightsError, match="`mapsr weights fetch dinov2_vitb14` fetches"):
        measure([info], settings, FACTS)


def test_actors_of_a_cluster_are_counted(tmp_path):
    info = image_info(write_image(tmp_path / "a.tif", 40, 33))
    settings = replace(SETTINGS, engine=RaySettings(workers=7))
    found = texts(work_findings([info], settings, FACTS, None, timing=False))
    assert found["memory"].startswith("7 worker(s)")


def test_a_given_method_says_scale_bands_and_type(tmp_path):
    path = write_image(tmp_path / "a.tif", 40, 33)
    images = find_images(str(path), None)
    settings = replace(SETTINGS, image=str(path))
    fitted = FittedMethod(
        parts=SETTINGS.only_used(),
        target=load_legend("chesapeake4"),
        crosswalk="paraformer",
        image=ImageFacts(200.0, 3, "uint8"),
        windows=SETTINGS.windows,
        weights={},
        state=State({}),
    )
    found = list(examine(images, settings, fitted, timing=False))
    assert texts(found)["scale"] == "200 becomes 1, as the method was fitted"
    assert "coarse" not in texts(found)
    assert not any(finding.remedy for finding in found)
    given = examine(images, replace(settings, scale=250.0), fitted, timing=False)
    assert texts(given)["scale"] == "250 becomes 1, as given"
    other = replace(fitted, image=ImageFacts(200.0, 3, "uint16"))
    (wrong,) = examine(images, settings, other, timing=False)
    assert "holds uint8 values, the others uint16" in (wrong.remedy or "")


@pytest.mark.parametrize(("room", "kept"), [(0, "0 KiB"), (10, "10 MiB"), (2048, "24 MiB")])
def test_features_that_fitting_keeps_need_room(tmp_path, room, kept):
    """4 x 2 chips to fit on, of 10 s and 3 MiB."""
    info = image_info(write_image(tmp_path / "a.tif", 100, 61))
    cost = Cost(
        method=None,
        seconds=1,
        encode_seconds=10,
        program_mib=500,
        memory_mib=100,
        features_mib=3,
        device_mib=None,
    )
    compute = ComputeSettings(device="cpu", memory_mib=room)
    settings = replace(SETTINGS, compute=compute)
    count = _fit_chips([info], settings.windows)
    assert count == 8
    # the sample: 131072 pixels of 256 floats, twice
    work = FitWork(count, 2, 256.0, "prompts")
    expected = f"{kept} of features (at most compute.memory_mib={room}), 256 MiB for samples"
    assert expected in _fit_memory(cost, work, settings).text


def test_a_hundred_bad_images_are_not_told_one_by_one(tmp_path):
    for number in range(100):
        (tmp_path / f"{number}.tif").write_bytes(b"")
    pattern = str(tmp_path / "*.tif")
    found = list(
        examine(find_images(pattern, None), replace(SETTINGS, image=pattern), timing=False)
    )
    assert found[0].text == f"{pattern}: 100, of which 0 can be used, 0 Mpx"
    assert len(found) == 1 + 5 + 1
    assert found[-1].text == "95 more can't be used"


def test_wide_strips_and_odd_bands_are_told(tmp_path):
    path = tmp_path / "a.tif"
    values = np.ones((4, 3, 9000), np.uint8)
    values[0, :, ::2] = 200
    grid = image_grid(0)
    place = Grid(grid.crs, grid.transform, 3, 9000)
    profile = {"driver": "GTiff", "count": 4, "dtype": "uint8", "height": 3, "width": 9000}
    profile |= {"crs": place.crs, "transform": place.transform, "photometric": "RGB"}
    with rasterio.open(path, "w", **profile, ALPHA="YES") as dataset:
        dataset.write(values)
    images = find_images(str(path), None)
    found = list(examine(images, replace(SETTINGS, image=str(path)), timing=False))
    by_topic = texts(found)
    assert f"`gdal_translate -of COG {path} OUT.tif` makes it fast" in by_topic["blocks"]
    bands = [finding.text for finding in found if finding.topic == "bands"]
    assert bands == [
        "band 4 is marked as alpha, and is read as image: right for near infrared; bands=3 makes "
        "it a mask",
        "band 2 is 1 wherever it was looked at",
        "band 3 is 1 wherever it was looked at",
        "band 4 is 1 wherever it was looked at",
    ]


def test_geographic_and_oblong_pixels_are_told(tmp_path):
    values = np.random.default_rng(2).integers(1, 255, (3, 20, 31)).astype(np.uint8)
    utm = image_grid(0)
    oblong = Grid(utm.crs, utm.transform @ Affine.scale(1, 2), 20, 31)
    degrees = Grid(CRS.from_epsg(4326), Affine(1e-5, 0, 10, 0, -1e-5, 60), 20, 31)
    expected = {"a": "2 x 1 m: not square, which works", "b": "1e-05 x 1e-05 degrees, about 1.1"}
    for name, grid in (("a", oblong), ("b", degrees)):
        path = tmp_path / f"{name}.tif"
        write_raster(path, values, grid)
        images = find_images(str(path), None)
        found = examine(images, replace(SETTINGS, image=str(path)), timing=False)
        assert texts(found)["pixel"].startswith(expected[name])
