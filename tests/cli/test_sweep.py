"""`mapsr run -m`: what is done is skipped, what fails is recorded, the others go on."""

import contextlib
import json
import re

import pytest
import stand_ins  # noqa: F401 - one thread
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser

import mapsr.experiment
from mapsr.cli.compose import readable, session
from mapsr.cli.main import main
from mapsr.cli.sweep import labels, plan_sweep, table
from mapsr.locks import FolderLock
from mapsr.settings import plain
from mapsr.tracking import RunFolder
from mapsr.tracking.sweeps import SweepCell

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
    "logger=none",
)


def sweep(*overrides):
    return main(["run", "-m", *overrides])


def swept(folder):
    """The only sweep of a folder, as its record has it."""
    [record] = folder.glob("outputs/sweeps/*/sweep.json")
    return json.loads(record.read_text())


def states(folder):
    return [cell["state"] for cell in swept(folder)["cells"]]


class Experiments:
    """Stands in for experiments: finishes at once, or fails where it was told to."""

    def __init__(self):
        self.seen = []
        self.errors = {}

    def __call__(self, settings, progress):
        self.seen.append(settings)
        fingerprint = settings.fingerprint()
        path = settings.path(fingerprint)
        metrics = {"miou": 0.5 + settings.seed / 100, "oa": 0.75}
        with RunFolder.open(path, plain(settings), fingerprint, settings.overwrite) as folder:
            if settings.seed in self.errors:
                raise self.errors[settings.seed]
            folder.write_metrics(metrics)
        return path, metrics

    @property
    def seeds(self):
        return [settings.seed for settings in self.seen]


@pytest.fixture
def experiments(monkeypatch, tmp_path):
    """What is run from now on, in tmp_path."""
    stand_in = Experiments()
    monkeypatch.setattr(mapsr.experiment, "run_experiment", stand_in)
    monkeypatch.chdir(tmp_path)
    return stand_in


def test_each_cell_is_a_whole_run(scene_folder, tmp_path, capsys):
    command = (*FOUND, f"data.root={scene_folder}", "refine=none", "seed=0,1")
    with contextlib.chdir(tmp_path):
        assert sweep(*command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["cell", "seed=0", "seed=1", "sweep"]
    cells = swept(tmp_path)["cells"]
    for cell, line in zip(cells, lines[1:3], strict=True):
        metrics = json.loads((tmp_path / cell["folder"] / "metrics.json").read_text())
        assert (cell["miou"], cell["oa"]) == (metrics["miou"], metrics["oa"])
        assert line.split()[1:] == [
            *(f"{metrics['miou']:.3f}", f"{metrics['oa']:.3f}"),
            *("done", cell["folder"]),
        ]
    # Hydra leaves one file of its own, in the sweep's folder
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}
    [folder] = tmp_path.glob("outputs/sweeps/*")
    assert {path.name for path in folder.iterdir()} == {"sweep.json", "cells", "multirun.yaml"}


def test_what_is_done_is_skipped(experiments, tmp_path, capsys):
    assert sweep("seed=0,1", "refine=none") == 0
    assert experiments.seeds == [0, 1]
    assert states(tmp_path) == ["done", "done"]
    first = capsys.readouterr().out
    assert sweep("seed=0,1", "refine=none") == 0
    assert len(experiments.seen) == 2
    assert states(tmp_path) == ["skipped", "skipped"]
    again = capsys.readouterr().out
    assert [line.split() for line in again.splitlines()] == [
        line.replace("done", "skipped").split() for line in first.splitlines()
    ]
    assert sweep("refine=paper,none", "seed=1") == 0
    assert experiments.seeds == [0, 1, 1]


def test_device_workers_and_loggers_are_no_science(experiments, tmp_path):
    assert sweep("seed=0") == 0
    others = ("compute.device=cpu", "logger=none", f"weights_folder={tmp_path}", "cache=disk")
    assert sweep("seed=0", "engine.workers=3", *others) == 0
    assert experiments.seeds == [0]


def test_overwrite_runs_what_is_done(experiments):
    assert sweep("seed=0") == 0
    assert sweep("seed=0", "overwrite=true") == 0
    assert experiments.seeds == [0, 0]


