"""Rasters on the network: a server on this machine, which counts what it sends."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from range_server import QUIET, serving
from rasterio.crs import CRS

from mapsr.data import read_table
from mapsr.errors import ConfigError, DataError, RasterError
from mapsr.geo import (
    Grid,
    ImageReader,
    Window,
    image_info,
    read_codes,
    read_grid,
    read_image,
    source_files,
    write_raster,
)
from mapsr.geo.addresses import raster_path
from mapsr.geo.network import OPTIONS, network
from mapsr.geo.patterns import files_of, is_pattern
from mapsr.geo.states import describe_state, state_of
from mapsr.geo.vsi import head
from mapsr.mapping.store import changed_files, file_states
from mapsr.remote import RemotePath
from mapsr.tracking.record import fingerprint

HEIGHT, WIDTH = 1030, 1600
GRID = Grid(CRS.from_epsg(32617), Affine(1, 0, 5e5, 0, -1, 4e6), HEIGHT, WIDTH)
WINDOW = Window(601, 902, 33, 47)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    for name in ("MAPSR_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path) as running:
        yield running


def noise(path, seed=1):
    """Three bands of noise, which no compression makes small, in tiles."""
    values = np.random.default_rng(seed).integers(1, 255, (3, HEIGHT, WIDTH), np.uint8)
    write_raster(path, values, GRID)
    return path


@pytest.fixture
def file(tmp_path):
    return noise(tmp_path / "a.tif")


def codes(path):
    return read_codes(path, GRID, WINDOW)


def test_a_window_is_that_of_the_file_and_the_rest_is_not_fetched(server, file):
    path = RemotePath(f"{server.url}/a.tif")
    assert image_info(path).grid == read_grid(file) == GRID
    assert source_files(path) == image_info(path).files == (path,)
    for got, wanted in zip(
        read_image(path, WINDOW, None, 255), read_image(file, WINDOW, None, 255), strict=True
    ):
        assert (got == wanted).all()
    assert (codes(path) == codes(file)).all()
    reader = ImageReader(image_info(path), None, 255)
    assert (reader.read(WINDOW)[0] == read_image(file, WINDOW, None, 255)[0]).all()
    # one of twelve tiles of a file that does not compress, and the header
    assert 0 < server.sent["/a.tif"] < 0.25 * file.stat().st_size


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_stores_of_objects_are_read(server, tmp_path, monkeypatch, scheme):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    folder = f"box-{scheme}"  # GDAL remembers what a bucket was found to be
    (tmp_path / folder).mkdir()
    file = noise(tmp_path / folder / "a.tif")
    path = RemotePath(f"{scheme}://{folder}/a.tif")
    assert (codes(path) == codes(file)).all()
    size, version, _ = state_of(path)
    assert size == file.stat().st_size and len(str(version)) == 32


def test_a_server_that_fails_some_requests_is_asked_again(server, file):
    server.failures = 2
    path = RemotePath(f"{server.url}/a.tif")
    assert (codes(path) == codes(file)).all()
    assert server.failures == 0
    # in the middle of the work, too
    reader = ImageReader(image_info(path), None, 255)
    reader.read(Window(0, 0, 9, 9))
    server.failures = 2
    other = Window(601, 102, 33, 47)
    assert (reader.read(other)[0] == read_image(file, other, None, 255)[0]).all()
    assert server.failures == 0


def test_failures_are_a_sentence_each(server, file, monkeypatch):
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    secret = "sig=S3CR3T"
    cases = {
        "absent.tif": "there is no such file on the server; check the address",
        "busy.tif": "the server fails or is busy, also when asked again; try later",
    }
    file.with_name("busy.tif").symlink_to(file)
    for name, wanted in cases.items():
        server.failures = 9 if name == "busy.tif" else 0
        path = RemotePath(f"{server.url}/{name}?{secret}")
        with pytest.raises(RasterError, match=wanted) as failure:
            image_info(path)
        assert "S3CR3T" not in str(failure.value)
    server.failures, server.token = 0, "sig=other"
    with pytest.raises(RasterError, match=r"does not give it to you: check .* credentials") as told:
        image_info(RemotePath(f"{server.url}/a.tif?{secret}"))
    assert "S3CR3T" not in str(told.value) and "403" in str(told.value)
    server.token = secret
    assert image_info(RemotePath(f"{server.url}/a.tif?{secret}")).grid == GRID


def test_a_server_that_is_not_there_is_a_sentence(tmp_path):
    with serving(tmp_path) as gone:
        url = gone.url
    with pytest.raises(RasterError, match=r"Can't read http.*a\.tif: the server can't be reached"):
        image_info(RemotePath(f"{url}/a.tif"))


def test_a_server_that_gives_no_parts_is_a_sentence(server, file):
    server.ranges = False
    with pytest.raises(RasterError, match=r"gives whole files alone.*fetch the file and name the"):
        codes(RemotePath(f"{server.url}/a.tif"))


def test_what_is_no_raster_or_would_lead_elsewhere_is_refused(server, tmp_path):
    (tmp_path / "text.tif").write_text("no raster" * 99)
    (tmp_path / "wms.tif").write_text("<GDAL_WMS><Service name='TMS'></Service></GDAL_WMS>")
    (tmp_path / "a.vrt").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>")
    for name, wanted in {
        "text.tif": "what it gives is no raster",
        "wms.tif": "describes a service on the network",
        "a.vrt": "is a VRT that is not a file of this machine",
    }.items():
        with pytest.raises(RasterError, match=wanted):
            image_info(RemotePath(f"{server.url}/{name}"))


def test_offline_nothing_is_asked(server, file, monkeypatch):
    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    path = RemotePath(f"{server.url}/a.tif")
    for ask in (image_info, codes, state_of, lambda one: head(one, 9)):
        with pytest.raises(RasterError, match=r"lies on the network, which is not to be used"):
            ask(path)
    with pytest.raises(DataError, match="not to be used"):
        raster_path(path.address, "image", DataError)
    assert server.asked == 0


def test_a_file_in_an_archive_is_read_offline(tmp_path, file, monkeypatch):
    import zipfile

    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(file, "in/a.tif")
    path = raster_path(f"/vsizip/{tmp_path}/a.zip/in/a.tif", "image")
    assert (codes(path) == codes(file)).all()
    state = (tmp_path / "a.zip").stat()
    assert state_of(path) == [state.st_size, state.st_mtime_ns]
    with pytest.raises(RasterError, match=r"Can't read .*none\.zip.* no such file"):
        codes(RemotePath(f"/vsizip/{tmp_path}/none.zip/a.tif"))


@pytest.mark.parametrize("versions", [True, False])
def test_a_change_is_seen_without_fetching_the_file(server, file, versions):
    server.versions = versions
    path = RemotePath(f"{server.url}/a.tif?sig=1")
    with_other_signature = RemotePath(f"{server.url}/a.tif?sig=2")
    states = file_states([path, file])
    assert list(states) == [f"{server.url}/a.tif?sig=***", str(file)]
    assert states[str(path)] == file_states([with_other_signature])[str(path)]
    assert changed_files(states, [path]) == []
    assert server.sent["/a.tif"] < 0.1 * file.stat().st_size
    described = describe_state(states[str(path)])
    assert described["bytes"] == file.stat().st_size and bool(described["version"]) == versions
    assert fingerprint(path)["path"] == str(path)
    with rasterio.open(file, "r+") as dataset:  # as long as before
        dataset.write(dataset.read(window=((0, 9), (0, 9))) + 1, window=((0, 9), (0, 9)))
    if versions:
        assert changed_files(states, [path]) == [str(path), str(file)]
    noise(file, seed=2).write_bytes(file.read_bytes() + b"0")
    assert changed_files(states, [path])[0] == str(path)
    file.unlink()
    assert changed_files(states, [path])[0] == str(path)


def test_sources_of_a_vrt_on_the_network_count(server, tmp_path, monkeypatch):
    """A VRT of this machine was the same whatever became of the files that it names."""
    noise(tmp_path / "a.tif")
    lines = "\n".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename>/vsicurl/'
        f"{server.url}/a.tif?sig=1</SourceFilename><SourceBand>{band}</SourceBand>"
        "</SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    place = f"<SRS>EPSG:32617</SRS><GeoTransform>{'5e5, 1, 0, 4e6, 0, -1'}</GeoTransform>"
    vrt = tmp_path / "a.vrt"
    size = f'rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"'
    vrt.write_text(f"<VRTDataset {size}>{place}{lines}</VRTDataset>")
    source = RemotePath(f"/vsicurl/{server.url}/a.tif?sig=1")
    assert source_files(vrt) == image_info(vrt).files == (vrt, source)
    assert (codes(vrt) == codes(tmp_path / "a.tif")).all()
    states = file_states(source_files(vrt))
    assert changed_files(states, [source]) == []
    noise(tmp_path / "a.tif", seed=2)
    assert changed_files(states, [source]) == [str(source)]


def test_two_addresses_that_are_shown_alike_are_two_inputs(server, tmp_path):
    noise(tmp_path / "get"), noise(tmp_path / "get2", seed=2)
    one, other = (RemotePath(f"{server.url}/get?file={name}") for name in "ab")
    states = file_states([one, other, one])
    assert list(states) == [str(one), f"{one} #2"]
    assert changed_files(states, [one, other]) == []


def test_settings_of_the_environment_take_precedence_and_local_files_have_none(monkeypatch):
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    with network(RemotePath("https://host/a.tif")):
        found = rasterio.env.getenv()
        assert "GDAL_HTTP_MAX_RETRY" not in found
        assert found["GDAL_DISABLE_READDIR_ON_OPEN"] == OPTIONS["GDAL_DISABLE_READDIR_ON_OPEN"]
    with rasterio.Env(), network(Path("a.tif")):
        assert "GDAL_DISABLE_READDIR_ON_OPEN" not in rasterio.env.getenv()


def test_texts_of_users_become_paths_or_addresses(tmp_path):
    assert raster_path("a.tif", "image", folder=tmp_path) == tmp_path / "a.tif"
    assert raster_path("s3://b/a.tif", "image", folder=tmp_path) == RemotePath("s3://b/a.tif")
    with pytest.raises(ConfigError, match=r"image is 'ftp2://h/a\?s=\*\*\*', expected a path of"):
        raster_path("ftp2://h/a?s=1", "image")
    signed = "https://host/[a]*.tif?sig=1"
    assert not is_pattern(signed) and files_of(signed, "truth") == [RemotePath(signed)]
    (tmp_path / "list.csv").write_text("image_fn,label_fn\nhttps://h/a.tif?s=1,b.tif\n")
    (scene,) = read_table(tmp_path / "list.csv")
    assert (scene.name, scene.image.suffix, scene.coarse) == ("a", ".tif", tmp_path / "b.tif")
    assert scene.image == RemotePath("https://h/a.tif?s=1")


def test_gdals_own_messages_hold_no_signature(server, file, caplog):
    """GDAL warns of each request that it repeats, with the whole address."""
    server.failures = 1
    with caplog.at_level(logging.DEBUG):
        codes(RemotePath(f"{server.url}/a.tif?sig=S3CR3T"))
    assert "S3CR3T" not in caplog.text


def test_an_address_given_where_a_local_file_is_needed_is_refused_without_its_signature(tmp_path):
    from mapsr.paths import local_path

    with pytest.raises(
        ConfigError, match=r"fitted is 'https://h/a\?s=\*\*\*', which is not a file"
    ):
        local_path("https://h/a?s=1", "fitted")
    assert not os.path.lexists("https:")
