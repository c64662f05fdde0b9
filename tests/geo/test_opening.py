"""Files that can't be opened, and how many are open at once."""

import contextlib
import errno
import gc
import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from mapsr.errors import RasterError
from mapsr.geo import (
    Grid,
    ImageReader,
    MosaicReader,
    Window,
    band_count,
    image_info,
    overlap,
    read_codes,
    read_grid,
    read_image,
    read_tags,
    read_values,
    source_files,
    write_raster,
)
from mapsr.geo import opening as opening_module
from mapsr.geo.drivers import reading
from mapsr.geo.examination import count_codes, look
from mapsr.geo.opening import POOL, Pool, files_allowed

GRID = Grid(CRS.from_epsg(26917), Affine(1.0, 0.0, 500000.0, 0.0, -1.0, 4150000.0), 6, 9)
PIXEL = Window(0, 0, 1, 1)
OPENERS = {
    "band_count": band_count,
    "read_values": lambda path: read_values(path, PIXEL),
    "read_image": lambda path: read_image(path, PIXEL, None, 1.0),
    "read_codes": lambda path: read_codes(path, GRID, PIXEL),
    "read_grid": read_grid,
    "overlap": lambda path: overlap(path, GRID),
    "image_info": image_info,
    "source_files": source_files,
    "look": lambda path: look(path, None),
    "count_codes": lambda path: count_codes(path, GRID),
}


def raster(path, value=1):
    write_raster(path, np.full((6, 9), value, np.uint8), GRID)
    return path


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.tif", "there is no such file"),
        ("a.tif/b.tif", "there is no such file"),
        ("nul\0.tif", r"'.*nul\\x00\.tif': its path holds a character that no path can hold"),
        ("long" * 100, "its name is too long"),
        ("bytes\udcff.tif", r"bytes\\udcff\.tif': there is no such file"),
        (".", "it is a folder"),
    ],
)
def test_a_path_that_no_file_has_gave_a_trace(tmp_path, opener, name, message):
    raster(tmp_path / "a.tif")
    with pytest.raises(RasterError, match=rf"Can't read .*{message}") as caught:
        OPENERS[opener](tmp_path / name)
    str(caught.value).encode()  # or a terminal can't show it
    assert read_tags(tmp_path / name) == {}


def test_a_name_that_is_not_text_gave_a_trace(tmp_path):
    path = tmp_path / "bytes\udcff.tif"
    path.write_bytes(raster(tmp_path / "a.tif").read_bytes())
    with pytest.raises(RasterError, match=r"bytes\\udcff\.tif.*not text in UTF-8"):
        read_grid(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    raster(tmp_path / "a.tif").chmod(0)
    with pytest.raises(RasterError, match=r"'Permission denied' \(EACCES\)"):
        read_grid(tmp_path / "a.tif")


def test_a_raster_whose_layers_are_subdatasets_names_them(tmp_path):
    path = tmp_path / "p.gpkg"
    options = {"driver": "GPKG", "count": 1, "height": 6, "width": 9, "dtype": "uint8"}
    for name in "abcde":
        more = {"RASTER_TABLE": name, "APPEND_SUBDATASET": "NO" if name == "a" else "YES"}
        place = {"crs": GRID.crs, "transform": GRID.transform}
        with rasterio.open(path, "w", **options, **place, **more) as dataset:
            dataset.write(np.ones((1, 6, 9), np.uint8))
    for opener in (read_grid, image_info, band_count):
        with pytest.raises(RasterError) as caught:
            opener(path)
        assert "holds its layers as subdatasets (GPKG:" in str(caught.value)
        assert ":c and 2 more), expected a raster of one layer" in str(caught.value)
        assert "gdal_translate 'GPKG:" in str(caught.value)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM, errno.EIO])
def test_an_error_of_the_system_was_taken_for_damage(tmp_path, code):
    def fail():
        try:
            raise OSError(code, os.strerror(code))
        except OSError as error:
            raise rasterio.errors.RasterioIOError("not recognized") from error

    name = errno.errorcode[code]
    message = rf"the system says .*\({name}\), which says nothing"
    with pytest.raises(RasterError, match=message), reading(raster(tmp_path / "a.tif")):
        fail()


