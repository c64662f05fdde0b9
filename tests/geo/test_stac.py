"""STAC: rasters that items name, and items of maps."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pystac
import pytest
from affine import Affine
from make_stac import catalogue, item
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from range_server import QUIET, serving
from rasterio.crs import CRS

from mapsr.errors import ConfigError, DataError
from mapsr.geo import Grid, write_raster
from mapsr.geo.patterns import files_of
from mapsr.geo.stac import is_stac, one_raster, stac_rasters
from mapsr.geo.stac_items import COG, StacAsset, taken, write_item
from mapsr.legends import LandClass, Legend
from mapsr.remote import RemotePath

MADE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LEGEND = Legend(
    "two",
    "Two classes",
    "these tests",
    (LandClass(1, "Tree & shrub", (0, 99, 0)), LandClass(2, "tree shrub", (9, 9, 255))),
)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    for name in ("MAPSR_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)


def names(text, asset=None):
    found = stac_rasters(str(text), "image", asset)
    return [(one.name, one.path.name) for one in found.every], found.single


def test_items_collections_catalogues_and_searches_name_rasters(tmp_path):
    top = catalogue(tmp_path, ["a", "b/c"])
    assert names(tmp_path / "a" / "a.json", "image") == ([("a", "a.tif")], True)
    assert names(top, "image") == ([("a", "a.tif"), ("b_c", "b_c.tif")], False)
    found = stac_rasters(str(top), "image", "image").every
    assert found[0].path == tmp_path / "a" / "a.tif"
    assert found[0].taken == (datetime(2021, 6, 1, tzinfo=UTC),) * 2
    search = tmp_path / "search.json"
    items = [json.loads((tmp_path / "a" / "a.json").read_text())]
    items[0]["assets"]["image"]["href"] = "https://host/x.tif?sig=1"
    search.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    assert is_stac(str(search))
    (only,) = stac_rasters(str(search), "image", "image").every
    assert only.path == RemotePath("https://host/x.tif?sig=1")
    assert files_of(str(tmp_path / "a" / "only.json"), "truth") == [tmp_path / "a" / "a.tif"]


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ({"datetime": "2021-06-01T00:00:00"}, datetime(2021, 6, 1, tzinfo=UTC)),
        ({"start_datetime": "last", "end_datetime": "week"}, None),
    ],
)
def test_a_time_without_a_zone_or_none_at_all_ended_a_mosaic_in_a_trace(tmp_path, times, wanted):
    path = item(tmp_path, "a")
    content = json.loads(path.read_text())
    content["properties"] |= times
    path.write_text(json.dumps(content))
    (found,) = stac_rasters(str(path), "image", "image").every
    assert found.taken == (wanted and (wanted, wanted))


def test_a_catalogue_that_holds_itself_comes_to_an_end(tmp_path):
    top = catalogue(tmp_path, ["a"])
    content = json.loads(top.read_text())
    content["links"].append({"rel": "child", "href": "./collection.json"})
    top.write_text(json.dumps(content))
    assert names(top, "image") == ([("a", "a.tif")], False)


def test_an_asset_that_is_absent_or_not_the_only_raster_is_named(tmp_path):
    top = catalogue(tmp_path, ["a"])
    listed = r"image \(image/tiff.*\), nir \(image/tiff.*\), thumb \(image/png\)"
    message = rf"item 'a' has 2 rasters .*\({listed}\).*the asset itself"
    with pytest.raises(ConfigError, match=message):
        names(top)
    with pytest.raises(ConfigError, match=rf"no asset 'imge', expected one of {listed}.*'image'\?"):
        names(top, "imge")
    with pytest.raises(ConfigError, match=r"item 'a' has 2 rasters .* coarse_asset=NAME"):
        one_raster(str(top), "coarse")
    assert one_raster(str(tmp_path / "a" / "only.json"), "coarse") == tmp_path / "a" / "a.tif"
    with pytest.raises(DataError, match="names 2 rasters, expected one"):
        one_raster(str(catalogue(tmp_path / "two", ["a", "b"])), "coarse", "image", DataError)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"stac_version": "1.0.0"', "can't be read as STAC .JSONDecodeError"),
        ('{"stac_version": "1.0.0", "type": "Feature"}', "can't be read as STAC"),
        ('{"stac_version": "1.0.0", "type": "Catalog", "id": "a", "links": 3}', "as STAC"),
        ('["stac_version"]', "can't be read as STAC"),
        (
            '{"stac_version": "1.0.0", "type": "Catalog", "id": "a", "description": "b",'
            ' "links": []}',
            "names no item, expected one at least",
        ),
        (
            '{"stac_version": "1.0.0", "type": "Catalog", "id": "a", "description": "b",'
            ' "links": [{"rel": "item", "href": "./none.json"}]}',
            r"Can't read the STAC file .*none\.json",
        ),
    ],
)
def test_what_is_no_stac_is_a_sentence(tmp_path, text, wanted):
    path = tmp_path / "a.json"
    path.write_text(text)
    if '"stac_version":' in text:
        assert is_stac(str(path))
    with pytest.raises(ConfigError, match=wanted):
        stac_rasters(str(path), "image")


def test_points_in_geojson_are_no_stac(tmp_path):
    (tmp_path / "a.json").write_text('{"type": "FeatureCollection", "features": []}')
    assert not is_stac(str(tmp_path / "a.json")) and not is_stac("a.tif")
    assert is_stac("https://host/item.json?sig=1") and not is_stac("https://host/a.tif?b.json")


def test_a_catalogue_on_a_server_names_its_rasters_there(tmp_path, monkeypatch):
    catalogue(tmp_path, ["a", "b"])
    with serving(tmp_path) as server:
        found = stac_rasters(f"{server.url}/collection.json", "image", "image").every
        assert [one.path for one in found] == [
            RemotePath(f"{server.url}/{name}/{name}.tif") for name in "ab"
        ]
        # GDAL's name of the same place
        again = stac_rasters(f"/vsicurl/{server.url}/a/a.json", "image", "image").every
        assert again[0].path == found[0].path
        with pytest.raises(ConfigError, match=r"none\.json: there is no such file on the server"):
            stac_rasters(f"{server.url}/none.json", "image")
        asked = server.asked
        monkeypatch.setenv("MAPSR_OFFLINE", "1")
        with pytest.raises(ConfigError, match="not to be used"):
            stac_rasters(f"{server.url}/collection.json", "image")
        assert server.asked == asked
        # a catalogue of this machine needs no network
        assert names(tmp_path / "collection.json", "image")[0] == [("a", "a.tif"), ("b", "b.tif")]


def written(path, grid, times=(), **assets):
    write_item(path, grid, assets, times, MADE, {"mapsr:version": "1"})
    found = pystac.Item.from_file(path)
    assert JsonSchemaSTACValidator().validate_core(
        found.to_dict(), pystac.STACObjectType.ITEM, "1.1.0"
    )
    return found


def test_an_item_is_valid_and_says_where_when_and_what(tmp_path):
    grid = Grid(CRS.from_epsg(32617), Affine(2, 0, 5e5, 0, -3, 4e6), 70, 110)
    label = StacAsset(tmp_path / "map.tif", "Map", COG, ("data",), LEGEND, {"nodata": 255})
    table = StacAsset(tmp_path / "map.csv", "Table", "text/csv", ("metadata",))
    found = written(tmp_path / "map.json", grid, map=label, table=table)
    assert found.id == "map" and found.datetime == MADE
    assert found.bbox == pytest.approx([-81, 36.14283, -80.99756, 36.14472], abs=1e-5)
    ring = found.geometry["coordinates"][0]
    assert ring[0] == ring[-1] and len(ring) > 60
    area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring))
    assert area > 0  # against the clock, as GeoJSON has it
    projection = ProjectionExtension.ext(found)
    assert (projection.code, projection.shape) == ("EPSG:32617", [70, 110])
    assert projection.transform == [2, 0, 5e5, 0, -3, 4e6]
    assert projection.bbox == [5e5, 4e6 - 210, 5e5 + 220, 4e6]
    assert found.assets["map"].href == "./map.tif" and found.assets["table"].roles == ["metadata"]
    classes = ClassificationExtension.ext(found.assets["map"]).classes
    assert [(one.value, one.name, one.title, one.color_hint) for one in classes[:2]] == [
        (0, "tree_shrub", "Tree & shrub", "006300"),
        (1, "tree_shrub_1", "tree shrub", "0909FF"),
    ]
    assert classes[2].value == 255 and classes[2].nodata
    again = pystac.Item.from_dict(found.to_dict(include_self_link=False, transform_hrefs=False))
    assert again.to_dict(include_self_link=False) == json.loads(
        Path(tmp_path / "map.json").read_text()
    )


def test_the_times_of_images_count_before_that_of_the_run(tmp_path):
    grid = Grid(CRS.from_epsg(32617), Affine(1, 0, 5e5, 0, -1, 4e6), 7, 11)
    early, late = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
    assert written(tmp_path / "a.json", grid, [(early, early)]).datetime == early
    found = written(tmp_path / "b.json", grid, [(late, late), (early, early)])
    assert found.datetime is None
    common = found.common_metadata
    assert (common.start_datetime, common.end_datetime, common.created) == (early, late, MADE)


def test_a_map_across_180_degrees_has_an_outline_on_both_sides(tmp_path):
    grid = Grid(CRS.from_epsg(32601), Affine(900, 0, 270000, 0, -900, 7000000), 70, 110)
    found = written(tmp_path / "a.json", grid)
    assert found.geometry["type"] == "MultiPolygon" and len(found.geometry["coordinates"]) == 2
    longitudes = [x for part in found.geometry["coordinates"] for x, _ in part[0]]
    assert min(longitudes) == -180 and max(longitudes) == 180
    assert found.bbox[0] > 170 and found.bbox[2] < -170  # west to east, as GeoJSON has it


def test_a_system_without_a_number_is_written_out(tmp_path):
    crs = CRS.from_proj4("+proj=laea +lat_0=40 +lon_0=-80 +ellps=GRS80 +units=m")
    grid = Grid(crs, Affine(1, 0, 0, 0, -1, 0), 7, 11)
    projection = ProjectionExtension.ext(written(tmp_path / "a.json", grid))
    assert projection.code is None and CRS.from_wkt(projection.wkt2) == crs


def test_the_tags_of_an_image_say_when_it_was_taken(tmp_path):
    import rasterio

    grid = Grid(CRS.from_epsg(32617), Affine(1, 0, 5e5, 0, -1, 4e6), 7, 11)
    for text, wanted in (
        ("2021:06:01 12:30:00", datetime(2021, 6, 1, 12, 30, tzinfo=UTC)),
        ("last summer", None),
    ):
        path = tmp_path / "a.tif"
        write_raster(path, np.zeros((7, 11), np.uint8), grid)
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(TIFFTAG_DATETIME=text)
        assert taken(path) == (wanted and (wanted, wanted))
    assert taken(tmp_path / "none.tif") is None


def test_without_pystac_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    import sys

    path = item(tmp_path, "a")
    monkeypatch.setitem(sys.modules, "pystac", None)
    with pytest.raises(ConfigError, match=r"needs pystac, .*pip install 'mapsr\[stac\]'"):
        stac_rasters(str(path), "image")
