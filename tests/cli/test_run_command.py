"""`mapsr run` from end to end, on landscapes and scenes that are small."""

import csv
import json
import shutil

import numpy as np
import pytest
import rasterio
import stand_ins  # noqa: F401 - one thread
from make_scenes import HEIGHT, WIDTH, make_scene_folder

from mapsr.cli.main import main
from mapsr.geo import read_grid, write_raster
from mapsr.legends import load_legend

NAMES = load_legend("chesapeake4").names
DRAWN = (
    "data.height=240",
    "data.width=272",
    "data.fit_scenes=1",
    "data.score_scenes=1",
    "prompts.pixels=4096",
    "prompts.epochs=4",
    "logger=none",
)
FOUND = (
    "data=geotiff",
    "data.image=*/{scene}_naip.tif",
    "data.coarse=*/{scene}_nlcd_30m.tif",
    "data.truth=*/{scene}_cclc.tif",
    "data.fit=train/*",
    "data.score=val/*",
    "prompts.pixels=1000",
    "prompts.epochs=2",
    "upsampler=nearest",
    "refine=none",
    "logger=none",
)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def without_seconds(folder):
    return {key: value for key, value in metrics_of(folder).items() if key != "seconds"}


def labels_of(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The run folder of the default method on drawn scenes."""
    output = tmp_path_factory.mktemp("drawn") / "run"
    assert main(["run", *DRAWN, f"output={output}"]) == 0
    return output


@pytest.fixture(scope="module")
def three_bands(tmp_path_factory):
    """The miniature data set without near infrared."""
    root = make_scene_folder(tmp_path_factory.mktemp("three") / "scenes")
    for path in root.glob("*/*_naip.tif"):
        with rasterio.open(path) as dataset:
            values = dataset.read()[:3]
        write_raster(path, values, read_grid(path))
    return root


def test_a_run_leaves_a_whole_folder(drawn):
    names = {path.relative_to(drawn).as_posix() for path in drawn.rglob("*") if path.is_file()}
    assert names >= {
        "config.yaml",
        "record.json",
        "metrics.json",
        "confusion.csv",
        "fitted.safetensors",
        "log.txt",
        "maps/score_0.tif",
        "figures/score_0.png",
    }
    assert "failed.json" not in names
    assert not [name for name in names if "/." in f"/{name}"]


def test_the_map_lies_on_the_image_and_has_a_class_everywhere(drawn):
    image, result = drawn / "scenes/score_0/image.tif", drawn / "maps/score_0.tif"
    assert read_grid(result) == read_grid(image)
    with rasterio.open(result) as dataset:
        assert (dataset.nodata, dataset.dtypes) == (255, ("uint8",))
        palette = dataset.colormap(1)
        assert [palette[index][:3] for index in range(4)] == list(load_legend("chesapeake4").colors)
        assert dataset.tags()["MAPSR_CROSSWALK"] == "paraformer"
        assert set(np.unique(dataset.read(1))) <= {0, 1, 2, 3}


def test_metrics_have_their_keys(drawn):
    metrics = metrics_of(drawn)
    for scores in (metrics, metrics["coarse"], metrics["probe"]):
        assert 0 < scores["miou"] <= 1 and 0 < scores["oa"] <= 1
        assert tuple(scores["iou"]) == NAMES
    assert metrics["miou"] == pytest.approx(np.mean(list(metrics["iou"].values())))
    assert metrics["miou"] > metrics["coarse"]["miou"]
    assert metrics["trained_parameters"] == 4 * 256
    assert {"total", "fit", "map", "encode", "upsample", "refine"} <= set(metrics["seconds"])
    assert metrics["intervals"] is None  # of one scene there is no spread
    assert metrics["crosswalk"] == "paraformer"
    assert metrics["transductive"] is False


def test_the_confusion_is_that_of_map_and_metrics(drawn):
    with (drawn / "confusion.csv").open() as file:
        rows = list(csv.DictReader(file))
    pixels = sum(int(row["pixels"]) for row in rows)
    right = sum(int(row["pixels"]) for row in rows if row["truth"] == row["predicted"])
    assert pixels == 240 * 272
    assert metrics_of(drawn)["oa"] == pytest.approx(right / pixels)


def test_the_record_says_how_it_was_done(drawn):
    record = json.loads((drawn / "record.json").read_text())
    assert record["scenes"] == {"fit": ["fit_0"], "score": ["score_0"]}
    assert record["prompts_from"] == "coarse"
    assert set(record["prompt_pixels"]) == set(NAMES)
    assert record["unknown_codes"] == {}
    assert len(record["inputs"]) == 6
    assert record["crosswalk"]["name"] == "paraformer"


def test_the_same_seed_gives_the_same_numbers(drawn, tmp_path):
    output = tmp_path / "again"
    assert main(["run", *DRAWN, f"output={output}"]) == 0
    assert without_seconds(output) == without_seconds(drawn)
    assert (labels_of(output / "maps/score_0.tif") == labels_of(drawn / "maps/score_0.tif")).all()


def test_other_settings_do_not_mix_into_a_folder(drawn, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(drawn, copy)
    assert main(["run", *DRAWN, f"output={copy}", "refine=none"]) == 1
    error = capsys.readouterr().err
    assert "refine.nodes is none, was superpixels" in error
    assert "overwrite=true" in error
    assert metrics_of(copy) == metrics_of(drawn)


def test_scores_are_printed(scene_folder, tmp_path, capsys):
    assert main(["run", *FOUND, f"data.root={scene_folder}", f"output={tmp_path / 'run'}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["mIoU", "map", "probe", "coarse", "results"]
    miou = metrics_of(tmp_path / "run")["miou"]
    assert lines[1].split()[1] == f"{miou:.3f}"


@pytest.mark.parametrize(
    "overrides",
    [
        ("upsampler=bilinear",),
        ("upsampler=bilateral", "refine=released", "refine.segments=1500"),
        ("prompts=released",),
        ("prompts.through=operator",),
        ("refine=paper", "refine.segments=1500"),
        ("refine=pixels",),
        ("legend=mapsr",),
        ("legend=robinson",),
        ("compute.batch=2", "windows.chip=48", "windows.overlap=8"),
    ],
    ids=" ".join,
)
def test_each_preset_runs(scene_folder, tmp_path, overrides):
    output = tmp_path / "run"
    command = ["run", *FOUND, f"data.root={scene_folder}", f"output={output}", *overrides]
    assert main(command) == 0
    metrics = metrics_of(output)
    assert metrics["miou"] > 0.3
    assert labels_of(output / "maps/village.tif").shape == (HEIGHT, WIDTH)
    if overrides[0].startswith("legend="):
        assert metrics["crosswalk"] == overrides[0].partition("=")[2]


def test_a_batch_changes_nothing_but_the_time(scene_folder, tmp_path):
    maps = []
    for batch in (1, 3):
        output = tmp_path / str(batch)
        command = [f"data.root={scene_folder}", f"output={output}", f"compute.batch={batch}"]
        assert main(["run", *FOUND, *command, "windows.chip=48", "windows.overlap=8"]) == 0
        maps.append(labels_of(output / "maps/village.tif"))
    assert (maps[0] == maps[1]).mean() > 0.999


def test_prompts_from_truth_train_nothing(scene_folder, tmp_path):
    own = [one for one in FOUND if not one.startswith("prompts.")]
    output = tmp_path / "run"
    own += ["prompts=truth", "seed=1"]  # the seed says which scene gives its truth
    command = ["run", *own, f"data.root={scene_folder}", f"output={output}"]
    assert main(command) == 0
    metrics = metrics_of(output)
    assert metrics["trained_parameters"] == 0
    assert metrics["probe"]["miou"] is None
    assert metrics["miou"] > 0.5


def test_imagery_of_three_bands(three_bands, tmp_path):
    output = tmp_path / "run"
    assert main(["run", *FOUND, f"data.root={three_bands}", f"output={output}"]) == 0
    assert metrics_of(output)["miou"] > 0.3


def test_scenes_listed_in_a_table(scene_folder, tmp_path):
    table = tmp_path / "scenes.csv"
    rows = [
        [scene_folder / part / f"{name}_{kind}.tif" for kind in ("naip", "nlcd_30m", "cclc")]
        for part, name in (("train", "field"), ("train", "wood"), ("val", "village"))
    ]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["image_fn", "label_fn", "truth_fn"], *rows])
    kept = [one for one in FOUND if not one.startswith("data.")]
    output = tmp_path / "run"
    command = [*kept, "data.table=scenes.csv", "data.fit=*train*", "data.score=*val*"]
    assert main(["run", *command, f"data.root={tmp_path}", f"output={output}"]) == 0
    assert (output / "maps/village_naip.tif").is_file()


def test_fitting_on_scored_scenes_must_be_said(scene_folder, tmp_path, capsys):
    output = tmp_path / "run"
    command = ["run", *FOUND, f"data.root={scene_folder}", f"output={output}", "data.fit=null"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "village_naip.tif is both fitted on and scored: set transductive=true" in error
    assert not (output / "metrics.json").exists()
    assert main([*command, "transductive=true", "overwrite=true"]) == 0
    assert metrics_of(output)["transductive"] is True


def test_truth_of_a_scored_scene_never_reaches_the_prompts(scene_folder, tmp_path, capsys):
    own = [one for one in FOUND if not one.startswith("prompts.")]
    command = ["run", *own, "prompts=truth", f"data.root={scene_folder}", "data.fit=null"]
    assert main([*command, f"output={tmp_path / 'run'}", "transductive=true"]) == 1
    assert "would give its truth to the method and be scored with it" in capsys.readouterr().err


def test_scenes_without_truth_are_mapped_and_not_scored(scene_folder, tmp_path, capsys):
    output = tmp_path / "run"
    command = [f"data.root={scene_folder}", f"output={output}", "data.truth=null"]
    assert main(["run", *FOUND, *command]) == 0
    metrics = metrics_of(output)
    assert metrics["miou"] is None and metrics["probe"]["miou"] is None
    assert labels_of(output / "maps/village.tif").shape == (HEIGHT, WIDTH)
    assert capsys.readouterr().out.startswith("no truth: nothing was scored")


def test_the_mirror_is_offline_and_inside_the_run_folder(scene_folder, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "run"
    command = ["run", *FOUND, "logger=wandb", f"data.root={scene_folder}", f"output={output}"]
    assert main(command) == 0
    assert list(output.glob("wandb/offline-run-*/run-*.wandb"))
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
