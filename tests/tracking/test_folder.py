import csv
import json
import logging
import subprocess
import sys

import numpy as np
import pytest

from mapsr.errors import ConfigError
from mapsr.evaluation.confusion import Confusion
from mapsr.tracking import RunFolder, fingerprint_hash, finished_metrics, read_config

SCIENCE = {"seed": 0, "refine": {"kind": "paper", "alpha": 0.5}, "layers": (1, 2)}
CONFIG = {**SCIENCE, "device": "cpu", "nothing": None}
OTHER = {"seed": 0, "refine": {"kind": "paper", "alpha": 0.25}, "layers": (1, 2)}
# takes the folder in a process of its own, says so, and waits to be told to go on
HOLDER = """
import sys
from pathlib import Path
from mapsr.tracking.folder import RunFolder
science = {"seed": 0}
with RunFolder.open(Path(sys.argv[1]), science, science) as folder:
    print("held", flush=True)
    sys.stdin.readline()
    folder.write_metrics({"miou": 0.5, "oa": 0.5})
"""


def run(path, config=CONFIG, science=SCIENCE, metrics=None, overwrite=False):
    """Do a run that finishes if it has metrics; return its folder."""
    with RunFolder.open(path, config, science, overwrite) as folder:
        if metrics is not None:
            folder.write_metrics(metrics)
    return folder


@pytest.fixture
def holder(tmp_path):
    """Another process that works in tmp_path / "run"."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_config_is_there_at_once_and_comes_back(tmp_path):
    folder = RunFolder.open(tmp_path / "a" / "run", CONFIG, SCIENCE)
    assert read_config(folder.path) == {**CONFIG, "layers": [1, 2]}
    assert (folder.path / "config.yaml").read_text().startswith("version: 1\n")
    assert not folder.finished
    assert (folder.maps, folder.figures) == (folder.path / "maps", folder.path / "figures")


def test_metrics_alone_mark_the_end_and_go_first(tmp_path):
    with RunFolder.open(tmp_path, CONFIG, SCIENCE) as folder:
        folder.write_record({"seeds": {"all": 0}})
        assert not folder.finished
        folder.write_metrics({"miou": 0.5, "oa": 0.5})
    assert folder.finished
    again = RunFolder.open(tmp_path, {**CONFIG, "device": "cuda"}, SCIENCE)
    assert not again.finished
    assert (tmp_path / "record.json").exists()
    assert read_config(tmp_path)["device"] == "cuda"


def test_a_run_that_came_to_nothing_goes_on_with_repaired_data(tmp_path):
    repaired = {**SCIENCE, "inputs": "repaired"}
    RunFolder.open(tmp_path / "bare", CONFIG, {**SCIENCE, "inputs": "bad"}).__exit__(*3 * [None])
    assert finished_metrics(tmp_path / "bare", repaired) is None
    RunFolder.open(tmp_path / "bare", CONFIG, repaired).__exit__(*3 * [None])
    # what a training has learned from other data is never gone on with
    (tmp_path / "bare" / "checkpoints").mkdir()
    with pytest.raises(ConfigError, match="inputs is again, was repaired"):
        RunFolder.open(tmp_path / "bare", CONFIG, {**SCIENCE, "inputs": "again"})


def test_the_order_of_keys_is_no_setting(tmp_path):
    assert fingerprint_hash(SCIENCE) == fingerprint_hash(dict(reversed(SCIENCE.items())))
    assert fingerprint_hash(SCIENCE) != fingerprint_hash(OTHER)
    run(tmp_path)
    run(tmp_path, science=dict(reversed(SCIENCE.items())))


def test_other_science_is_refused_by_its_first_key(tmp_path):
    run(tmp_path, metrics={"miou": 0.5, "oa": 0.5})
    with pytest.raises(ConfigError, match=r"refine\.alpha is 0\.25, was 0\.5.*overwrite"):
        RunFolder.open(tmp_path, OTHER, OTHER)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"miou": 0.5, "oa": 0.5}
    assert read_config(tmp_path)["refine"] == {"kind": "paper", "alpha": 0.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"refine": {"kind": "none"}}, "refine.kind is none, was paper"),
        ({"window": 448}, "window is 448, was unset"),
    ],
)
def test_a_setting_that_came_or_went_is_named(tmp_path, change, message):
    run(tmp_path)
    with pytest.raises(ConfigError, match=message):
        RunFolder.open(tmp_path, CONFIG, SCIENCE | change)


def test_a_setting_that_is_gone_is_named(tmp_path):
    run(tmp_path)
    with pytest.raises(ConfigError, match="seed is unset, was 0"):
        RunFolder.open(tmp_path, CONFIG, {k: v for k, v in SCIENCE.items() if k != "seed"})


MADE = (
    *("metrics.json", "confusion.csv", "record.json", "failed.json", "logs.csv"),
    *("fitted.safetensors", "prompts.safetensors", "maps/a.tif"),
    *("figures/a.png", "wandb/run", "tensorboard/events", "checkpoints/last.ckpt"),
)


def fill(path):
    """Leave what runs make, and something of the user's own."""
    run(path)
    for name in (*MADE, "notes.txt"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).touch()


