"""What trials of paths, names and damaged files found: traces, and things said at length."""

import os
import shutil

import numpy as np
import pytest
from make_maps import QUICK, finished_run, labels_of, mapped

from mapsr.cli.main import main
from mapsr.geo import read_grid, read_values, write_raster

SECRETS = {
    "WANDB_API_KEY": "7f" * 20,
    "AWS_SECRET_ACCESS_KEY": "mellon-and-friend",
    "HF_TOKEN": "hf_speak-friend",
}


@pytest.fixture(scope="module")
def run(scene_folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        return finished_run(scene_folder, tmp_path_factory.mktemp("door") / "run")


@pytest.fixture
def image(scene_folder):
    return scene_folder / "val" / "village_naip.tif"


def folder_of_16_bits(scene_folder, path):
    """The miniature data set with values far above 255."""
    shutil.copytree(scene_folder, path)
    for image in path.glob("*/*_naip.tif"):
        grid = read_grid(image)
        values = read_values(image, grid.window).astype(np.uint16) * 40
        image.unlink()
        write_raster(image, values, grid)
    return path


def test_a_run_on_16_bits_without_a_scale_was_a_white_image(scene_folder, tmp_path, capsys):
    data = folder_of_16_bits(scene_folder, tmp_path / "data")
    given = [
        *("run", *QUICK, "data=geotiff", f"data.root={data}", "data.image=*/{scene}_naip.tif"),
        *("data.fit=train/*", "data.score=val/*", "data.coarse=*/{scene}_nlcd_30m.tif"),
        *("logger=none", f"output={tmp_path / 'run'}"),
    ]
    assert main(given) == 1
    assert "above data.scale=255, which becomes 1" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_list_of_files_that_are_not_there_was_printed_whole(run, image, tmp_path, capsys):
    listed = tmp_path / "images.csv"
    absent = "".join(f"absent_{number}.tif\n" for number in range(3000))
    listed.write_text(f"image_fn\n{absent}")
    assert mapped(run, listed, tmp_path / "maps") == 1
    err = capsys.readouterr().err
    assert "absent_0.tif" in err
    assert len(err.splitlines()) < 40
    assert len(err) < 8000


def test_names_that_shells_and_hydra_read_otherwise(run, image, tmp_path, capsys):
    tiles = tmp_path / "tiles"
    tiles.mkdir()
    names = ["it's", 'a"b', "a b", "=x", "a,b", "[x]", "${x}", "-m"]
    for name in names:
        shutil.copy(image, tiles / f"{name}.tif")
    assert mapped(run, tiles / "*.tif", tmp_path / "maps") == 0, capsys.readouterr().err
    capsys.readouterr()
    for name in names[:4]:
        out = tmp_path / f"of {name}.tif"
        assert mapped(run, tiles / f"{name}.tif", out) == 0, capsys.readouterr().err
        assert (labels_of(out) == labels_of(tmp_path / "maps" / f"{name}.tif")).all()
    assert {path.stem for path in (tmp_path / "maps").glob("*.tif")} == set(names)


def test_links_in_a_circle_and_folders_in_place_of_files(run, image, tmp_path, capsys):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    folder = tmp_path / "folder.tif"
    folder.mkdir()
    for wrong in (loop, folder):
        for words in (
            ["map", f"fitted={wrong}", f"image={image}", f"out={tmp_path / 'a.tif'}"],
            ["map", f"fitted={run}", f"image={image}", f"out={wrong / 'b.tif'}", f"aoi={wrong}"],
            ["page", str(wrong)],
            ["areas", str(wrong)],
            ["runs", "list", "--folder", str(wrong)],
            ["run", f"config={wrong}"],
            ["label", f"registry={wrong}", f"image={image}", f"output={tmp_path / 'c'}"],
        ):
            assert main(words) == (0 if words[0] == "runs" and wrong == folder else 1), words
            err = capsys.readouterr().err
            assert "Traceback" not in err
            assert len(err.strip().splitlines()) <= 3, (words, err)


def test_links_in_a_circle_in_the_cache(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MAPSR_CACHE", str(tmp_path))
    for name in ("tokens", "a"):
        (tmp_path / name).symlink_to(tmp_path / name)
    assert main(["cache", "info"]) in (0, 1)
    assert "Traceback" not in capsys.readouterr().err


DEEP = "a: " + "[" * 500 + "]" * 500 + "\n"


def test_yaml_nested_without_end_is_a_sentence(run, image, tmp_path, capsys):
    deep = tmp_path / "deep.yaml"
    deep.write_text(DEEP * 4)
    for words in (
        ["run", f"config={run}/config.yaml", f"legend.coarse={deep}", f"output={tmp_path}/r"],
        ["label", f"registry={deep}", f"image={image}", f"output={tmp_path / 'c'}"],
        [
            "map",
            f"image={image}",
            f"coarse={image}",
            f"legend.coarse={deep}",
            f"out={tmp_path}/m.tif",
        ],
    ):
        assert main(words) == 1, words
        err = capsys.readouterr().err
        assert str(deep) in err, words
        assert "Traceback" not in err


@pytest.mark.parametrize("file", ["config.yaml", "record.json", "fitted.safetensors"])
def test_a_damaged_run_folder_was_a_trace(run, image, tmp_path, capsys, file):
    damaged = tmp_path / "run"
    shutil.copytree(run, damaged)
    for content in (b"", b"\x00\xff" * 200, b"[]", b"{" * 3000):
        (damaged / file).write_bytes(content)
        for words, wants in (
            (["map", f"fitted={damaged}", f"image={image}", f"out={tmp_path}/a.tif"], "fitted."),
            (["page", str(damaged)], "config."),
            (["runs", "list", "--folder", str(tmp_path)], ""),
            (["run", f"config={damaged / 'config.yaml'}"], "config."),
        ):
            if wants and not file.startswith(wants):
                continue
            assert main(words) == (1 if wants else 0), (words, content[:9])
            streams = capsys.readouterr()
            assert "is a fault of mapsr" not in streams.err, words
            assert str(damaged) in streams.err + streams.out, words


def test_a_device_that_is_not_there_is_refused_before_the_work(capsys):
    with pytest.raises(SystemExit) as raised:
        main(["bench", "upsample", "--device", "x"])
    assert raised.value.code == 2
    assert "'x'" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_run_folder_is_a_sentence(run, image, tmp_path, capsys):
    closed = tmp_path / "run"
    shutil.copytree(run, closed)
    closed.chmod(0)
    try:
        assert mapped(closed, image, tmp_path / "a.tif") == 1
        assert "Permission denied" in capsys.readouterr().err
    finally:
        closed.chmod(0o700)


def test_no_secret_of_the_environment_is_in_a_record(run):
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        content = path.read_bytes()
        assert not [name for name, value in SECRETS.items() if value.encode() in content], path
