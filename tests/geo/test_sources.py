"""Which files a raster depends on, and which sources are never opened."""

import zipfile

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS

from mapsr.errors import RasterError
from mapsr.geo import Grid, image_info, overlap, read_codes, source_files, write_raster

GRID = Grid(CRS.from_epsg(26917), Affine(1.0, 0.0, 500000.0, 0.0, -1.0, 4150000.0), 6, 9)
WMS = (
    "<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:9/</ServerUrl></Service></GDAL_WMS>"
)


def raster(path, value=1):
    write_raster(path, np.full((6, 9), value, np.uint8), GRID)
    return path


def vrt(path, source, relative=1, tag="SourceFilename"):
    """A VRT of one source, by hand: no source needs to be there."""
    place = ", ".join(map(str, GRID.transform.to_gdal()))
    path.write_text(
        f'<VRTDataset rasterXSize="9" rasterYSize="6"><SRS>EPSG:26917</SRS>'
        f'<GeoTransform>{place}</GeoTransform><VRTRasterBand dataType="Byte" band="1">'
        f'<SimpleSource><{tag} relativeToVRT="{relative}">{source}</{tag}>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def names(path):
    return sorted(file.name for file in source_files(path))


def test_the_leaf_of_a_nested_vrt_was_not_listed(tmp_path):
    (tmp_path / "in").mkdir()
    raster(tmp_path / "in" / "leaf.tif")
    vrt(tmp_path / "in" / "inner.vrt", "leaf.tif")
    outer = vrt(tmp_path / "outer.vrt", "in/inner.vrt")
    assert names(outer) == ["inner.vrt", "leaf.tif", "outer.vrt"]
    assert source_files(outer)[0] == outer
    assert image_info(outer).files == source_files(outer)
    whole = vrt(tmp_path / "whole.vrt", tmp_path / "in" / "leaf.tif", relative=0)
    assert names(whole) == ["leaf.tif", "whole.vrt"]


@pytest.mark.parametrize("side", ["leaf.tif.aux.xml", "leaf.tfw", "leaf.TFW", "leaf.tif.ovr"])
@pytest.mark.parametrize("through", ["itself", "a VRT"])
def test_a_side_file_that_moves_the_image_was_not_listed(tmp_path, side, through):
    path = raster(tmp_path / "leaf.tif")
    if through == "a VRT":
        path = vrt(tmp_path / "a.vrt", "leaf.tif")
    before = names(path)
    moved = "<PAMDataset><GeoTransform>9, 1, 0, 9, 0, -1</GeoTransform></PAMDataset>"
    (tmp_path / side).write_text(moved if side.endswith(".xml") else "1 0 0 -1 9 9")
    assert set(names(path)) - set(before) == {side}


def test_statistics_that_a_viewer_writes_change_nothing(tmp_path):
    path = raster(tmp_path / "a.tif")
    statistics = '<Metadata><MDI key="STATISTICS_MEAN">1</MDI></Metadata>'
    text = f'<PAMDataset><PAMRasterBand band="1">{statistics}</PAMRasterBand></PAMDataset>'
    (tmp_path / "a.tif.aux.xml").write_text(text)
    assert names(path) == ["a.tif"]
    place = "<SRS>EPSG:4326</SRS>"
    (tmp_path / "a.tif.aux.xml").write_text(text.replace("</PAMDataset>", f"{place}</PAMDataset>"))
    assert names(path) == ["a.tif", "a.tif.aux.xml"]


def test_the_source_of_a_warped_vrt_is_listed(tmp_path):
    path = raster(tmp_path / "a.tif")
    with (
        rasterio.open(path) as dataset,
        rasterio.vrt.WarpedVRT(dataset, crs="EPSG:32617") as warped,
    ):
        rasterio.shutil.copy(warped, tmp_path / "w.vrt", driver="VRT")
    assert "<SourceDataset" in (tmp_path / "w.vrt").read_text()
    assert names(tmp_path / "w.vrt") == ["a.tif", "w.vrt"]


def test_a_vrt_that_refers_to_itself_is_refused(tmp_path):
    vrt(tmp_path / "a.vrt", "b.vrt")
    vrt(tmp_path / "b.vrt", "a.vrt")
    with pytest.raises(RasterError, match=r"a\.vrt refers to itself, through .*b\.vrt"):
        source_files(tmp_path / "a.vrt")
    with pytest.raises(RasterError, match="refers to itself"):
        overlap(tmp_path / "a.vrt", GRID)


def test_vrts_are_followed_to_a_bound(tmp_path):
    raster(tmp_path / "0.vrt")
    for number in range(1, 20):
        vrt(tmp_path / f"{number}.vrt", f"{number - 1}.vrt")
    assert len(source_files(tmp_path / "16.vrt")) == 17
    with pytest.raises(RasterError, match=r"is a VRT 16 VRTs deep in .*19\.vrt"):
        source_files(tmp_path / "19.vrt")


@pytest.mark.parametrize("content", [None, "no raster"])
def test_a_leaf_that_cannot_be_read_is_named(tmp_path, content):
    vrt(tmp_path / "inner.vrt", "leaf.tif")
    path = vrt(tmp_path / "outer.vrt", "inner.vrt")
    if content:
        (tmp_path / "leaf.tif").write_text(content)
    with pytest.raises(RasterError, match=r"outer\.vrt|inner\.vrt.*leaf\.tif"):
        source_files(path)


def test_a_vrt_that_is_not_xml_is_refused(tmp_path):
    (tmp_path / "a.vrt").write_text("<VRTDataset><SRS></VRTDataset>")
    with pytest.raises(RasterError, match=r"a\.vrt is not a well-formed VRT \(mismatched tag"):
        source_files(tmp_path / "a.vrt")


def test_a_description_of_a_service_is_not_opened(tmp_path, monkeypatch):
    """GDAL asked the network though MAPSR_OFFLINE was 1."""
    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    (tmp_path / "a.tif").write_text(WMS)
    path = vrt(tmp_path / "a.vrt", "a.tif")
    for read in (image_info, source_files, lambda path: read_codes(path, GRID, GRID.window)):
        with pytest.raises(RasterError, match=r"a\.tif describes a service"):
            read(tmp_path / "a.tif")
        with pytest.raises(RasterError, match=r"a\.vrt has a source .*a\.tif describes a"):
            read(path)


@pytest.mark.parametrize(
    "source",
    [
        "/vsicurl/http://127.0.0.1:9/a.tif",
        "http://127.0.0.1:9/a.tif",
        "WMS:http://127.0.0.1:9/?LAYERS=a",
        WMS.replace("<", "&lt;"),
    ],
)
@pytest.mark.parametrize("tag", ["SourceFilename", "SOURCEDATASET"])
def test_a_source_on_the_network_is_refused_offline(tmp_path, monkeypatch, source, tag):
    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    path = vrt(tmp_path / "a.vrt", source, relative=0, tag=tag)
    for read in (image_info, lambda path: read_codes(path, GRID, GRID.window)):
        with pytest.raises(RasterError, match=r"a\.vrt reads '.*the network is not to be used"):
            read(path)


def test_sources_in_archives_and_containers_are_files(tmp_path):
    path = raster(tmp_path / "a.tif")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "in/a.tif")
        archive.writestr("in/a.vrt", vrt(tmp_path / "a.vrt", "a.tif").read_text())
        archive.writestr("in/wms.tif", WMS)
    for source in (f"/vsizip/{tmp_path}/a.zip/in/a.tif", f"/vsizip/{{{tmp_path}/a.zip}}/in/a.tif"):
        made = vrt(tmp_path / "z.vrt", source, relative=0)
        assert names(made) == ["a.zip", "z.vrt"]
        assert (read_codes(made, GRID, GRID.window) == 1).all()
    assert names(vrt(tmp_path / "d.vrt", f"GTIFF_DIR:1:{path}", relative=0)) == ["a.tif", "d.vrt"]
    assert names(vrt(tmp_path / "e.vrt", "GTIFF_DIR:1:a.tif")) == ["a.tif", "e.vrt"]
    for inner in ("a.zip/in/a.vrt", "a.zip/in/wms.tif", "none.zip/a.tif"):
        file = inner.partition("/")[0]
        made = vrt(tmp_path / f"{file}.vrt", f"/vsizip/{tmp_path}/{inner}", relative=0)
        with pytest.raises(RasterError, match=rf"{file}\.vrt has a source .*Can't read .*{file}"):
            source_files(made)