@pytest.mark.parametrize("science", [SCIENCE, OTHER], ids=["same", "other"])
def test_overwrite_gives_up_what_the_earlier_run_made_and_nothing_else(tmp_path, science):
    fill(tmp_path)
    run(tmp_path, science, science, overwrite=True)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["config.yaml", "log.txt", "notes.txt"]
    assert read_config(tmp_path)["refine"] == science["refine"]


def test_an_unfinished_run_finds_its_checkpoints_again(tmp_path):
    fill(tmp_path)
    (tmp_path / "metrics.json").unlink()
    run(tmp_path)
    assert (tmp_path / "checkpoints/last.ckpt").exists()
    assert (tmp_path / "maps/a.tif").exists()


def test_a_finished_run_is_done_anew_from_the_beginning(tmp_path):
    fill(tmp_path)
    run(tmp_path)
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "metrics.json").exists()


def test_metrics_of_a_finished_run_of_the_same_science(tmp_path):
    path = tmp_path / "run"
    assert finished_metrics(path, SCIENCE) is None
    path.mkdir()
    assert finished_metrics(path, SCIENCE) is None
    run(path)
    assert finished_metrics(path, SCIENCE) is None
    run(path, metrics={"miou": 0.5, "oa": 0.5})
    assert finished_metrics(path, SCIENCE) == {"miou": 0.5, "oa": 0.5}
    assert finished_metrics(path, json.loads(json.dumps(SCIENCE))) == {"miou": 0.5, "oa": 0.5}
    with pytest.raises(ConfigError, match=r"refine\.alpha is 0\.25, was 0\.5"):
        finished_metrics(path, OTHER)
    (path / "metrics.json").write_text('{"miou": 0.')
    with pytest.raises(ConfigError, match=r"metrics\.json' is damaged .*remove it"):
        finished_metrics(path, SCIENCE)
    (path / "config.yaml").write_text("version: 7\n")
    with pytest.raises(ConfigError, match="has version 7, expected 1"):
        finished_metrics(path, SCIENCE)


def test_metrics_are_not_looked_for_among_foreign_files(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="holds files that no run of mapsr made"):
        finished_metrics(tmp_path, SCIENCE)
    assert finished_metrics(tmp_path / "thesis.txt", SCIENCE) is None  # opening it will say


def test_a_folder_is_held_by_one_process(tmp_path, holder):
    path, science = tmp_path / "run", {"seed": 0}
    before = (path / "config.yaml").read_bytes()
    said = rf"another process \(pid {holder.pid} on .+\) is working on '.*run'"
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=said):
            RunFolder.open(path, {"seed": 1}, {"seed": 1}, overwrite)
    assert (path / "config.yaml").read_bytes() == before
    assert finished_metrics(path, science) is None
    holder.communicate("go on\n")
    assert holder.returncode == 0
    assert finished_metrics(path, science) == {"miou": 0.5, "oa": 0.5}
    assert not (path / ".lock").exists()
    run(path, science, science)