def test_a_failed_cell_is_recorded_and_the_others_go_on(experiments, tmp_path, capsys):
    experiments.errors = {1: ZeroDivisionError("by nought")}
    assert sweep("seed=0,1,2") == 1
    record = swept(tmp_path)
    cells = record["cells"]
    assert [cell["state"] for cell in cells] == ["done", "failed", "done"]
    assert cells[1]["error"] == "ZeroDivisionError: by nought"
    assert "test_sweep.py" in cells[1]["trace"]
    failure = json.loads((tmp_path / cells[1]["folder"] / "failed.json").read_text())
    assert failure["error"] == "ZeroDivisionError: by nought"
    assert record["finished"] is not None
    assert capsys.readouterr().out.splitlines()[4] == "seed=1: ZeroDivisionError: by nought"
    experiments.errors = {}
    assert sweep("seed=0,1,2") == 0
    assert experiments.seeds == [0, 1, 2, 1]
    assert states(tmp_path) == ["skipped", "done", "skipped"]


def test_a_value_that_is_refused_fails_its_cell_alone(experiments, tmp_path):
    assert sweep("seed=0,-1,many") == 1
    cells = swept(tmp_path)["cells"]
    assert [cell["state"] for cell in cells] == ["done", "failed", "failed"]
    assert cells[1]["error"].startswith("seed is -1, expected")
    assert "seed: Value 'many'" in cells[2]["error"]
    assert cells[2]["folder"] is None


def test_an_interrupt_writes_what_is_known(experiments, tmp_path, capsys):
    experiments.errors = {1: KeyboardInterrupt()}
    assert sweep("seed=0,1,2") == 130
    assert states(tmp_path) == ["done", "open", "open"]
    assert swept(tmp_path)["finished"] is None
    assert capsys.readouterr().out.splitlines()[2].split() == ["seed=1", "-", "-", "open", "-"]
    experiments.errors = {}
    assert sweep("seed=0,1,2") == 0
    assert states(tmp_path) == ["skipped", "done", "done"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sead=1,2"], "Unknown key 'sead'. Did you mean 'seed'?"),
        (["refine=none,papr"], "refine=papr: expected one of none, paper, .*Did you mean 'paper'"),
        (["refine.segmets=10,20"], "Unknown key 'refine.segmets'.* 'refine.segments'?"),
        (["seed=interval(0,1)"], r"seed=interval\(0,1\) lists no values"),
        (["seed"], r"An override can't be read: .* \(expected key=value\)"),
        (["output=x", "seed=0,1"], r"output=x is one folder for several cells: .*s\$\{seed\}"),
        (["hydra/launcher=joblb"], "expected one of basic, joblib, .*Did you mean 'joblib'"),
        (["hydra.sweep.dri=x"], "Unknown key 'hydra.sweep.dri'. Did you mean 'hydra.sweep.dir'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_mistyped_fails_before_any_cell_runs(
    experiments, tmp_path, capsys, overrides, message
):
    assert sweep("name=a,b", *overrides) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(f"error: .*{message}.*\n", captured.err)
    assert experiments.seen == []
    assert list(tmp_path.iterdir()) == []


def test_a_launcher_that_is_not_installed(experiments, monkeypatch, capsys):
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], "joblib.yaml")
    assert sweep("seed=0,1", "hydra/launcher=joblib") == 1
    assert "needs a plugin: pip install 'mapsr[sweeps]'" in capsys.readouterr().err


def test_a_launcher_that_breaks_is_recorded(experiments, tmp_path, monkeypatch, capsys):
    def launch(overrides):
        raise OSError("no such queue")

    monkeypatch.setattr("mapsr.cli.sweep._launch", launch)
    assert sweep("seed=0,1") == 1
    assert (
        "error: the launcher stopped, jobs that it began may still run: OSError: no"
        in capsys.readouterr().err
    )
    record = swept(tmp_path)
    assert (record["error"], states(tmp_path)) == ("OSError: no such queue", ["open", "open"])
    assert "test_sweep.py" in record["trace"]


def test_a_run_that_another_process_works_on_is_left_to_it(experiments, tmp_path, capsys):
    assert sweep("seed=0,1") == 0
    folder = tmp_path / swept(tmp_path)["cells"][0]["folder"]
    (folder / "metrics.json").unlink()
    held = FolderLock(folder)
    held.acquire()
    assert sweep("seed=0,1") == 1
    assert states(tmp_path) == ["open", "skipped"]
    assert "another process (pid " in swept(tmp_path)["cells"][0]["error"]
    held.release()
    assert sweep("seed=0,1") == 0


