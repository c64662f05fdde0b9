import dataclasses
from pathlib import Path

import numpy as np
import pytest
import rasterio

from mapsr.data.scenes import Scene, Scenes
from mapsr.data.synthetic import SMALLEST, SyntheticSettings, make_scenes
from mapsr.errors import ConfigError
from mapsr.geo import overlap, read_codes, read_grid, read_image
from mapsr.legends import NODATA, load_crosswalk, load_legend
from mapsr.settings import settings_class

SMALL = SyntheticSettings(fit_scenes=1, score_scenes=1, height=160, width=192)
TARGET = load_legend("chesapeake4")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(SyntheticSettings(), tmp_path_factory.mktemp("synthetic"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """One scene of each part; not to be written to."""
    return make_scenes(SMALL, tmp_path_factory.mktemp("small"))


def classes(path: Path, scene: Scene, product: str) -> np.ndarray:
    """Labels of a product in the target legend, on the grid of the scene's image."""
    grid = read_grid(scene.image)
    legend = load_legend(product)
    indices, unknown = legend.encode(read_codes(path, grid, grid.window))
    assert not unknown
    return load_crosswalk("paraformer", legend, TARGET).apply(indices)


def confusion(scenes: tuple[Scene, ...]) -> np.ndarray:
    counts = np.zeros((4, 4), dtype=np.int64)
    for scene in scenes:
        truth = classes(scene.truth, scene, "chesapeake_1m").astype(np.int64)
        coarse = classes(scene.coarse, scene, "nlcd")
        counts += np.bincount((4 * truth + coarse).ravel(), minlength=16).reshape(4, 4)
    return counts


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def files(scenes: Scenes) -> list[Path]:
    return [p for s in scenes.fit + scenes.score for p in (s.image, s.coarse, s.truth)]


def test_each_scene_has_a_folder_with_three_files(scenes):
    assert [scene.name for scene in scenes.fit] == ["fit_0", "fit_1"]
    assert [scene.name for scene in scenes.score] == ["score_0", "score_1"]
    for scene in scenes.fit + scenes.score:
        assert scene.image.parent.name == scene.name
        assert sorted(path.name for path in scene.image.parent.iterdir()) == [
            "coarse.tif",
            "image.tif",
            "truth.tif",
        ]


def test_image_has_four_bands_of_bytes_and_shares_its_grid_with_the_truth(scenes):
    for scene in scenes.fit + scenes.score:
        image = pixels(scene.image)
        assert (image.shape, image.dtype) == ((4, 416, 448), np.uint8)
        assert read_grid(scene.truth) == read_grid(scene.image)
        assert read_grid(scene.image).pixel_size == (1, 1)


def test_no_pixel_of_the_image_is_masked(scenes):
    scene = scenes.fit[0]
    image, valid = read_image(scene.image, read_grid(scene.image).window, 4, 255.0)
    assert valid.all()
    assert 0 < image.min() < 0.2 < 0.8 < image.max() <= 1


def test_coarse_product_lies_in_another_crs_and_covers_the_image(scenes):
    for number, scene in enumerate(scenes.score):
        image, coarse = read_grid(scene.image), read_grid(scene.coarse)
        assert image.crs.to_epsg() == (26918, 26917)[number]
        assert coarse.crs.to_epsg() == 5070
        assert coarse.pixel_size == (30, 30)
        assert overlap(scene.coarse, image) == 1


def test_scenes_do_not_overlap(scenes):
    every = scenes.fit + scenes.score
    for one in every:
        for other in every:
            apart = overlap(one.image, read_grid(other.image)) == 0
            assert apart == (one is not other)


def test_all_pixels_have_one_of_four_classes_and_every_class_occurs(scenes):
    for scene in scenes.fit + scenes.score:
        for path, product in ((scene.truth, "chesapeake_1m"), (scene.coarse, "nlcd")):
            labels = classes(path, scene, product)
            assert NODATA not in labels
            assert set(np.unique(labels)) == {0, 1, 2, 3}


def test_classes_have_the_shares_of_a_rural_landscape(scenes):
    shares = confusion(scenes.fit + scenes.score).sum(axis=1) / (4 * 416 * 448)
    low, high = (0.05, 0.28, 0.38, 0.07), (0.12, 0.42, 0.56, 0.15)
    assert (shares > low).all() and (shares < high).all()


def test_truth_holds_barren_land_buildings_and_roads(scenes):
    for scene in scenes.fit + scenes.score:
        assert set(np.unique(pixels(scene.truth))) == {1, 2, 3, 4, 5, 6}


def test_coarse_product_scores_as_low_as_real_ones(scenes):
    counts = confusion(scenes.score)
    hits = np.diag(counts)
    iou = hits / (counts.sum(axis=0) + counts.sum(axis=1) - hits)
    assert 0.38 < iou.mean() < 0.52
    assert iou.argmin() == 3  # developed open space passes for built-up


def test_developed_open_space_is_mostly_vegetated(scenes):
    for scene in scenes.fit + scenes.score:
        grid = read_grid(scene.image)
        open_space = read_codes(scene.coarse, grid, grid.window) == 21
        truth = classes(scene.truth, scene, "chesapeake_1m")[open_space]
        assert truth.size > 1000
        assert np.isin(truth, (1, 2)).mean() > 0.7
        assert 0.05 < (truth == 3).mean() < 0.3


def test_vegetation_is_bright_and_water_dark_in_the_infrared(scenes):
    for scene in scenes.fit + scenes.score:
        infrared = pixels(scene.image)[3]
        truth = classes(scene.truth, scene, "chesapeake_1m")
        water, trees, low, built = (np.median(infrared[truth == index]) for index in range(4))
        assert water < 0.6 * built < built < trees < 1.2 * low


def test_colour_alone_does_not_tell_the_classes(scenes):
    samples, labels = [], []
    for scene in scenes.fit:
        samples.append(pixels(scene.image).reshape(4, -1).T[::20])
        labels.append(classes(scene.truth, scene, "chesapeake_1m").ravel()[::20])
    colour = np.vstack(samples).astype(float)
    colour = np.column_stack([colour, colour**2, np.ones(len(colour))])
    truth = np.concatenate(labels)
    weights = np.linalg.lstsq(colour, np.eye(4)[truth], rcond=None)[0]
    accuracy = np.mean((colour @ weights).argmax(axis=1) == truth)
    assert 0.6 < accuracy < 0.88


def test_the_same_settings_write_the_same_files(small, tmp_path):
    before = [path.read_bytes() for path in files(small)]
    for path in files(make_scenes(SMALL, tmp_path)):
        path.write_bytes(b"replaced by the second call")
    again = files(make_scenes(SMALL, tmp_path))
    assert before == [path.read_bytes() for path in again]


def test_another_seed_draws_another_landscape(small, tmp_path):
    one = small.fit[0]
    other = make_scenes(dataclasses.replace(SMALL, seed=1), tmp_path).fit[0]
    for kind in ("image", "coarse", "truth"):
        first, second = pixels(getattr(one, kind)), pixels(getattr(other, kind))
        assert (first != second).mean() > 0.3


def test_scenes_to_score_are_not_those_to_fit(small):
    assert (pixels(small.fit[0].truth) != pixels(small.score[0].truth)).mean() > 0.3


def test_more_scenes_leave_the_others_as_they_are(small, tmp_path):
    many = make_scenes(dataclasses.replace(SMALL, fit_scenes=2), tmp_path)
    for one, other in ((small.fit[0], many.fit[0]), (small.score[0], many.score[0])):
        assert one.image.read_bytes() == other.image.read_bytes()
        assert one.coarse.read_bytes() == other.coarse.read_bytes()


def test_root_replaces_the_folder(tmp_path):
    settings = dataclasses.replace(SMALL, root=str(tmp_path / "mine"))
    scenes = make_scenes(settings, tmp_path / "given")
    assert scenes.fit[0].image == tmp_path / "mine" / "fit_0" / "image.tif"
    assert not (tmp_path / "given").exists()


@pytest.mark.parametrize(("height", "width"), [(SMALLEST, 301), (203, SMALLEST)])
def test_the_smallest_scene_has_all_classes_in_truth_and_product(tmp_path, height, width):
    settings = dataclasses.replace(SMALL, height=height, width=width)
    for scene in make_scenes(settings, tmp_path).fit:
        assert pixels(scene.truth).shape == (1, height, width)
        assert set(np.unique(classes(scene.truth, scene, "chesapeake_1m"))) == {0, 1, 2, 3}
        assert set(np.unique(classes(scene.coarse, scene, "nlcd"))) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"height": SMALLEST - 1}, r"data.height is 159, expected a number in \[160"),
        ({"width": SMALLEST - 1}, r"data.width is 159, expected a number in \[160"),
        ({"seed": -1}, r"data.seed is -1, expected a number in \[0"),
        ({"fit_scenes": 0}, r"data.fit_scenes is 0, expected a number in \[1"),
        ({"score_scenes": 0}, r"data.score_scenes is 0, expected a number in \[1"),
        ({"scale": 0.0}, r"data.scale is 0.0, expected a number in \(0"),
    ],
)
def test_bad_settings_are_named(setting, message):
    with pytest.raises(ConfigError, match=message):
        SyntheticSettings(**setting)


def test_settings_are_registered():
    assert settings_class("data", "synthetic") is SyntheticSettings
