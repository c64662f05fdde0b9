import numpy as np
import pytest
from matplotlib.image import imread

from mapsr.errors import DataError
from mapsr.legends import LandClass, Legend
from mapsr.report.figures import NODATA_COLOR, PANEL_PX, picture, scene_figure

LEGEND = Legend(
    name="two",
    title="Two classes",
    source="this test",
    classes=(LandClass(0, "water", (10, 20, 200)), LandClass(1, "trees", (20, 120, 40))),
)
LABELS = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)


def image(height, width, bands=4):
    return np.random.default_rng(6006).random((bands, height, width), np.float32)


def colors_in(path):
    """Return the colours of areas; the shades of letters and lines have few pixels."""
    pixels = (imread(path)[..., :3] * 255).round().astype(int).reshape(-1, 3)
    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    return set(map(tuple, colors[counts > 100].tolist()))


def test_labels_are_painted_in_the_colours_of_the_legend():
    assert picture("map", LABELS, LEGEND).tolist() == [
        [[10, 20, 200], [20, 120, 40], list(NODATA_COLOR)],
        [[20, 120, 40], [20, 120, 40], [10, 20, 200]],
    ]


def test_an_image_is_stretched_alike_in_all_bands():
    ramp = np.linspace(0.2, 0.6, 6 * 7, dtype=np.float32).reshape(1, 6, 7)
    shown = picture("image", np.concatenate([ramp, ramp, ramp / 2, ramp]), LEGEND)
    assert shown.shape == (6, 7, 3)
    assert shown[-1, -1].tolist()[:2] == [255, 255]
    assert shown[..., 2].max() < 150
    assert shown.min() == 0


def test_a_constant_image_can_be_shown():
    assert picture("image", np.full((3, 4, 5), 0.5, np.float32), LEGEND).shape == (4, 5, 3)


def test_a_large_raster_is_thinned():
    shown = picture("map", np.zeros((10, 3 * PANEL_PX - 1), np.uint8), LEGEND)
    assert shown.shape == (4, PANEL_PX, 3)


def test_figure_is_a_wide_png_with_every_colour(tmp_path):
    path = tmp_path / "figures" / "scene.png"
    panels = [("image", image(40, 70)), ("map", np.zeros((40, 70), np.uint8)), ("truth", LABELS)]
    scene_figure(path, panels, LEGEND, pixel_m=1)
    height, width, _ = imread(path).shape
    assert width > 2 * height
    assert {(10, 20, 200), (20, 120, 40), NODATA_COLOR} <= colors_in(path)
    assert [file.name for file in path.parent.iterdir()] == ["scene.png"]


def test_nodata_is_in_the_legend_only_where_it_occurs(tmp_path):
    whole = np.where(LABELS == 255, 0, LABELS)
    scene_figure(tmp_path / "whole.png", [("map", whole)], LEGEND)
    scene_figure(tmp_path / "part.png", [("map", LABELS)], LEGEND)
    assert NODATA_COLOR not in colors_in(tmp_path / "whole.png")
    assert NODATA_COLOR in colors_in(tmp_path / "part.png")


def test_an_image_alone_has_no_legend(tmp_path):
    scene_figure(tmp_path / "image.png", [("image", image(30, 20, bands=3))], LEGEND)
    assert (20, 120, 40) not in colors_in(tmp_path / "image.png")


def test_the_same_figure_twice_is_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        scene_figure(tmp_path / name, [("image", image(9, 14)), ("map", LABELS)], LEGEND, pixel_m=2)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_label_outside_the_legend_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(DataError, match=r"panel 'map' holds the label 2, expected one of the 2"):
        scene_figure(tmp_path / "a.png", [("map", LABELS + np.uint8(1))], LEGEND)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 4, 5), np.float32),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((4, 5)),
        np.zeros(4, np.uint8),
    ],
)
def test_an_array_of_another_form_is_refused(array):
    with pytest.raises(DataError, match=r"panel 'odd' is .*expected an image float32"):
        picture("odd", array, LEGEND)
