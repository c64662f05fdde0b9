import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC

from mapsr.errors import RasterError
from mapsr.geo import (
    Grid,
    Window,
    band_count,
    image_info,
    overlap,
    read_codes,
    read_grid,
    write_raster,
)

UTM = CRS.from_epsg(26917)
GRID = Grid(UTM, Affine(2.0, 0.0, 500000.0, 0.0, -1.0, 4150000.0), 30, 40)


def write(path: Path, grid: Grid) -> Path:
    write_raster(path, np.ones((grid.height, grid.width), np.uint8), grid)
    return path


def test_by_hand():
    assert GRID.window == Window(0, 0, 30, 40)
    assert GRID.pixel_size == (1.0, 2.0)
    assert GRID.bounds == (500000.0, 4149970.0, 500080.0, 4150000.0)


def test_crop_may_reach_over_the_edge():
    crop = GRID.crop(Window(-5, 10, 6, 7))
    assert crop == Grid(UTM, Affine(2.0, 0.0, 500020.0, 0.0, -1.0, 4150005.0), 6, 7)


def test_crop_of_crop_is_one_crop():
    outer = Window(3, 4, 20, 21)
    inner = Window(5, 6, 7, 8)
    assert GRID.crop(outer).crop(inner.relative_to(outer)) == GRID.crop(inner)


def test_read_grid_inverts_writing(tmp_path: Path):
    path = write(tmp_path / "a.tif", GRID)
    assert read_grid(path) == GRID
    assert band_count(path) == 1


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(RasterError, match=r"Can't read .*absent\.tif: there is no such file"):
        read_grid(tmp_path / "absent.tif")


def test_other_file_is_named(tmp_path: Path):
    path = tmp_path / "a.tif"
    path.write_text("no raster")
    with pytest.raises(RasterError, match=r"Can't read .*a\.tif.*not recognized.*make the file"):
        read_grid(path)


@pytest.mark.parametrize(
    "transform",
    [Affine(1.0, 0.1, 5.0, 0.0, -1.0, 9.0), Affine(1.0, 0.0, 5.0, 0.1, -1.0, 9.0)],
)
def test_rotated_pixels_are_refused(tmp_path: Path, transform: Affine):
    path = write(tmp_path / "a.tif", Grid(UTM, transform, 4, 5))
    with pytest.raises(RasterError, match=r"a\.tif has rotated or sheared pixels .* gdalwarp"):
        read_grid(path)


def test_raster_without_crs_is_refused(tmp_path: Path):
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": 4, "width": 5, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", transform=GRID.transform, **profile) as dataset:
        dataset.write(np.ones((1, 4, 5), np.uint8))
    with pytest.raises(RasterError, match=r"a\.tif has no coordinate reference system.*gdal_edit"):
        read_grid(path)


def test_overlap_by_hand(tmp_path: Path):
    # shifted by a quarter of the width and half of the height
    path = write(tmp_path / "a.tif", GRID.crop(Window(15, 10, 30, 40)))
    assert overlap(path, GRID) == pytest.approx(0.5 * 0.75)


def test_overlap_of_neighbours_is_nothing(tmp_path: Path):
    path = write(tmp_path / "a.tif", GRID.crop(Window(0, 40, 30, 40)))
    assert overlap(path, GRID) == 0.0


def test_overlap_with_a_globe_is_whole(tmp_path: Path):
    globe = Grid(CRS.from_epsg(4326), Affine(2.0, 0.0, -180.0, 0.0, -2.0, 90.0), 90, 180)
    assert overlap(write(tmp_path / "a.tif", globe), GRID) == 1.0


def test_overlap_with_the_antipodes_is_nothing(tmp_path: Path):
    there = Grid(CRS.from_epsg(4326), Affine(0.1, 0.0, 99.0, 0.0, -0.1, -37.0), 9, 10)
    assert overlap(write(tmp_path / "a.tif", there), GRID) == 0.0


def test_overlap_without_a_common_projection(tmp_path: Path):
    beyond = Grid(UTM, Affine(1.0, 0.0, 5e9, 0.0, -1.0, 9e9), 4, 5)
    globe = Grid(CRS.from_epsg(4326), Affine(2.0, 0.0, -180.0, 0.0, -2.0, 90.0), 90, 180)
    path = write(tmp_path / "a.tif", globe)
    with pytest.raises(RasterError, match=r"EPSG:4326, which is not defined all over the image's"):
        overlap(path, beyond)


def test_overlap_with_a_local_system_is_refused(tmp_path: Path):
    local = CRS.from_wkt('LOCAL_CS["building site",UNIT["metre",1]]')
    path = write(tmp_path / "a.tif", Grid(local, GRID.transform, 4, 5))
    with pytest.raises(
        RasterError, match=r"Can't read .*a\.tif: Cannot find coordinate operations"
    ):
        overlap(path, GRID)


