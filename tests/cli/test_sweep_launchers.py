"""Sweeps whose cells run in processes of their own, and sweeps that meet."""

import json
import subprocess
import sys

import pytest

COMMAND = (
    *(sys.executable, "-m", "mapsr", "run", "-m"),
    *("data=geotiff", "data.image=*/{scene}_naip.tif", "data.coarse=*/{scene}_nlcd_30m.tif"),
    *("data.truth=*/{scene}_cclc.tif", "data.fit=train/*", "data.score=val/*"),
    *("prompts.pixels=1000", "prompts.epochs=2", "upsampler=nearest", "refine=none"),
    "logger=none",
)
TIMEOUT_S = 400


def start(folder, *overrides):
    return subprocess.Popen(
        [*COMMAND, *overrides],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def records(folder):
    found = folder.glob("outputs/sweeps/*/sweep.json")
    return [json.loads(path.read_text()) for path in found]


def metrics(folder):
    """The metrics of all finished runs, by folder name, without how long they took."""
    read = {}
    for path in folder.glob("outputs/runs/*/metrics.json"):
        read[path.parent.name] = json.loads(path.read_text())
        read[path.parent.name].pop("seconds")
    return read


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
        pytest.param(
            ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"),
            marks=pytest.mark.soak,
        ),
    ],
    ids=["joblib", "submitit"],
)
def test_cells_in_processes_of_their_own(scene_folder, tmp_path, launcher):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    overrides = (f"data.root={scene_folder}", "seed=0,1,-1", *launcher)
    process = start(tmp_path, *overrides)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1, err
    [record] = records(tmp_path)
    cells = record["cells"]
    assert [cell["state"] for cell in cells] == ["done", "done", "failed"], err
    assert cells[2]["error"].startswith("seed is -1")
    assert record["error"] is None
    assert [line.split()[0] for line in out.splitlines()] == [
        *("cell", "seed=0", "seed=1", "seed=-1", "seed=-1:", "sweep"),
    ]
    logs = [(tmp_path / cell["folder"] / "log.txt").read_text() for cell in cells[:2]]
    assert all("INFO mIoU" in log for log in logs)
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}


@pytest.mark.soak
def test_sweeps_that_meet_leave_whole_runs(scene_folder, tmp_path):
    root = f"data.root={scene_folder}"
    processes = [start(tmp_path, root, seeds) for seeds in ("seed=0,1", "seed=1,0", "seed=0,1")]
    said = [process.communicate(timeout=TIMEOUT_S) for process in processes]
    # whoever was second found a cell or the sweep taken, or done
    for process, (_, err) in zip(processes, said, strict=True):
        assert process.returncode == 0 or "another process (pid " in err, err
    met = metrics(tmp_path)
    last = start(tmp_path, root, "seed=0,1")
    _, err = last.communicate(timeout=TIMEOUT_S)
    assert last.returncode == 0, err
    whole = metrics(tmp_path)
    assert len(whole) == 2
    assert whole | met == whole
    assert not list(tmp_path.glob("outputs/**/.lock"))
