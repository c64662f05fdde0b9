import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil
from affine import Affine
from rasterio._env import get_gdal_config  # there is no public way to ask
from rasterio.crs import CRS
from rasterio.warp import transform

from mapsr.errors import RasterError
from mapsr.geo import (
    Grid,
    ImageInfo,
    ImageReader,
    MosaicReader,
    Window,
    block_cache,
    image_info,
    read_image,
    read_tags,
    warping,
    write_raster,
)
from mapsr.geo.readers import common_grid

UTM17, UTM18 = CRS.from_epsg(32617), CRS.from_epsg(32618)
EAST, NORTH = 780_000.0, 4_150_000.0
"""Near the border of the zones 17 and 18."""


def grid(height, width, *, x=EAST, y=NORTH, pixel=1.0, crs=UTM17):
    return Grid(crs, Affine(pixel, 0, x, 0, -pixel, y), height, width)


def noise(height, width, bands=3, seed=5):
    return np.random.default_rng(seed).integers(1, 256, (bands, height, width)).astype(np.uint8)


def write(path, values, where, nodata=0):
    write_raster(path, values, where, nodata=nodata)
    return image_info(path)


def part(path, values, window, whole):
    """Write a window of an array as a file of its own."""
    return write(path, values[:, *window.slices], whole.crop(window))


def windows(area, height, width):
    """An area cut into windows."""
    for row in range(0, area.height, height):
        for col in range(0, area.width, width):
            yield Window(row, col, height, width).intersect(area)


def in_zone_18(x, y):
    found = transform(UTM17, UTM18, [x], [y])
    return found[0][0], found[1][0]


def test_what_a_file_says_of_itself(tmp_path):
    info = write(tmp_path / "a.tif", noise(6, 9, 4), grid(6, 9))
    assert (info.bands, info.dtype, info.block) == (4, "uint8", (6, 9))
    assert info.grid == grid(6, 9)
    assert info.files == (tmp_path / "a.tif",)


def test_a_reader_reads_what_read_image_reads(tmp_path):
    info = write(tmp_path / "a.tif", noise(30, 41), grid(30, 41))
    reader = ImageReader(info, 2, 200.0)
    for window in windows(info.grid.window, 11, 13):
        assert reader.touches(window)
        for one, other in zip(
            reader.read(window), read_image(info.path, window, 2, 200.0), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mosaic", [False, True])
def test_many_threads_read_at_once(tmp_path, mosaic):
    values = noise(200, 300)
    info = write(tmp_path / "a.tif", values, grid(200, 300))
    reader = MosaicReader([info], None, 255.0) if mosaic else ImageReader(info, None, 255.0)
    places = list(windows(info.grid.window, 17, 23)) * 2
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(reader.read, places))
    for window, (image, valid) in zip(places, found, strict=True):
        np.testing.assert_array_equal(image, (values / np.float32(255))[:, *window.slices])
        assert valid.all()


