"""What trials of the command line found: wrong answers without a word, and things lost."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from make_maps import QUICK_FIT, finished_run, fitted, labels_of, mapped, run_words
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mapsr.cli.main import main
from mapsr.errors import RasterError


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
        (
            "windows=448",
            "windows=448: expected one of default, released. To set a key of the group",
        ),
        ("network=null", "network=null: expected one of deeplabv3plus, efficientvim"),
        ("experiment=null", "experiment=null: expected one of iel_koeln, iel_wv, paper"),
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


@pytest.mark.parametrize("words", [["run", "--show"], ["map", "--show", "image=a.tif"]])
def test_no_choice_of_a_group_is_a_sentence(capsys, words):
    assert main([*words, "legend=[]"]) == 1
    assert "legend is None, expected a choice of legend=" in capsys.readouterr().err


@pytest.mark.parametrize("override", ["a b=2", "seed=range(0,2", "x={a"])
def test_a_sweep_that_can_not_be_read_is_a_sentence(capsys, override):
    # the second became two cells, range(0 and 2
    assert main(["run", "-m", "--show", override]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_foreign_proj_db_is_named_and_doctor_finds_it(monkeypatch, image, tmp_path, capsys):
    # it was a CRSError with a trace at import, and doctor said that all is well
    from rasterio.errors import CRSError

    from mapsr.doctor.machine import projections
    from mapsr.geo import projections as proj

    class Foreign:
        @staticmethod
        def from_epsg(code):
            raise CRSError("The EPSG code is unknown. It comes from another PROJ installation.")

    assert projections().remedy is None
    monkeypatch.setattr(proj, "CRS", Foreign)
    monkeypatch.setenv("PROJ_LIB", str(tmp_path))
    assert main(["map", f"image={image}", f"coarse={image}", f"out={tmp_path / 'm.tif'}"]) == 1
    told = f"in PROJ_LIB={tmp_path}, which is of another installation"
    assert told in capsys.readouterr().err
    assert "unset PROJ_LIB" in projections().remedy
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["image", "coarse", "out", "fitted"])
def test_a_path_that_can_not_be_was_a_trace(image, tmp_path, monkeypatch, capsys, key):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    loop = tmp_path / "loop.tif"
    loop.symlink_to(loop)
    given = {"image": image, "coarse": image, "out": "m.tif"}
    given = {"image": image, "out": "m.tif"} if key == "fitted" else given
    for value in ("x" * 300, "x" * 5000, "a\0b", loop, "s3://bucket/x.tif", "/vsicurl/http://x/y"):
        words = [f"{name}={path}" for name, path in (given | {key: value}).items()]
        assert main(["map", *words]) == 1
        err = capsys.readouterr().err
        assert err.startswith("error: ") and "does not expect" not in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [loop]


def test_maps_of_an_earlier_job_are_not_images_of_the_next(run, image, tmp_path, capsys):
    # image=d/**/*.tif out=d/maps failed when it was repeated: its own maps matched
    tiles, out = tmp_path / "d", tmp_path / "d" / "maps"
    tiles.mkdir()
    for name in ("a.tif", "._a.tif", ".b.tif-0.partial.tif"):
        shutil.copy(image, tiles / name)
    for _ in range(2):
        assert mapped(run, tiles / "**" / "*.tif", out, "confidence=true") == 0
        assert sorted(p.name for p in out.glob("*.tif")) == ["a.tif", "a_confidence.tif"]
    assert "made before" in capsys.readouterr().out
    assert mapped(run, tiles / "*.tif", tiles / "all.tif", "mosaic=true") == 0
    assert mapped(run, tiles / "*.tif", tiles / "all.tif", "mosaic=true") == 0


def test_the_users_folder_and_folders_as_images_are_understood(run, image, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert mapped(run, image, "~/x.tif") == 0
    assert (tmp_path / "x.tif").is_file()


def test_a_folder_or_a_pattern_where_a_file_is_expected_says_what_to_write(image, capsys, tmp_path):
    out = f"out={tmp_path / 'm.tif'}"
    assert main(["map", f"image={image.parent}", "coarse=x.tif", out]) == 1
    assert "several are named by a pattern, such as" in capsys.readouterr().err
    assert main(["map", f"image={image}", "coarse=nlcd_*.tif", out]) == 1
    assert "gdalbuildvrt product.vrt nlcd_*.tif" in capsys.readouterr().err


def test_names_of_others_do_not_steer_the_terminal(image, tmp_path, capsys):
    assert main(["map", f"image={tmp_path}/a\x1b[31m\nb.tif", "coarse=x.tif", "out=m.tif"]) == 1
    err = capsys.readouterr().err
    assert "\x1b" not in err and r"\x1b[31m\n" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (OSError(28, "x", "/data/map.tif"), "/data/map.tif can't be read or written: the system"),
        (OSError(28, "x"), "'No space left on device' (ENOSPC); make room on the disk."),
        (MemoryError(), "There is not enough memory (the system gave none)"),
        (RecursionError("deep"), "nested too deep"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "is not text in UTF-8"),
    ],
)
def test_what_no_guard_met_is_a_sentence_at_the_door(monkeypatch, capsys, raised, message):
    from mapsr.cli import run as command

    def broken(arguments):
        raise raised

    monkeypatch.setattr(command, "main", broken)
    assert main(["run"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1


def test_an_image_that_changes_on_the_way_makes_no_mixed_map(run, image, tmp_path, capsys):
    from mapsr.mapping import jobs

    mine, out = tmp_path / "mine.tif", tmp_path / "out" / "m.tif"
    shutil.copy(image, mine)
    save = jobs.WorkFolder.save

    def rewritten(folder, number, result):
        save(folder, number, result)
        mine.write_bytes(mine.read_bytes() + b"\0")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.WorkFolder, "save", rewritten)
        assert mapped(run, mine, out) == 1
    assert "mine.tif changed while" in capsys.readouterr().err
    assert not [path for path in out.parent.rglob("*") if path.is_file()]
    assert mapped(run, mine, out) == 0


def test_an_image_that_is_being_written_is_not_called_damaged(run, image, tmp_path, capsys):
    # a reader that met half of it said that it is no raster: fetch or make the file again
    from mapsr.mapping import jobs

    mine, out = tmp_path / "mine.tif", tmp_path / "out" / "m.tif"
    shutil.copy(image, mine)
    save = jobs.WorkFolder.save

    def cut(folder, number, result):
        save(folder, number, result)
        mine.write_bytes(b"II*")
        raise RasterError("Can't read mine.tif: make it again.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.WorkFolder, "save", cut)
        assert mapped(run, mine, out) == 1
    said = capsys.readouterr().err
    assert "mine.tif changed while" in said and "make it again" not in said
    assert not [path for path in out.parent.rglob("*") if path.is_file()]
    shutil.copy(image, mine)
    assert mapped(run, mine, out) == 0


def test_an_image_that_is_gone_for_a_while_costs_no_work(run, image, tmp_path, capsys):
    # what was done was removed, as if the image were another one
    from mapsr.mapping import jobs

    mine, away, out = tmp_path / "mine.tif", tmp_path / "away.tif", tmp_path / "out" / "m.tif"
    shutil.copy(image, mine)
    assemble = jobs._Open.assemble

    def unmounted(job, progress):
        mine.rename(away)
        assemble(job, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs._Open, "assemble", unmounted)
        assert mapped(run, mine, out) == 1
    assert "mine.tif can't be read any more" in capsys.readouterr().err and not out.exists()
    units = [path.name for path in out.parent.rglob("unit-*.npz")]
    away.rename(mine)
    assert units and mapped(run, mine, out) == 0
    assert f"going on, {len(units)} of {len(units)}" in capsys.readouterr().err


def test_labels_that_change_during_a_fit_are_noticed(scene_folder, image, tmp_path, capsys):
    from mapsr.region import fit as fitting

    mine, out = tmp_path / "mine.tif", tmp_path / "m.tif"
    shutil.copy(scene_folder / "val" / "village_nlcd_30m.tif", mine)
    fit = fitting.fit

    def rewritten(*given):
        mine.write_bytes(mine.read_bytes() + b"\0")
        return fit(*given)

    def cut(*given):
        rewritten(*given)
        raise RasterError("Can't read mine.tif: make it again.")

    for meanwhile in (rewritten, cut):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fitting, "fit", meanwhile)
            assert fitted(scene_folder, "village", out, f"coarse={mine}") == 1
        said = capsys.readouterr().err
        assert (
            "mine.tif changed while the method was fitted" in said and "make it again" not in said
        )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tif"]


def test_an_image_that_is_being_written_during_a_run_is_not_called_damaged(
    scene_folder, tmp_path, capsys
):
    from mapsr.experiment import run as running

    scenes, folder = tmp_path / "scenes", tmp_path / "run"
    shutil.copytree(scene_folder, scenes)

    def cut(*given):
        (scenes / "val" / "village_naip.tif").write_bytes(b"II*")
        raise RasterError("Can't read village_naip.tif: make it again.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "judge", cut)
        assert main(run_words(scenes, folder)) == 1
    said = capsys.readouterr().err
    assert "changed while the run was under way" in said and "make it again" not in said
    assert not (folder / "metrics.json").exists()


def test_what_a_kill_left_does_not_stop_the_next_attempt(scene_folder, tmp_path):
    # an empty .a-XXXX.png in figures/ was shown to mirrors, and the run could not be done any more
    folder = tmp_path / "run"
    finished_run(scene_folder, folder)
    (folder / "metrics.json").unlink()
    left = [folder / "figures" / ".a", folder / ".metrics", folder / "maps" / ".m"]
    left = [path.with_name(f"{path.name}-00000000-1-00000000.partial") for path in left]
    for path in left:
        path.touch()
        os.utime(path, (0, 0))
    finished_run(scene_folder, folder)
    assert (folder / "metrics.json").is_file() and not any(path.exists() for path in left)


@pytest.mark.parametrize(
    "damage",
    [
        lambda about: about | {"image": about["image"] | {"scale": float("nan")}},
        lambda about: about | {"image": about["image"] | {"bands": 1 << 70}},
        lambda about: about | {"facts": []},
        lambda about: about | {"facts": {"probe": [1]}},
        lambda about: about | {"facts": {"probe": about["facts"]["probe"] | {"table": [9] * 16}}},
        lambda about: about | {"weights": {"backbone": "x"}},
        lambda about: about | {"weights": 5},
        lambda about: about | {"legend": about["legend"] | {"classes": [1, 2]}},
        lambda about: about | {"settings": []},
        lambda about: about | {"settings": about["settings"] | {"windows": None}},
        lambda about: about | {"about": 3},
        lambda about: about | {"version": True},
        lambda about: about | {"crosswalk": None},
    ],
)
def test_a_fitted_file_that_says_odd_things_is_refused_at_the_door(
    run, image, tmp_path, capsys, damage
):
    path, out = tmp_path / "odd.safetensors", tmp_path / "out" / "m.tif"
    with safe_open(run / "fitted.safetensors", framework="pt") as opened:
        about = json.loads(opened.metadata()["mapsr"])
    save_file(load_file(run / "fitted.safetensors"), path, {"mapsr": json.dumps(damage(about))})
    assert mapped(path, image, out) == 1
    err = capsys.readouterr().err
    assert "error: " in err and "does not expect" not in err
    assert not out.exists()


@pytest.mark.parametrize("name", ["vectors", "counts", "probe.weight"])
@pytest.mark.parametrize("odd", ["nan", "short", "flat", "type"])
def test_tensors_that_are_not_whole_are_refused_before_a_map(
    run, image, tmp_path, capsys, name, odd
):
    path, out = tmp_path / "odd.safetensors", tmp_path / "out" / "m.tif"
    with safe_open(run / "fitted.safetensors", framework="pt") as opened:
        about = opened.metadata()
    tensors = load_file(run / "fitted.safetensors")
    one = tensors[name].clone()
    changes = {
        "nan": lambda: one.double().fill_(float("nan")),
        "short": lambda: one[:-1].clone(),
        "flat": lambda: one[None].clone(),
        "type": lambda: one.half(),
    }
    save_file(tensors | {name: changes[odd]()}, path, about)
    assert mapped(path, image, out) == 1
    err = capsys.readouterr().err
    assert "error: " in err and "does not expect" not in err
    assert not out.exists()


def test_the_solver_stops_at_what_is_no_number():
    from scipy import sparse

    from mapsr.refine.propagation import fixed_point

    graph = sparse.csr_array(np.array([[0, 1.0], [1.0, 0]]))
    found = fixed_point(graph, np.array([[np.nan], [1.0]]), 0.5, 1e-6)
    assert np.isnan(found).all()  # it went on for ever


def test_a_folder_of_images_in_a_system_without_a_place_is_judged_alike(tmp_path, run, image):
    from rasterio.crs import CRS

    from mapsr.geo import Grid, read_grid, write_raster

    grid = read_grid(image)
    local = CRS.from_wkt('LOCAL_CS["works",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
    with rasterio.open(image) as dataset:
        values = dataset.read()
    mine = tmp_path / "mine.tif"
    write_raster(mine, values, Grid(local, grid.transform, grid.height, grid.width))
    told = main(["doctor", "--no-timing", str(mine), f"fitted={run}"])
    assert told == mapped(run, mine, tmp_path / "m.tif") == 0


def test_a_list_whose_rows_lack_products_is_judged_alike(scene_folder, image, tmp_path):
    train = scene_folder / "train"
    table = tmp_path / "list.csv"
    rows = [f"{image},{image.with_name('village_nlcd_30m.tif')}", f"{train / 'wood_naip.tif'},"]
    table.write_text("\n".join(["image_fn,label_fn", *rows]))
    words = [*QUICK_FIT, f"image={table}", f"out={tmp_path / 'maps'}"]
    assert main(["doctor", "--no-timing", *words]) == main(["map", *words]) == 0


def test_a_target_legend_of_ones_own_needs_no_truth(scene_folder, image, tmp_path):
    from mapsr import legends

    text = (Path(legends.__file__).parent / "products" / "chesapeake4.yaml").read_text()
    mine = tmp_path / "mine.yaml"
    mine.write_text(text.replace("impervious", "sealed"))
    coarse = Path(legends.__file__).parent / "products" / "nlcd.yaml"
    (tmp_path / "nlcd.yaml").write_text(coarse.read_text().replace("impervious", "sealed"))
    words = [f"legend.target={mine}", f"legend.coarse={tmp_path / 'nlcd.yaml'}"]
    assert fitted(scene_folder, "village", tmp_path / "m.tif", *words, "legend.soft=hard") == 0


def test_a_checkpoint_never_tells_how_to_run_what_is_in_it(tmp_path):
    import pickle

    import torch

    from mapsr.errors import WeightsError
    from mapsr.training.checkpoint import Checkpoint

    path = tmp_path / "last.pt"
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(WeightsError) as raised:
        Checkpoint(tmp_path, {}).load()
    assert "weights_only" not in str(raised.value)
    whole = {"format": 1, "identity": {}, "step": 1, "network": {}}
    for odd in ({"identity": None}, {"step": None}, {"network": None}, {"step": -1}):
        torch.save(whole | odd, path)
        with pytest.raises(WeightsError, match="is damaged"):
            Checkpoint(tmp_path, {}).load()


@pytest.mark.parametrize("damage", ["[]", '{"miou": 7}', '{"miou": "x", "oa": 1}', "[" * 2000])
def test_a_damaged_result_is_said_to_be_damaged(scene_folder, run, tmp_path, capsys, damage):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "metrics.json").write_text(damage)
    with pytest.raises(AssertionError):
        finished_run(scene_folder, folder)
    assert "metrics.json' is damaged" in capsys.readouterr().err


def test_text_of_others_is_no_formula_and_no_html():
    from mapsr.quoting import csv_cell, in_markdown

    assert csv_cell("=cmd|' /C calc'!A0") == "'=cmd|' /C calc'!A0"
    assert [csv_cell(one) for one in ("@x", "+1+1", "-3.5", -3.5, "tree")] == [
        *("'@x", "'+1+1", "-3.5", -3.5, "tree"),
    ]
    assert in_markdown("<b>\n[x](y)") == r"\<b\> \[x\](y)"