def test_a_killed_process_holds_nothing(tmp_path, holder):
    path, science = tmp_path / "run", {"seed": 0}
    holder.kill()
    holder.wait()
    assert (path / ".lock").exists()
    run(path, science, science, metrics={"miou": 0.25, "oa": 0.5})
    assert finished_metrics(path, science) == {"miou": 0.25, "oa": 0.5}


def test_a_kill_before_the_configuration_leaves_a_folder_that_can_be_used(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / ".config-x1.yaml").touch()
    assert finished_metrics(tmp_path, SCIENCE) is None
    run(tmp_path)
    assert read_config(tmp_path)["seed"] == 0


def test_a_refusal_lets_the_folder_go(tmp_path):
    run(tmp_path)
    for _ in range(2):
        with pytest.raises(ConfigError, match="other settings"):
            RunFolder.open(tmp_path, OTHER, OTHER)
    run(tmp_path)


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds files that no run of mapsr made"):
        RunFolder.open(tmp_path, CONFIG, SCIENCE, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(ConfigError, match=r"can't make the run folder '.*run'.*choose another"):
        RunFolder.open(tmp_path / "run", CONFIG, SCIENCE)


@pytest.mark.parametrize("document", ["version: 2\nseed: 0\n", "seed: 0\n", "just words\n"])
def test_another_version_is_refused(tmp_path, document):
    (tmp_path / "config.yaml").write_text(document)
    with pytest.raises(ConfigError, match=r"config\.yaml' has version (2|None), expected 1"):
        RunFolder.open(tmp_path, CONFIG, SCIENCE)


@pytest.mark.parametrize("content", [None, b"a: [1,", b"\xff\xfe\x00"])
def test_a_folder_without_a_readable_run_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match="does not hold a readable run"):
        read_config(tmp_path)


def test_log_holds_what_the_package_says_during_the_run(tmp_path):
    logger = logging.getLogger("mapsr.somewhere")
    before = list(logging.getLogger("mapsr").handlers)
    folder = RunFolder.open(tmp_path, CONFIG, SCIENCE)
    with folder:
        logger.warning("inside")
    logger.warning("after")
    text = folder.log.read_text()
    assert "WARNING inside" in text
    assert "after" not in text
    assert logging.getLogger("mapsr").handlers == before


def test_a_failure_is_recorded_until_a_later_success(tmp_path):
    folder = RunFolder.open(tmp_path, CONFIG, SCIENCE)
    with pytest.raises(ZeroDivisionError), folder:
        1 / 0  # noqa: B018
    failure = json.loads((tmp_path / "failed.json").read_text())
    assert failure["error"] == "ZeroDivisionError: division by zero"
    assert "test_folder.py" in failure["trace"]
    assert not folder.finished
    with RunFolder.open(tmp_path, CONFIG, SCIENCE) as again:
        again.write_metrics({"miou": 1.0, "oa": 1.0})
    assert not (tmp_path / "failed.json").exists()
    assert again.finished


def test_confusion_is_a_long_table_with_quoted_names(tmp_path):
    folder = RunFolder.open(tmp_path, CONFIG, SCIENCE)
    scenes = {"a, b": Confusion(np.array([[5, 1, 0], [2, 7, 3]])), "c": Confusion.zeros(2)}
    folder.write_confusion(scenes, ("water", "trees"))
    with (tmp_path / "confusion.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["scene", "truth", "predicted", "pixels"]
    assert len(rows) == 12
    assert rows[5] == {"scene": "a, b", "truth": "trees", "predicted": "nodata", "pixels": "3"}
    assert [row["pixels"] for row in rows[:6]] == ["5", "1", "0", "2", "7", "3"]


def test_metrics_that_are_no_json_leave_the_run_unfinished(tmp_path):
    folder = RunFolder.open(tmp_path, CONFIG, SCIENCE)
    with pytest.raises(ValueError, match="not JSON compliant"), folder:
        folder.write_metrics({"miou": float("nan")})
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["config.yaml", "failed.json", "log.txt"]