@pytest.mark.parametrize("mosaic", [False, True])
def test_a_reader_may_be_sent_to_another_process(tmp_path, mosaic):
    info = write(tmp_path / "a.tif", noise(12, 19), grid(12, 19))
    reader = MosaicReader([info], 2, 255.0) if mosaic else ImageReader(info, 2, 255.0)
    window = Window(2, 3, 7, 11)
    before = reader.read(window)  # a file is open now
    sent = pickle.loads(pickle.dumps(reader))
    assert sent.grid == reader.grid
    for one, other in zip(sent.read(window), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_reader_names_a_truncated_file(tmp_path):
    info = write(tmp_path / "a.tif", noise(600, 600), grid(600, 600))
    info.path.write_bytes(info.path.read_bytes()[:200_000])
    with pytest.raises(RasterError, match=r"Can't read .*a\.tif: .* make the file again"):
        for window in windows(info.grid.window, 200, 200):
            ImageReader(info, None, 255.0).read(window)


def test_a_reader_names_a_file_that_went_away(tmp_path):
    info = write(tmp_path / "a.tif", noise(6, 9), grid(6, 9))
    info.path.unlink()
    for reader in (ImageReader(info, None, 255.0), MosaicReader([info], None, 255.0)):
        with pytest.raises(RasterError, match=r"a\.tif: there is no such file"):
            reader.read(Window(0, 0, 2, 3))


def test_a_mosaic_of_many_files_keeps_few_open(tmp_path):
    values, whole = noise(4, 60), grid(4, 60)
    infos = [part(tmp_path / f"{n}.tif", values, Window(0, 2 * n, 4, 2), whole) for n in range(30)]
    reader = MosaicReader(infos, None, 255.0)
    for window in (Window(0, 0, 4, 60), Window(1, 3, 2, 50)):
        image, valid = reader.read(window)
        np.testing.assert_array_equal(image, (values / np.float32(255))[:, *window.slices])
        assert valid.all()


def test_aligned_tiles_are_the_whole_they_were_cut_from(tmp_path):
    values, whole = noise(40, 70), grid(40, 70)
    infos = [
        part(tmp_path / "east.tif", values, Window(0, 31, 40, 39), whole),
        part(tmp_path / "west.tif", values, Window(0, 0, 40, 31), whole),
    ]
    reader = MosaicReader(infos, None, 255.0)
    assert reader.grid == whole
    for window in [whole.window, *windows(whole.window, 17, 19)]:
        image, valid = reader.read(window)
        np.testing.assert_array_equal(image, (values / np.float32(255))[:, *window.slices])
        assert valid.all()


def test_where_tiles_overlap_the_first_valid_one_counts(tmp_path):
    first, second = noise(10, 12, seed=1), noise(10, 12, seed=2)
    first[:, 4, 7:] = 0  # nodata
    infos = [
        write(tmp_path / "a.tif", first, grid(10, 12)),
        write(tmp_path / "b.tif", second, grid(10, 12, x=EAST + 5)),
    ]
    image, valid = MosaicReader(infos, None, 1000.0).read(Window(0, 0, 10, 17))
    expected = np.concatenate([first, second[:, :, 7:]], axis=2)
    expected[:, 4, 7:12] = second[:, 4, 2:7]
    np.testing.assert_array_equal(image, expected / np.float32(1000))
    assert valid.all()


def test_a_gap_between_tiles_is_invalid(tmp_path):
    infos = [
        write(tmp_path / "a.tif", noise(6, 10), grid(6, 10)),
        write(tmp_path / "b.tif", noise(6, 10), grid(6, 10, x=EAST + 25, y=NORTH - 8)),
    ]
    reader = MosaicReader(infos, None, 255.0)
    assert (reader.grid.height, reader.grid.width) == (14, 35)
    _, valid = reader.read(reader.grid.window)
    expected = np.zeros((14, 35), bool)
    expected[:6, :10] = expected[8:, 25:] = True
    np.testing.assert_array_equal(valid, expected)
    assert not reader.touches(Window(0, 10, 14, 15))
    assert not reader.touches(Window(6, 0, 2, 35))
    assert reader.touches(Window(5, 9, 1, 1))


def ramp(where, slope=0.5):
    """A plane through projected coordinates of zone 17, at the centres of a grid's pixels."""
    columns, rows = np.meshgrid(np.arange(where.width) + 0.5, np.arange(where.height) + 0.5)
    x = where.transform.c + where.transform.a * columns
    y = where.transform.f + where.transform.e * rows
    if where.crs != UTM17:
        found = transform(where.crs, UTM17, x.ravel(), y.ravel())
        x, y = (np.reshape(one, columns.shape) for one in found)
    plane = 100 + slope * (x - EAST) - 0.3 * (y - NORTH)
    return np.stack([plane, 300 - plane]).astype(np.float32)


def zones(tmp_path, pixel=1.0):
    """A tile of zone 17, and one of zone 18 beside it that overlaps it."""
    x, y = in_zone_18(EAST + 80, NORTH)
    east = grid(
        int(70 / pixel),
        int(90 / pixel),
        x=round(x) - 12.3,
        y=round(y) + 4.1,
        pixel=pixel,
        crs=UTM18,
    )
    west = grid(60, 80)
    write_raster(tmp_path / "west.tif", ramp(west), west, nodata=-1)
    write_raster(tmp_path / "east.tif", ramp(east), east, nodata=-1)
    return [image_info(tmp_path / "west.tif"), image_info(tmp_path / "east.tif")]


@pytest.mark.parametrize("pixel", [1.0, 0.4, 2.5])
def test_tiles_of_two_zones_meet(tmp_path, pixel):
    reader = MosaicReader(zones(tmp_path, pixel), None, 300.0)
    assert reader.grid.crs == UTM17 and reader.grid.pixel_size == (1, 1)
    image, valid = reader.read(reader.grid.window)
    assert 0.7 < valid.mean() < 1
    away = np.abs(image - ramp(reader.grid) / 300)[:, valid]
    # GDAL stretches the outermost half pixel of a tile outwards
    assert np.quantile(away, 0.98) < 0.001
    assert away.max() < 0.005 * max(1.0, pixel)


@pytest.mark.parametrize("pixel", [1.0, 0.4, 2.5])
@pytest.mark.parametrize("cut", [(7, 11), (64, 500), (500, 33)])
def test_a_warped_pixel_does_not_depend_on_its_window(tmp_path, pixel, cut):
    infos = zones(tmp_path, pixel)
    east = infos[1].grid
    write(tmp_path / "east.tif", noise(east.height, east.width, 2), east)
    infos = [infos[0], image_info(tmp_path / "east.tif")]
    reader = MosaicReader(infos, None, 255.0)
    whole, everywhere = reader.read(reader.grid.window)
    for window in windows(reader.grid.window, *cut):
        image, valid = reader.read(window)
        np.testing.assert_array_equal(image, whole[:, *window.slices])
        np.testing.assert_array_equal(valid, everywhere[window.slices])


def test_threads_that_warp_at_once_raise_no_warning(tmp_path):
    # rasterio silences one by filters that threads share: now and then it came through
    reader = MosaicReader(zones(tmp_path), None, 300.0)
    places = [one for one in windows(reader.grid.window, 16, 16) if reader.touches(one)] * 3
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(reader.read, places))) == len(places)


