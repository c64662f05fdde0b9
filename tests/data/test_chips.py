import logging
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from make_scenes import HEIGHT, WIDTH, image_grid

from mapsr.data.chips import SceneSource, cut_scenes
from mapsr.data.scenes import Scene
from mapsr.errors import DataError, RasterError
from mapsr.geo import Window, read_image, write_raster
from mapsr.legends import load_crosswalk, load_legend

TARGET = load_legend("chesapeake4")
NLCD = load_legend("nlcd")
COARSE = load_crosswalk("paraformer", NLCD, TARGET)
TRUTH = load_crosswalk("paraformer", load_legend("chesapeake_1m"), TARGET)
WHOLE = Window(0, 0, HEIGHT, WIDTH)


@pytest.fixture
def scene(scene_folder: Path) -> Scene:
    stem = str(scene_folder / "train" / "field")
    files = [Path(f"{stem}_{layer}.tif") for layer in ("naip", "nlcd_30m", "cclc")]
    return Scene("field", *files)


@pytest.fixture
def odd_scene(tmp_path: Path) -> Scene:
    """A scene whose coarse product holds codes 1 and 2 that NLCD has not."""
    coarse = np.full((HEIGHT, WIDTH), 41, np.uint8)
    coarse[0, :6] = 1, 1, 1, 2, 2, 0
    write_raster(tmp_path / "coarse.tif", coarse, image_grid(0))
    write_raster(tmp_path / "image.tif", np.ones((3, HEIGHT, WIDTH), np.uint8), image_grid(0))
    return Scene("odd", tmp_path / "image.tif", tmp_path / "coarse.tif", None)


def test_chip(scene: Scene):
    source = SceneSource(255.0, COARSE, TRUTH)
    source.check(scene)
    window = Window(11, 30, 40, 51)
    chip = source.read(scene, window)
    assert (chip.scene, chip.window) == ("field", window)
    assert chip.image.shape == (4, 40, 51)
    assert chip.image.dtype == torch.float32
    expected, _ = read_image(scene.image, window, None, 255.0)
    assert torch.equal(chip.image, torch.from_numpy(expected))
    assert chip.valid.shape == (40, 51)
    assert chip.valid.dtype == torch.bool
    assert chip.valid.all()
    assert source.labels.unknown_codes == {}