def bare(path: Path, **place: object) -> Path:
    """A raster of 4 x 5 pixels with only what is given."""
    profile = {"driver": "GTiff", "height": 4, "width": 5, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, **place) as dataset:
        dataset.write(np.ones((1, 4, 5), np.uint8))
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_without_a_transform_was_mapped_at_0_0(tmp_path: Path):
    for path in (bare(tmp_path / "a.tif", crs=UTM), bare(tmp_path / "b.tif")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # our sentence says it all
            with pytest.raises(RasterError, match=r"has no transform .*gdal_edit\.py -a_ullr"):
                read_grid(path)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_ground_control_points_are_not_a_place(tmp_path: Path):
    corners = [(0, 0), (0, 5), (4, 0), (4, 5)]
    points = [GroundControlPoint(r, c, *(GRID.transform @ (c, r))) for r, c in corners]
    with pytest.raises(RasterError, match=r"only 4 ground control points.*gdalwarp -tps a\.tif"):
        read_grid(bare(tmp_path / "a.tif", gcps=points, crs=UTM))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_rational_polynomials_are_not_a_place(tmp_path: Path):
    line = [1.0] + [0.0] * 19
    numbers = dict.fromkeys(("height", "lat", "line", "long", "samp"), 1.0)
    rpcs = RPC(
        **{f"{key}_off": value for key, value in numbers.items()},
        **{f"{key}_scale": value for key, value in numbers.items()},
        line_num_coeff=line,
        line_den_coeff=line,
        samp_num_coeff=line,
        samp_den_coeff=line,
    )
    with pytest.raises(RasterError, match=r"only rational polynomials.*gdalwarp -rpc a\.tif"):
        read_grid(bare(tmp_path / "a.tif", rpcs=rpcs))


@pytest.mark.parametrize("size", [1e-300, 1e-9])
def test_pixels_that_all_lie_at_one_place_were_divided_by(tmp_path: Path, size: float):
    place = Affine(size, 0.0, 500000.0, 0.0, -1.0, 4150000.0)
    with pytest.raises(RasterError, match="numbers can't tell apart there"):
        read_grid(write(tmp_path / "a.tif", Grid(UTM, place, 4, 5)))


def test_metres_called_degrees_were_mapped_before_they_were_refused(tmp_path: Path):
    degrees = CRS.from_epsg(4326)
    with pytest.raises(RasterError, match=r"reaches to latitudes of .* expected -90 to 90"):
        read_grid(write(tmp_path / "a.tif", Grid(degrees, GRID.transform, 30, 40)))
    globe = Grid(degrees, Affine(1.0, 0.0, -180.5, 0.0, -1.0, 90.5), 181, 361)
    assert read_grid(write(tmp_path / "b.tif", globe)) == globe


def test_a_rotation_of_nothing_was_refused(tmp_path: Path):
    tiny = Affine(2.0, 1e-16, 500000.0, -1e-16, -1.0, 4150000.0)
    assert read_grid(write(tmp_path / "a.tif", Grid(UTM, tiny, 30, 40))) == GRID
    # over 30 rows, 2 m wide: a thousandth of a pixel is 6.7e-5 a row
    for b, straight in ((6e-5, True), (8e-5, False)):
        path = write(tmp_path / f"{b}.tif", Grid(UTM, Affine(2, b, 5e5, 0, -1, 4e6), 30, 40))
        if straight:
            assert read_grid(path).transform.b == 0
        else:
            with pytest.raises(RasterError, match="rotated or sheared"):
                read_grid(path)


ACROSS = Grid(CRS.from_epsg(3832), Affine(30, 0, 3339584.7 - 3600, 0, -30, 3000), 200, 240)
"""In PDC Mercator, half of it on each side of 180 degrees."""


@pytest.mark.parametrize(
    ("west", "width", "share"),
    [(-180, 360, 1.0), (0, 360, 1.0), (170, 20, 1.0), (170, 10, 0.5), (-180, 10, 0.5), (0, 90, 0)],
)
def test_a_product_across_180_degrees_did_not_overlap(tmp_path: Path, west, width, share):
    degrees = Grid(CRS.from_epsg(4326), Affine(1, 0, west, 0, -1, 90), 180, width)
    path = write(tmp_path / "a.tif", degrees)
    assert overlap(path, ACROSS) == pytest.approx(share, abs=1e-3)
    # what is said is what is read
    read = read_codes(path, ACROSS, ACROSS.window) == 1
    assert read.mean() == pytest.approx(share, abs=0.02)


def test_an_image_of_two_thousand_million_pixels_a_side_is_refused(tmp_path: Path):
    write(tmp_path / "a.tif", GRID)
    source = "<SimpleSource><SourceFilename relativeToVRT='1'>a.tif</SourceFilename></SimpleSource>"
    (tmp_path / "a.vrt").write_text(
        "<VRTDataset rasterXSize='2147483647' rasterYSize='6'><SRS>EPSG:26917</SRS><GeoTransform>"
        "500000, 2, 0, 4150000, 0, -1</GeoTransform><VRTRasterBand dataType='Byte' band='1'>"
        f"{source}</VRTRasterBand></VRTDataset>"
    )
    for read in (image_info, read_grid):
        with pytest.raises(
            RasterError, match=r"a\.vrt has 6 x 2147483647 pixels, expected at most"
        ):
            read(tmp_path / "a.vrt")