def test_too_many_open_files_were_taken_for_damage(tmp_path):
    path = raster(tmp_path / "a.tif")
    info = image_info(path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
        with pytest.raises(OSError, match="Too many"):
            while True:
                held.append(os.open(path, os.O_RDONLY))
        for read in (read_grid, lambda _: ImageReader(info, None, 1.0).read(PIXEL)):
            with pytest.raises(RasterError, match=r"Too many open files' \(EMFILE\).*ulimit -n"):
                read(path)
    finally:
        for handle in held:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert read_grid(path) == GRID


def open_files(folder):
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += str(link.readlink()).startswith(f"{folder}/")
    return count


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts files as Linux lists them")
def test_open_files_grew_with_the_number_of_images(tmp_path, monkeypatch):
    monkeypatch.setattr(opening_module, "files_allowed", lambda: 5)
    infos = [image_info(raster(tmp_path / f"{n}.tif", n)) for n in range(40)]
    readers = [ImageReader(info, None, 1000.0) for info in infos]
    mosaic = MosaicReader(infos, None, 1000.0)

    def read(number, readers=readers, mosaic=mosaic):
        value = readers[number].read(PIXEL)[0][0, 0, 0]
        mosaic.read(GRID.window)
        return round(value * 1000), open_files(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, list(range(40)) * 2))
    assert [value for value, _ in found] == list(range(40)) * 2
    # GDAL opens and closes side files in passing
    assert max(count for _, count in found) <= 5 + 8
    assert 0 < open_files(tmp_path) <= 5
    del readers, mosaic, read
    gc.collect()
    POOL.close(-1)
    assert open_files(tmp_path) == 0


def test_the_pool_lends_the_raster_that_was_last_used(tmp_path):
    paths = [raster(tmp_path / f"{n}.tif", n) for n in range(3)]
    pool = Pool(2)
    seen = {}
    for path in (paths[0], paths[1], paths[0], paths[2]):
        with pool.lend(0, path) as dataset:
            seen.setdefault(path, dataset)
            assert dataset.read(1)[0, 0] == int(path.stem)
    assert seen[paths[1]].closed  # the one that was not used for longest
    assert not seen[paths[0]].closed
    with pool.lend(0, paths[0]) as dataset, pool.lend(0, paths[0]) as other:
        assert dataset is seen[paths[0]]
        assert other is not dataset  # a raster is lent to one user at a time
    with pool.lend(1, paths[0]) as dataset:
        assert dataset is not seen[paths[0]]  # another reader may have other content in mind
    pool.close(0)
    assert all(dataset.closed for dataset in seen.values())


def test_where_all_rasters_are_lent_a_thread_waits(tmp_path):
    path, pool, got = raster(tmp_path / "a.tif"), Pool(1), threading.Event()

    def borrow():
        with pool.lend(0, path):
            got.set()

    with pool.lend(0, path):
        thread = threading.Thread(target=borrow)
        thread.start()
        assert not got.wait(0.05)
    thread.join(5)
    assert got.is_set()


def test_a_raster_that_cannot_be_opened_frees_its_place(tmp_path):
    pool = Pool(1)
    for _ in range(3):
        with pytest.raises(RasterError, match="no such file"), pool.lend(0, tmp_path / "none.tif"):
            pass
    with pool.lend(0, raster(tmp_path / "a.tif")) as dataset:
        assert dataset.count == 1


@pytest.mark.parametrize(("limit", "files"), [(96, 12), (1024, 128), (10, 2), (1 << 20, 128)])
def test_the_pool_is_a_part_of_what_the_system_allows(monkeypatch, limit, files):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert files_allowed() == files


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded")
def test_a_fork_does_not_share_open_files(tmp_path):
    path = raster(tmp_path / "a.tif", 7)
    reader = ImageReader(image_info(path), None, 7.0)
    reader.read(PIXEL)
    child = os.fork()
    if child == 0:
        os._exit(0 if not POOL._idle and reader.read(PIXEL)[0][0, 0, 0] == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_tags_that_are_not_text_gave_a_trace(tmp_path):
    path = raster(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(TIFFTAG_IMAGEDESCRIPTION="caf\N{LATIN SMALL LETTER E WITH ACUTE}s")
    content = path.read_bytes()
    assert b"caf\xc3\xa9s" in content
    path.write_bytes(content.replace(b"caf\xc3\xa9s", b"caf\xe9ss"))
    assert image_info(path).grid == GRID
    assert set(read_tags(path)) <= {"AREA_OR_POINT", "TIFFTAG_IMAGEDESCRIPTION"}


def test_words_of_gdal_that_are_not_text_gave_a_trace(tmp_path):
    """rasterio decodes what GDAL says, which may hold bytes of a file."""
    message = r"what it says of itself is not text in UTF-8 \(invalid"
    with pytest.raises(RasterError, match=message), reading(raster(tmp_path / "a.tif")):
        b"caf\xe9s".decode()