def test_coarse_stays_in_the_product_and_truth_goes_to_the_target(scene: Scene):
    chip = SceneSource(255.0, COARSE, TRUTH).read(scene, WHOLE)
    assert chip.coarse is not None
    assert chip.truth is not None
    assert chip.coarse.dtype == chip.truth.dtype == torch.uint8
    assert chip.coarse.shape == chip.truth.shape == (HEIGHT, WIDTH)
    road = slice(WIDTH // 2, WIDTH // 2 + 2)
    assert (chip.truth[:, road] == TARGET.index("impervious")).all()
    codes = {NLCD.codes[index] for index in chip.coarse.unique().tolist()}
    assert codes == {11, 41, 82, 23}
    # the miniature's truth follows its coarse cells but for the road
    mapped = COARSE.apply(chip.coarse.numpy())
    agree = mapped == chip.truth.numpy()
    agree[:, road] = True
    assert agree.all()


def test_windows_agree_with_the_whole(scene: Scene):
    source = SceneSource(255.0, COARSE, TRUTH, bands=3)
    whole = source.read(scene, WHOLE)
    window = Window(21, 0, 49, 77)
    rows, cols = window.slices
    chip = source.read(scene, window)
    assert torch.equal(chip.image, whole.image[:, rows, cols])
    assert chip.coarse is not None and whole.coarse is not None
    assert torch.equal(chip.coarse, whole.coarse[rows, cols])
    assert chip.truth is not None and whole.truth is not None
    assert torch.equal(chip.truth, whole.truth[rows, cols])
    assert chip.image.shape == (3, 49, 77)


def test_layers_without_file_or_crosswalk_stay_unread(scene: Scene, tmp_path: Path):
    chip = SceneSource(255.0, COARSE).read(replace(scene, truth=tmp_path / "absent.tif"), WHOLE)
    assert chip.truth is None
    assert chip.coarse is not None
    chip = SceneSource(255.0, COARSE, TRUTH).read(replace(scene, coarse=None), WHOLE)
    assert chip.coarse is None
    assert chip.truth is not None


def test_window_without_data(tmp_path: Path):
    path = tmp_path / "a.tif"
    write_raster(path, np.zeros((3, HEIGHT, WIDTH), np.uint8), image_grid(0), nodata=0)
    source = SceneSource(255.0, COARSE, TRUTH)
    chip = source.read(Scene("a", path, None, None), Window(0, 0, 3, 5))
    assert not chip.valid.any()
    assert (chip.image == 0).all()


def test_unknown_codes_are_counted_and_logged_once(
    odd_scene: Scene, caplog: pytest.LogCaptureFixture
):
    source = SceneSource(255.0, COARSE)
    with caplog.at_level(logging.WARNING, logger="mapsr.data.chips"):
        chip = source.read(odd_scene, Window(0, 0, 2, 8))
        source.read(odd_scene, Window(0, 0, 1, 2))
    assert chip.coarse is not None
    assert chip.coarse[0].tolist() == [255] * 6 + [NLCD.index("deciduous forest")] * 2
    assert source.labels.unknown_codes == {"odd": {"coarse": {1: 5, 2: 2}}}
    assert [record.getMessage() for record in caplog.records] == [
        f"The coarse labels of scene odd hold code {code} ({pixels} pixels of a window), which "
        "legend nlcd does not name: it becomes nodata. Further pixels are counted, not logged."
        for code, pixels in ((1, 3), (2, 2))
    ]


def test_source_goes_to_the_workers_of_a_loader(scene: Scene):
    source = pickle.loads(pickle.dumps(SceneSource(255.0, COARSE, TRUTH)))
    assert source.read(scene, WHOLE).truth is not None
    assert source.grid(scene) == image_grid(0)


def test_too_few_bands_are_refused(scene: Scene):
    with pytest.raises(RasterError, match=r"field_naip\.tif has 4 band\(s\), expected at least 5"):
        SceneSource(255.0, bands=5).check(scene)


@pytest.mark.parametrize("layer", ["coarse", "truth"])
def test_labels_elsewhere_are_refused(scene: Scene, scene_folder: Path, layer: str):
    elsewhere = scene_folder / "val" / "village_nlcd_30m.tif"
    source = SceneSource(255.0, COARSE, TRUTH)
    wrong = replace(scene, **{layer: elsewhere})
    with pytest.raises(
        DataError,
        match=rf"The {layer} labels .*village_nlcd_30m\.tif do not overlap the image .*field_naip",
    ):
        source.check(wrong)


def test_missing_labels_are_refused(scene: Scene, tmp_path: Path):
    wrong = replace(scene, truth=tmp_path / "absent.tif")
    with pytest.raises(RasterError, match=r"Can't read .*absent\.tif: there is no such file"):
        SceneSource(255.0, COARSE, TRUTH).check(wrong)


def test_chips_to_fit_on_are_drawn_evenly_from_all(scene: Scene):
    source = SceneSource(255.0)
    grid = source.grid(scene)
    every = cut_scenes(source, [scene, scene], 30, None)
    assert every.scenes == (scene.name,)
    one = [window for _, window in every.places[: len(every) // 2]]
    seen = np.zeros((grid.height, grid.width), int)
    for window in one:
        seen[window.slices] += 1
    assert (seen == 1).all()
    for most in (1, 3, 7, len(every), 1000):
        drawn = cut_scenes(source, [scene, scene], 30, most).places
        assert len(drawn) == min(most, len(every))
        places = [every.places.index(one) for one in drawn[: len(drawn) // 2]]
        assert places == sorted(set(places))
        if most == 7:  # of 24: every third or fourth, also of the second scene
            numbers = [k * len(every) // 7 for k in range(7)]
            assert drawn == [every.places[number] for number in numbers]


def test_whole_chips_see_some_pixels_twice_as_the_released_code_does(scene: Scene):
    source = SceneSource(255.0)
    grid = source.grid(scene)
    chips = cut_scenes(source, [scene], 30, None, whole=True)
    assert {(w.height, w.width) for _, w in chips.places} == {(30, 30)}
    seen = np.zeros((grid.height, grid.width), int)
    for _, window in chips.places:
        seen[window.slices] += 1
    assert seen.min() == 1 and seen.max() > 1
