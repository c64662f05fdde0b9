"""What a product is found to be, before anything is fitted on it."""

import numpy as np
import pytest
from affine import Affine
from make_scenes import image_grid
from rasterio.crs import CRS

from mapsr.doctor.coarse import coarse_findings
from mapsr.errors import LegendError
from mapsr.geo import Grid, image_info, write_raster
from mapsr.legends import LegendSettings
from mapsr.region import Image

GRID = image_grid(0)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.tif"
    write_raster(path, np.ones((3, GRID.height, GRID.width), np.uint8), GRID)
    return path


def found(image, product, **changes):
    one = Image(image, product, image_info(image), None)
    return list(coarse_findings([one], LegendSettings(**changes)))


def written(tmp_path, codes, *, move=0.0, cell=10, crs=None):
    place = GRID.transform @ Affine.translation(move, 0) @ Affine.scale(cell)
    grid = Grid(crs or GRID.crs, place, *np.shape(codes))
    path = tmp_path / "product.tif"
    write_raster(path, np.asarray(codes, np.uint8), grid, nodata=0)
    return path


def texts(findings, topic):
    return [one.text for one in findings if one.topic == topic]


def test_codes_and_what_they_stand_for_by_hand(image, tmp_path):
    codes = np.full((7, 11), 41)
    codes[:, :4], codes[:, 4:6] = 11, 24
    findings = found(image, written(tmp_path, codes))
    assert not any(one.remedy for one in findings)
    assert texts(findings, "overlap") == ["the product covers 100 % of the image"]
    listed = texts(findings, "code")
    assert listed[0].startswith("41: ") and listed[0].endswith("-> tree canopy, 45.5 %")
    assert listed[1].startswith("11: ") and listed[1].endswith("-> water, 36.4 %")
    assert listed[2].endswith("-> impervious, 18.2 %")
    [absent] = texts(findings, "classes")
    assert absent.startswith("no pixel stands for low vegetation")


def test_a_product_of_another_legend_is_told_with_the_right_one(image, tmp_path):
    codes = np.full((7, 11), 10)
    codes[:, :5] = 50
    findings = found(image, written(tmp_path, codes))
    [problem] = [one for one in findings if one.remedy]
    assert "100 % of the pixels with a code have one that nlcd has not: 10, 50" in problem.text
    assert "legend.coarse=esa_worldcover" in problem.remedy
    assert texts(findings, "classes") == []  # they would be those of a wrong legend


def test_a_few_odd_codes_are_left_out_and_said(image, tmp_path):
    codes = np.full((70, 110), 41)
    codes[0, 0], codes[:, 60:] = 77, 82
    findings = found(image, written(tmp_path, codes, cell=1))
    assert not any(one.remedy for one in findings if one.topic == "codes")
    assert any(
        "under 0.1 %" in t and "77; they are left out" in t for t in texts(findings, "codes")
    )
    assert any("it is not coarser than the image" in t for t in texts(findings, "factor"))


def test_one_class_alone_is_nothing_to_tell_apart(image, tmp_path):
    findings = found(image, written(tmp_path, np.full((7, 11), 41)))
    [problem] = [one for one in findings if one.remedy]
    assert problem.topic == "classes" and "nothing to tell apart" in problem.text


def test_a_product_that_covers_a_part_is_said(image, tmp_path):
    findings = found(image, written(tmp_path, [[41, 82, 11, 24, 41]] * 7))
    [text] = texts(findings, "overlap")
    assert text.startswith("the product covers 45.5 % of the image; methods are fitted there")


@pytest.mark.parametrize("move", [5000.0, -5000.0])
def test_a_product_elsewhere_says_where_both_are(image, tmp_path, move):
    findings = found(image, written(tmp_path, np.full((7, 11), 41), move=move))
    [problem] = [one for one in findings if one.remedy]
    assert problem.topic == "overlap" and problem.text == "the product covers 0 % of the image"
    assert "the image is at longitude -80.6" in problem.remedy and texts(findings, "codes") == []


def test_a_product_that_can_not_be_read_is_named_and_the_rest_goes_on(image, tmp_path):
    torn = tmp_path / "torn.tif"
    torn.write_bytes(b"II*\0 not a raster")
    [bad] = [one for one in found(image, torn) if one.remedy]
    assert str(torn) in bad.text
    info = image_info(image)
    good = written(tmp_path, np.where(np.indices((7, 11)).sum(0) % 2, 41, 82))
    both = [Image(image, torn, info, None), Image(image, good, info, None)]
    findings = list(coarse_findings(both, LegendSettings()))
    assert texts(findings, "code")


def test_images_without_a_product_are_counted(image, tmp_path):
    info, good = image_info(image), written(tmp_path, [[41, 82] * 5] * 7)
    some = [Image(image, good, info, None), Image(image, None, info, None)]
    first = next(coarse_findings(some, LegendSettings()))
    assert first.text == "1 of 2 images have none"


def test_a_product_in_degrees_is_found_at_its_place(image, tmp_path):
    degrees = Grid(CRS.from_epsg(4326), Affine(3e-4, 0, -80.669, 0, -3e-4, 37.492), 30, 30)
    path = tmp_path / "degrees.tif"
    write_raster(path, np.full((30, 30), 41, np.uint8), degrees, nodata=0)
    [text] = texts(found(image, path), "overlap")
    assert "100 %" in text


def test_an_unknown_legend_is_an_error(image, tmp_path):
    with pytest.raises(LegendError, match="Did you mean"):
        found(image, written(tmp_path, [[41]]), coarse="nldc")
