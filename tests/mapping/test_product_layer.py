"""Which files of a product lie at a map, and what they hold there."""

import logging

import numpy as np
import pytest
from affine import Affine

from mapsr.errors import DataError
from mapsr.geo import Grid, Window, write_raster
from mapsr.geo.projections import epsg
from mapsr.legends import load_legend
from mapsr.mapping.products import ProductLayer

UTM = epsg(26917)
# 30 x 45 m at 1 m
IMAGE = Grid(UTM, Affine(1, 0, 500_000, 0, -1, 4_000_000), 30, 45)
NLCD = load_legend("nlcd")


def product(path, codes, left=500_000, top=4_000_000, side=15):
    """A product with pixels of ``side`` m."""
    codes = np.asarray(codes, np.uint8)
    write_raster(path, codes, Grid(UTM, Affine(side, 0, left, 0, -side, top), *codes.shape))
    return path


def test_a_product_that_covers_all_is_taken_without_a_word(tmp_path, caplog):
    path = product(tmp_path / "a.tif", [[11, 41, 21], [81, 11, 41]])
    with caplog.at_level(logging.WARNING, "mapsr"):
        layer = ProductLayer.of([path, path], NLCD, IMAGE)
    assert not caplog.records
    assert layer.cell == (15, 15)
    found = layer.read(IMAGE.window)
    expected = NLCD.encode(np.kron([[11, 41, 21], [81, 11, 41]], np.ones((15, 15), np.uint8)))[0]
    assert (found == expected).all()


def test_one_that_covers_a_part_is_taken_and_the_part_told(tmp_path, caplog):
    path = product(tmp_path / "a.tif", [[11, 41], [81, 11]])
    with caplog.at_level(logging.WARNING, "mapsr"):
        layer = ProductLayer.of([path], NLCD, IMAGE)
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"{path} covers 67 % of what is mapped")
    assert (layer.read(Window(0, 30, 30, 15)) == 255).all()


def test_files_elsewhere_are_left_out_and_the_first_at_the_place_says_the_cell(tmp_path, caplog):
    far = product(tmp_path / "far.tif", [[11]], left=900_000)
    fine = product(tmp_path / "fine.tif", np.full((6, 6), 41), side=5)
    wide = product(tmp_path / "wide.tif", [[11, 11, 11], [11, 11, 11]])
    assert ProductLayer.of([far], NLCD, IMAGE) is None
    with caplog.at_level(logging.WARNING, "mapsr"):
        layer = ProductLayer.of([far, fine, wide], NLCD, IMAGE)
    assert layer.cell == (5, 5) and not caplog.records
    found = layer.read(IMAGE.window)
    codes = np.full((30, 45), 11, np.uint8)
    codes[:, :30] = 41
    assert (found == NLCD.encode(codes)[0]).all()


def test_codes_of_another_legend_are_refused(tmp_path):
    path = product(tmp_path / "a.tif", [[3, 4, 5], [6, 7, 8]])
    with pytest.raises(DataError, match=r"holds codes such as 3, 4, .*not in legend"):
        ProductLayer.of([path], NLCD, IMAGE)