def test_a_warped_image_is_no_blurrier_in_small_windows(tmp_path):
    """GDAL takes the scale from the sizes of the arrays, unless it is told."""
    x, y = in_zone_18(EAST + 80, NORTH)
    board = ((np.indices((70, 90)).sum(0) // 4 % 2) * 254 + 1).astype(np.uint8)[None]
    infos = [
        write(tmp_path / "west.tif", noise(60, 80, 1), grid(60, 80)),
        write(tmp_path / "east.tif", board, grid(70, 90, x=round(x), y=round(y), crs=UTM18)),
    ]
    reader = MosaicReader(infos, None, 255.0)
    image, valid = reader.read(Window(20, 100, 9, 9))
    assert valid.all() and image.max() - image.min() > 0.9


def test_a_tile_apart_by_part_of_a_pixel_is_warped(tmp_path):
    west, east = grid(20, 30), grid(20, 30, x=EAST + 25.5)
    infos = []
    for name, where in (("west", west), ("east", east)):
        write_raster(tmp_path / f"{name}.tif", ramp(where), where, nodata=-1)
        infos.append(image_info(tmp_path / f"{name}.tif"))
    reader = MosaicReader(infos, None, 300.0)
    image, valid = reader.read(reader.grid.window)
    inside = image[:, :, 31:54]
    np.testing.assert_allclose(inside, ramp(reader.grid)[:, :, 31:54] / 300, rtol=1e-4)
    assert valid[:, :55].all()


def test_the_grid_is_of_the_zone_that_most_tiles_have(tmp_path):
    x, y = in_zone_18(EAST, NORTH)
    infos = [
        write(tmp_path / "a.tif", noise(9, 9), grid(9, 9)),
        write(tmp_path / "b.tif", noise(9, 9), grid(9, 9, x=round(x), y=round(y), crs=UTM18)),
        write(tmp_path / "c.tif", noise(9, 9), grid(9, 9, x=round(x) + 9, y=round(y), crs=UTM18)),
    ]
    reader = MosaicReader(infos, None, 255.0)
    assert reader.grid.crs == UTM18
    columns = (reader.grid.transform.c - round(x)) / reader.grid.transform.a
    assert columns == round(columns)  # pixels of the first tile in that zone


def test_other_numbers_of_bands_are_refused_unless_they_are_chosen(tmp_path):
    infos = [
        write(tmp_path / "a.tif", noise(6, 9, 4), grid(6, 9)),
        write(tmp_path / "b.tif", noise(6, 9, 3), grid(6, 9, x=EAST + 9)),
    ]
    with pytest.raises(RasterError, match=r"b\.tif has 3 band\(s\), .*a\.tif has 4: a mosaic"):
        MosaicReader(infos, None, 255.0)
    assert MosaicReader(infos, 3, 255.0).read(Window(0, 0, 6, 18))[1].all()


def test_a_vrt_is_an_image(tmp_path):
    values, whole = noise(20, 30), grid(20, 30)
    info = write(tmp_path / "a.tif", values, whole)
    path = tmp_path / "a.vrt"
    rasterio.shutil.copy(info.path, path, driver="VRT")
    virtual = image_info(path)
    assert {file.name for file in virtual.files} == {"a.vrt", "a.tif"}
    np.testing.assert_array_equal(
        ImageReader(virtual, None, 255.0).read(Window(3, 4, 9, 11))[0],
        ImageReader(info, None, 255.0).read(Window(3, 4, 9, 11))[0],
    )
    info.path.unlink()
    with pytest.raises(RasterError, match=r"a\.vrt"):
        ImageReader(image_info(path), None, 255.0).read(Window(3, 4, 9, 11))


def test_tags_of_what_is_no_raster(tmp_path: Path):
    (tmp_path / "a.tif").write_bytes(b"precious")
    assert read_tags(tmp_path / "a.tif") == {}
    assert read_tags(tmp_path / "none.tif") == {}


def test_the_block_cache_is_limited_for_a_while():
    before = get_gdal_config("GDAL_CACHEMAX")
    with block_cache(64), ThreadPoolExecutor(1) as pool:
        assert get_gdal_config("GDAL_CACHEMAX") == 64 << 20
        assert pool.submit(get_gdal_config, "GDAL_CACHEMAX").result() == 64 << 20
    assert get_gdal_config("GDAL_CACHEMAX") == before


def infos_at(places, size=1000, crs=None):
    """Infos of tiles at pixels of a plane, without files: only their grids are asked for."""
    return [
        ImageInfo(
            Path(f"{number}.tif"),
            grid(size, size, x=EAST + x, y=NORTH - y, crs=crs or UTM17),
            3,
            "uint8",
            (size, size),
            (Path(f"{number}.tif"),),
        )
        for number, (x, y) in enumerate(places)
    ]


def test_one_tile_with_a_wrong_place_planned_850_million_units():
    tiles = [(1000 * x, 1000 * y) for x in range(5) for y in range(4)]
    assert MosaicReader(infos_at(tiles), None, 1.0).grid.window.area == 20_000_000
    wrong = [*tiles[:7], (20_000_000, 9_000_000), *tiles[7:]]
    message = (
        r"7\.tif lies 1999\d{4} pixels from the middle of the 20 other\(s\), .*EPSG:32617.*-a_srs"
    )
    with pytest.raises(RasterError, match=message):
        MosaicReader(infos_at(wrong), None, 1.0)


def test_a_sparse_mosaic_of_a_state_is_not_refused():
    """Ten tiles of New York, 500 km apart: 0.2 % of the mosaic."""
    tiles = [(55_000 * n, (n * 37 % 10) * 44_000) for n in range(10)]
    assert MosaicReader(infos_at(tiles, 6700), None, 1.0).grid.width == 501_700


def test_a_mosaic_larger_than_all_images_is_refused_though_it_is_full():
    with pytest.raises(RasterError, match=r"[01]\.tif lies .* the mosaic would be"):
        common_grid(infos_at([(0, 0), (40_000_000, 0)], 40_000_000))


@pytest.mark.parametrize("pixel", [1.0, 0.4])
def test_blocks_are_warped_with_what_lies_around_them(tmp_path, monkeypatch, pixel):
    infos = zones(tmp_path, pixel)
    east = infos[1].grid
    write(tmp_path / "east.tif", noise(east.height, east.width, 2), east)
    reader = MosaicReader([infos[0], image_info(tmp_path / "east.tif")], None, 255.0)
    place = Window(8, 96, 40, 40)
    image, valid = reader.read(place)
    monkeypatch.setattr(warping, "_BLOCK_PX", 8)
    small, still = reader.read(place)
    np.testing.assert_array_equal(still, valid)
    # GDAL rounds coordinates by the block's origin; without the surroundings up to 1 differs
    assert np.abs(small - image)[:, valid].max() < 0.02
