"""What trials of the command line found: wrong answers without a word, and things lost."""

import shutil

import numpy as np
import pytest
import rasterio
from make_maps import finished_run, fitted, labels_of, mapped

from mapsr.cli.main import main


@pytest.fixture(scope="module")
def run(scene_folder, tmp_path_factory):
    return finished_run(scene_folder, tmp_path_factory.mktemp("trials") / "run")


@pytest.fixture
def image(scene_folder):
    return scene_folder / "val" / "village_naip.tif"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scale=-5", "scale is -5"),
        ("scale=0", "scale is 0"),
        ("scale=1e-300", "scale is 1e-300"),
        ("scale=1e300", "scale is 1e+300"),
        ("scale=.nan", "scale is nan"),
        ("scale=.inf", "scale is inf"),
        ("bands=0", "bands is 0"),
        ("bands=-1", "bands is -1"),
    ],
)
def test_values_of_an_image_that_can_not_be_are_refused(
    run, image, tmp_path, capsys, override, message
):
    # these made maps of one class, or counted as not given
    assert mapped(run, image, tmp_path / "map.tif", override) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_map_of_one_image_does_not_replace_the_confidence_of_another(
    run, image, tmp_path, capsys
):
    tiles, out = tmp_path / "tiles", tmp_path / "maps"
    tiles.mkdir()
    for name in ("a.tif", "a_confidence.tif"):
        shutil.copy(image, tiles / name)
    assert mapped(run, tiles / "*.tif", out, "confidence=true") == 1
    assert "a_confidence.tif would be written for both" in capsys.readouterr().err
    assert not out.exists()
    assert mapped(run, tiles / "*.tif", out) == 0


def test_an_output_beside_the_map_does_not_replace_an_input(run, image, tmp_path, capsys):
    mine = tmp_path / "map_scores.tif"
    shutil.copy(image, mine)
    before = mine.read_bytes()
    out = tmp_path / "map.tif"
    assert mapped(run, mine, out, "scores=true", "overwrite=true") == 1
    err = capsys.readouterr().err
    assert f"{mine}, which is written beside {out}, is the image itself" in err
    assert mine.read_bytes() == before


@pytest.mark.parametrize("given", [False, True])
def test_a_planted_link_does_not_empty_the_folder_that_it_points_to(
    run, image, scene_folder, tmp_path, capsys, given
):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / ".keep").write_text("mine")
    (precious / "checkpoints").mkdir()
    out = tmp_path / "maps" / "map.tif"
    out.parent.mkdir()
    name = ".map.tif.work" if given else ".map.fitted.safetensors.work"
    (out.parent / name).symlink_to(precious)
    if given:
        assert mapped(run, image, out, "restart=true") == 1
    else:
        assert fitted(scene_folder, "village", out, "restart=true") == 1
    assert "is a link to" in capsys.readouterr().err
    assert sorted(path.name for path in precious.iterdir()) == [".keep", "checkpoints"]


def test_a_class_without_a_prompt_has_no_score_rather_than_an_endless_one(
    scene_folder, image, tmp_path
):
    codes = np.full((14, 22), 41, np.uint8)
    codes[:, :11] = 82
    from affine import Affine
    from make_maps import coarse_file

    from mapsr.geo import Grid, read_grid

    grid = read_grid(image)
    place = Grid(grid.crs, grid.transform @ Affine.scale(5), 14, 22)
    coarse = coarse_file(tmp_path / "coarse.tif", place, codes)
    out = tmp_path / "map.tif"
    assert fitted(scene_folder, "village", out, coarse, "scores=true") == 0
    with rasterio.open(tmp_path / "map_scores.tif") as dataset:
        scores = dataset.read()
        assert dataset.stats(indexes=[2])[0].max < 2  # GDAL's own
    assert not np.isinf(scores).any()
    assert np.isnan(scores[0]).all() and np.isnan(scores[3]).all()
    assert set(np.unique(labels_of(out))) <= {1, 2}


@pytest.mark.parametrize(
    "override",
    [
        "+hydra.callbacks.x._target_=os.system",
        "hydra.callbacks.x={_target_:os.system}",
        "+hydra/callbacks=x",
        "+data._target_=os.system",
        "hydra.launcher._target_=os.system",
    ],
)
@pytest.mark.parametrize("words", [["run"], ["run", "-m"], ["map", "image=a.tif", "out=b.tif"]])
def test_no_override_runs_a_program(capsys, words, override):
    assert main([*words, override]) == 1
    assert "would run a program of its own choice" in capsys.readouterr().err


def test_a_finished_run_is_shown_and_not_done_again(run, scene_folder, capsys):
    record = (run / "record.json").read_bytes()
    capsys.readouterr()
    finished_run(scene_folder, run)
    assert "finished before; overwrite=true runs it again" in capsys.readouterr().out
    assert (run / "record.json").read_bytes() == record


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("windows=448", "windows=448: expected one of default. To set a key of the group"),
        ("network=null", "network=null: expected one of efficientvim"),
        ("experiment=null", "experiment=null: expected one of paper"),
        ("cache=false", "cache=false: expected one of disk, none"),
        ("logger=false", "logger=false: expected one of csv"),
        ("+data=geotiff", "data is chosen already; leave the + out"),
        ("data/x=y", "Unknown key 'data/x'. Did you mean 'data'?"),
        ("data.kind=1", "the kind follows from the choice, such as data=NAME"),
        ("seed=${seed}", "can't be resolved"),
        ("name=${oc.env:MAPSR_NOT_THERE}", "can't be"),
    ],
)
@pytest.mark.parametrize("words", [["run", "--show"], ["run", "-m", "--show"]])
def test_an_override_that_hydra_stumbles_over_is_a_sentence(capsys, words, override, message):
    assert main([*words, override]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("override", ["a b=2", "seed=range(0,2", "x={a"])
def test_a_sweep_that_can_not_be_read_is_a_sentence(capsys, override):
    # the second became two cells, range(0 and 2
    assert main(["run", "-m", "--show", override]) == 1
    assert capsys.readouterr().err.startswith("error: ")