def test_the_same_sweep_is_not_run_twice_at_once(experiments, tmp_path, capsys):
    assert sweep("seed=0,1") == 0
    [folder] = tmp_path.glob("outputs/sweeps/*")
    before = (folder / "sweep.json").read_bytes()
    held = FolderLock(folder)
    held.acquire()
    assert sweep("seed=0,1") == 1
    assert "is working on 'outputs/sweeps/" in capsys.readouterr().err
    assert (folder / "sweep.json").read_bytes() == before
    held.release()


def test_mirrors_are_grouped_by_the_sweep(experiments, tmp_path):
    assert sweep("seed=0", "logger=wandb,none") == 0
    [settings] = experiments.seen  # a logger is no science
    assert settings.logger.group == swept(tmp_path)["name"]
    assert sweep("seed=1", "logger.group=mine") == 0
    assert experiments.seen[1].logger.group == "mine"


def test_show_lists_the_cells_and_runs_none(experiments, tmp_path, capsys):
    assert main(["run", "-m", "--show", "seed=0,1", "name=a"]) == 0
    assert capsys.readouterr().out == "seed=0 name=a\nseed=1 name=a\n"
    assert list(tmp_path.iterdir()) == []


def test_a_comma_without_the_switch_is_explained(experiments, capsys):
    assert main(["run", "seed=0,1"]) == 1
    assert "seed=0,1 gives several values: only `mapsr run -m`" in capsys.readouterr().err
    assert main(["run", "name='a,b'", "--show"]) == 0


def test_hydra_is_set_as_its_users_know(experiments, tmp_path):
    assert sweep("hydra.sweep.dir=mine", "hydra.sweeper.max_batch_size=1", "seed=3,4") == 0
    assert experiments.seeds == [3, 4]
    record = json.loads((tmp_path / "mine/sweep.json").read_text())
    assert [cell["overrides"] for cell in record["cells"]] == [["seed=3"], ["seed=4"]]


def test_an_experiment_may_list_values(experiments, tmp_path, monkeypatch):
    store = ConfigStore.instance()
    monkeypatch.setitem(store.repo, "experiment", {})
    node = {"name": "listed", "hydra": {"sweeper": {"params": {"seed": "3,4"}}}}
    store.store(group="experiment", name="listed", node=node, package="_global_")
    assert sweep("experiment=listed") == 0
    assert experiments.seeds == [3, 4]
    cells = swept(tmp_path)["cells"]
    assert cells[0]["overrides"] == ["seed=3", "experiment=listed"]
    assert swept(tmp_path)["name"].startswith("listed-")


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=0,1", "refine=none,paper", "name=x"],
        ["seed=range(1,4)", "name='a,b',c"],
        ["refine=glob(p*)", "seed=1", "seed=2,3"],
        [],
    ],
    ids=" ".join,
)
def test_cells_are_those_of_the_basic_sweeper(overrides, experiments):
    with session():
        cells = plan_sweep(overrides).cells
        if any("glob" in one for one in overrides):
            assert {cell[0] for cell in cells} == {"refine=paper", "refine=pixels"}
            assert [cell[1] for cell in cells] == ["seed=2", "seed=3"] * 2
            return
        parsed = OverridesParser.create().parse_overrides(overrides)
    [batch] = BasicSweeper.split_arguments(parsed, None)
    assert cells == tuple(map(tuple, batch))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.image={scene}_a.tif,{scene}_b.tif", "data.image='{scene}_a.tif','{scene}_b.tif'"),
        ("data.image={a,b}.tif", "data.image='{a,b}.tif'"),
        ("seed=0,1", "seed=0,1"),
    ],
)
def test_patterns_are_quoted_one_by_one(override, expected):
    assert readable(override, sweep=True) == expected


def test_a_table_names_cells_by_what_differs():
    assert labels([("a=1", "b=2"), ("a=2", "b=2")]) == ["a=1", "a=2"]
    assert labels([("a=1", "b=2")]) == ["a=1 b=2"]
    assert labels([()]) == ["-"]
    cells = [
        SweepCell(("a=1",), "done", "x", 0.25, 0.5),
        SweepCell(("a=20",), "failed", error="Why."),
    ]
    assert table(cells) == [
        "cell    mIoU      OA  state   folder",
        "a=1    0.250   0.500  done    x",
        "a=20       -       -  failed  -",
        "a=20: Why.",
    ]