@pytest.mark.parametrize("side", ["a.tif.ovr", "a.tif.msk"])
def test_a_service_described_beside_a_raster_is_not_opened(tmp_path, side):
    path = raster(tmp_path / "a.tif")
    (tmp_path / side).write_text(WMS)
    for read in (image_info, lambda path: read_codes(path, GRID, GRID.window)):
        with pytest.raises(RasterError, match=rf"a\.tif has a source .*{side} describes a service"):
            read(path)


def test_overviews_that_a_side_file_names_are_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    path, aux = raster(tmp_path / "a.tif"), tmp_path / "a.tif.aux.xml"
    text = '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{}</MDI></Metadata>'
    aux.write_text(text.format(":::BASE:::b.tif") + "</PAMDataset>")
    raster(tmp_path / "b.tif")
    assert names(path) == ["a.tif", "a.tif.aux.xml", "b.tif"]
    aux.write_text(text.format("/vsicurl/http://127.0.0.1:9/b.tif") + "</PAMDataset>")
    with pytest.raises(RasterError, match=r"a\.tif reads '/vsicurl.*the network is not to be"):
        read_codes(path, GRID, GRID.window)


def test_no_other_driver_than_those_named_is_used(tmp_path):
    """An MRF may name a source on the network; its own driver is not asked."""
    (tmp_path / "a.tif").write_text("<MRF_META><Raster><Size x='9' y='6'/></Raster></MRF_META>")
    with pytest.raises(RasterError, match=r"a\.tif: .*not recognized.*format such as GeoTIFF"):
        image_info(tmp_path / "a.tif")
