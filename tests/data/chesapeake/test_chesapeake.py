import logging
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from make_chesapeake import HEIGHT, WIDTH, make_chesapeake, tile_names

from mapsr.data import SceneSource
from mapsr.data.chesapeake import ChesapeakeSettings, find_chesapeake
from mapsr.data.chesapeake.check import examine_chesapeake
from mapsr.data.chesapeake.splits import LEAST_TILES, PAPER_TILES, STATES, folder_name
from mapsr.errors import ConfigError, DataError
from mapsr.experiment.leaks import check_ground
from mapsr.geo import Window
from mapsr.legends import crosswalk_names, load_crosswalk, load_legend
from mapsr.settings import settings_class

TARGET = load_legend("chesapeake4")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two states of the miniature; not to be written to."""
    return make_chesapeake(tmp_path_factory.mktemp("chesapeake"))


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / whole.name))


@pytest.fixture(autouse=True)
def no_list_of_tiles_is_longer_than_the_miniature(monkeypatch: pytest.MonkeyPatch):
    for key in LEAST_TILES:
        monkeypatch.setitem(LEAST_TILES, key, 0)


def settings(root: Path, **changes) -> ChesapeakeSettings:
    return ChesapeakeSettings(root=str(root), **changes)


def names(scenes) -> list[str]:
    return [scene.name for scene in scenes]


def test_settings_are_registered():
    assert settings_class("data", "chesapeake") is ChesapeakeSettings


def test_lists_hold_sixty_tiles_of_six_states():
    every = [name for listed in PAPER_TILES.values() for name in listed]
    assert sorted(PAPER_TILES) == sorted(STATES)
    assert {len(listed) for listed in PAPER_TILES.values()} == {10}
    assert len(set(every)) == 60
    zones = {state: Counter(name.split("_")[3] for name in PAPER_TILES[state]) for state in STATES}
    assert zones["pa"] == {"18": 6, "17": 4}
    assert zones["va"] == {"18": 5, "17": 5}
    assert zones["wv"] == {"17": 10}
    assert [zones[state] for state in ("de", "md", "ny")] == [{"18": 10}] * 3


def test_folders_are_called_as_in_the_archive():
    assert folder_name("ny", "train") == "ny_1m_2013_extended-debuffered-train_tiles"
    assert folder_name("va", "val") == "va_1m_2014_extended-debuffered-val_tiles"
    assert folder_name("wv", "test") == "wv_1m_2014_extended-debuffered-test_tiles"


def test_paper_split_scores_the_listed_and_fits_on_the_other_training_tiles(whole: Path):
    scenes = find_chesapeake(settings(whole))
    assert names(scenes.score) == sorted(PAPER_TILES["ny"])
    assert names(scenes.fit) == ["m_2800001_ne_18_1", "m_2800002_sw_18_1", "m_2800003_nw_18_1"]
    scene = scenes.score[0]
    folder = whole / "ny_1m_2013_extended-debuffered-train_tiles"
    assert scene.name == "m_4107507_ne_18_1"
    assert scene.image == folder / "m_4107507_ne_18_1_naip-new.tif"
    assert scene.coarse == folder / "m_4107507_ne_18_1_nlcd.tif"
    assert scene.truth == folder / "m_4107507_ne_18_1_lc.tif"


@pytest.mark.parametrize(("split", "part"), [("official", "test"), ("official_val", "val")])
def test_official_split_goes_by_folder(whole: Path, split: str, part: str):
    scenes = find_chesapeake(settings(whole, split=split, states=("ny", "de"), image="naip-old"))
    assert names(scenes.score) == [*tile_names("ny", part), *tile_names("de", part)]
    assert names(scenes.fit) == [*tile_names("ny", "train"), *tile_names("de", "train")]
    assert all(scene.image.name.endswith("_naip-old.tif") for scene in scenes.fit)


def test_root_may_be_the_parent(whole: Path):
    assert find_chesapeake(settings(whole.parent)) == find_chesapeake(settings(whole))


def test_other_states_may_be_fitted_on(whole: Path):
    scenes = find_chesapeake(settings(whole, states=["de"], fit_states=["ny"]))
    assert names(scenes.score) == sorted(PAPER_TILES["de"])
    # the listed tiles of New York stay out although it is not scored
    assert names(scenes.fit) == ["m_2800001_ne_18_1", "m_2800002_sw_18_1", "m_2800003_nw_18_1"]


def test_most_are_drawn_evenly_and_never_from_the_scored(whole: Path):
    few = find_chesapeake(settings(whole, fit_tiles=2, score_tiles=4))
    listed = sorted(PAPER_TILES["ny"])
    assert names(few.score) == [listed[0], listed[2], listed[5], listed[7]]
    assert names(few.fit) == ["m_2800001_ne_18_1", "m_2800002_sw_18_1"]
    more = find_chesapeake(settings(whole, fit_tiles=99, score_tiles=10))
    assert more == find_chesapeake(settings(whole))


@pytest.mark.parametrize("split", ["paper", "official", "official_val"])
@pytest.mark.parametrize("score_tiles", [None, 1])
def test_no_tile_is_in_both_parts(whole: Path, split: str, score_tiles: int | None):
    chosen = settings(whole, states=("de", "ny"), split=split, score_tiles=score_tiles)
    scenes = find_chesapeake(chosen)
    listed = {name for tiles in PAPER_TILES.values() for name in tiles}
    assert not set(names(scenes.fit)) & set(names(scenes.score))
    assert split != "paper" or not set(names(scenes.fit)) & listed


def test_ground_that_two_states_share_is_not_fitted_on(copy: Path):
    shared = "m_3807503_ne_18_1"
    for path in (copy / folder_name("de", "train")).glob(f"{shared}_*"):
        shutil.copy(path, copy / folder_name("ny", "train"))
        shutil.copy(path, copy / folder_name("ny", "test"))
    paper = find_chesapeake(settings(copy, states=("de",), fit_states=("ny",)))
    assert shared not in names(paper.fit)
    official = find_chesapeake(settings(copy, states=("de",), fit_states=("ny",), split="official"))
    assert shared not in names(official.fit)


def test_tile_of_two_states_has_two_names(copy: Path):
    shared = tile_names("de", "test")[0]
    for path in (copy / folder_name("de", "test")).glob(f"{shared}_*"):
        shutil.copy(path, copy / folder_name("ny", "test"))
    scenes = find_chesapeake(settings(copy, states=("de", "ny"), split="official"))
    assert {f"{shared}_de", f"{shared}_ny"} < set(names(scenes.score))
    assert len(set(names(scenes.score))) == len(scenes.score) == 5


def test_listed_tile_is_found_in_another_folder(copy: Path):
    name = PAPER_TILES["ny"][0]
    for path in (copy / folder_name("ny", "train")).glob(f"{name}_*"):
        path.rename(copy / folder_name("ny", "val") / path.name)
    assert names(find_chesapeake(settings(copy)).score) == sorted(PAPER_TILES["ny"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"states": ("nyc",)}, r"data\.states is 'nyc', expected one of de, .*Did you mean 'ny'"),
        ({"states": ()}, r"data\.states is \[\], expected each of one or more of de, md, ny"),
        ({"states": ("ny", "ny")}, r"data\.states is \[ny, ny\], expected each .* once"),
        ({"fit_states": ("nj",)}, r"data\.fit_states is 'nj', expected one of"),
        ({"split": "offical"}, r"data\.split is 'offical', .*Did you mean 'official'"),
        ({"image": "naip"}, r"data\.image is 'naip', .*Did you mean 'naip-"),
        ({"fit_tiles": 0}, r"data\.fit_tiles is 0, expected a number in \[1, inf\]"),
        ({"score_tiles": 0}, r"data\.score_tiles is 0"),
        ({"bands": 0}, r"data\.bands is 0"),
        ({"scale": 0.0}, r"data\.scale is 0\.0, expected a number in \(0, inf\]"),
    ],
)
def test_faulty_settings_are_refused(tmp_path: Path, changes: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, **changes)


def test_root_without_the_benchmark_says_how_to_fetch_it(tmp_path: Path):
    with pytest.raises(
        DataError,
        match=r"data\.root is '.*absent', expected .*ny_1m_2013.*`mapsr data fetch chesapeake root",
    ):
        find_chesapeake(settings(tmp_path / "absent"))


def test_missing_state_is_named(whole: Path):
    with pytest.raises(
        DataError, match=r"lacks pa_1m_2013_extended-debuffered-train_tiles, .*states=pa"
    ):
        find_chesapeake(settings(whole, states=("ny", "pa")))


def test_missing_test_folder_is_named(copy: Path):
    shutil.rmtree(copy / folder_name("ny", "test"))
    with pytest.raises(DataError, match=r"lacks ny_1m_2013_extended-debuffered-test_tiles"):
        find_chesapeake(settings(copy, split="official"))
    assert len(find_chesapeake(settings(copy)).score) == 10


def test_missing_listed_tiles_are_counted(copy: Path):
    for name in PAPER_TILES["ny"][3:5]:
        for path in (copy / folder_name("ny", "train")).glob(f"{name}_*"):
            path.unlink()
    with pytest.raises(
        DataError,
        match=r"2 of the 10 tiles that split 'paper' lists for 'ny' are missing, the first "
        r"m_4207563_ne_18_1, expected in .*ny_1m_2013_extended-debuffered-train_tiles; .*half",
    ):
        find_chesapeake(settings(copy))


@pytest.mark.parametrize("layer", ["naip-new", "nlcd", "lc"])
def test_missing_layer_is_named(copy: Path, layer: str):
    (copy / folder_name("ny", "train") / f"m_2800002_sw_18_1_{layer}.tif").unlink()
    with pytest.raises(
        DataError,
        match=rf"1 file\(s\) of tiles are missing, the first .*m_2800002_sw_18_1_{layer}\.tif, "
        r"expected the layers naip-new, nlcd and lc .*states=ny",
    ):
        find_chesapeake(settings(copy))


def test_nothing_left_to_fit_on(copy: Path):
    for path in (copy / folder_name("ny", "train")).glob("m_28*"):
        path.unlink()
    with pytest.raises(DataError, match=r"does not hold a tile to fit on for data\.split=paper"):
        find_chesapeake(settings(copy))


def test_overlap_under_another_name_is_refused(copy: Path):
    train, test = (copy / folder_name("ny", part) for part in ("train", "test"))
    image = test / "m_2800006_nw_18_1_naip-new.tif"
    image.unlink()
    image.symlink_to(train / "m_2800001_ne_18_1_naip-new.tif")
    with pytest.raises(DataError, match=r"m_2800001_ne_18_1_naip-new\.tif is fitted on and, under"):
        find_chesapeake(settings(copy, split="official"))


def test_fewer_tiles_than_published_are_told(
    whole: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setitem(LEAST_TILES, ("ny", "train"), 100)
    with caplog.at_level(logging.WARNING, logger="mapsr.data.chesapeake"):
        find_chesapeake(settings(whole))
    (record,) = caplog.records
    assert "train_tiles holds 13 tiles, 87 fewer than published lists" in record.getMessage()


def test_check_tells_what_is_missing(copy: Path):
    assert [one.problem for one in examine_chesapeake(copy.parent)] == [None] * 8
    (copy / folder_name("de", "val") / f"{tile_names('de', 'val')[1]}_lc.tif").unlink()
    shutil.rmtree(copy / folder_name("ny", "test"))
    for path in (copy / folder_name("de", "train")).glob(f"{PAPER_TILES['de'][0]}_*"):
        path.unlink()
    found = {one.name: one for one in examine_chesapeake(copy)}
    assert found[folder_name("ny", "test")].problem == "absent"
    assert found[folder_name("de", "val")].problem == (
        "1 file(s) missing, the first m_0800005_ne_18_1_lc.tif"
    )
    assert found[folder_name("de", "train")].problem is None
    assert found["de: tiles of split paper"].problem == (
        "1 of the 10 tiles that split 'paper' lists for 'de' are missing, the first "
        "m_3807523_ne_18_1"
    )
    assert found["ny: tiles of split paper"].tiles == 10
    (only, *_) = examine_chesapeake(copy, ("va",))
    assert (only.name, only.problem) == (folder_name("va", "train"), "absent")


def test_chips_of_the_miniature(whole: Path):
    coarse, truth = (
        load_crosswalk("paraformer", load_legend(name), TARGET)
        for name in ("nlcd", "chesapeake_1m")
    )
    source = SceneSource(255.0, coarse, truth)
    scenes = find_chesapeake(settings(whole))
    for scene in (*scenes.fit, *scenes.score):
        source.check(scene)
    chip = source.read(scenes.score[0], Window(0, 0, HEIGHT, WIDTH))
    assert chip.coarse is not None and chip.truth is not None
    assert chip.image.shape == (4, HEIGHT, WIDTH)
    assert (chip.coarse[:, -6:] == 255).all()
    assert (chip.coarse[:, :-6] != 255).all()
    assert (chip.truth[0] == 255).all() and (chip.truth[-1] == 255).all()
    assert (chip.truth[60:62] == TARGET.index("low vegetation")).all()
    assert source.labels.unknown_codes == {}


@pytest.mark.parametrize("preset", crosswalk_names())
def test_codes_of_the_benchmark(preset: str):
    truth, coarse = load_legend("chesapeake_1m"), load_legend("nlcd")
    assert {0, 15} <= truth.nodata and {0, 128, 255} <= coarse.nodata
    codes = np.array([[11, 12, 21, 22, 23, 24, 31, 41], [42, 43, 52, 71, 81, 82, 90, 95]])
    assert not coarse.encode(codes)[1]
    barren = "impervious" if preset == "robinson" else "low vegetation"
    assert load_crosswalk(preset, truth, TARGET).targets() == {
        1: "water",
        2: "tree canopy",
        3: "low vegetation",
        4: barren,
        5: "impervious",
        6: "impervious",
    }


def test_alien_files_are_passed_over(copy: Path):
    folder = copy / folder_name("ny", "train")
    (folder / "readme.txt").touch()
    (folder / "m_2800001_ne_18_1_buildings.tif").touch()
    (folder / "m_28_ne_18_2_lc.tif").touch()
    assert len(find_chesapeake(settings(copy)).fit) == 3


def test_all_coarse_labels_are_those_of_the_scored_tiles_too(whole):
    usual, every = (
        find_chesapeake(settings(whole)),
        find_chesapeake(settings(whole, fit_scored=True)),
    )
    assert not set(names(usual.fit)) & set(names(usual.score))
    assert set(names(every.score)) == set(names(usual.score)) < set(names(every.fit))
    assert len(set(names(every.fit))) == len(every.fit)
    assert set(tile_names("ny", "train")) <= set(names(every.fit))
    for truth, message in ((False, "set transductive=true"), (True, "would give its truth")):
        with pytest.raises(DataError, match=message):
            check_ground(every, truth=truth, transductive=truth)
    check_ground(every, truth=False, transductive=True)
