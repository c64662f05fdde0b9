"""Runs are listed, compared, removed, and repeated from their record."""

import json
import shutil

import pytest
import stand_ins  # noqa: F401 - one thread
from make_maps import finished_run

from mapsr.cli.main import main
from mapsr.locks import FolderLock


@pytest.fixture(scope="module")
def root(scene_folder, tmp_path_factory):
    """A folder with a run, another that differs in prompts, and one that was killed."""
    root = tmp_path_factory.mktemp("runs")
    first = finished_run(scene_folder, root / "first")
    again = [f"config={first}/config.yaml", f"output={root}/second"]
    assert main(["run", *again, "prompts.epochs=5", "seed=3"]) == 0
    shutil.copytree(first, root / "deep" / "killed")
    (root / "deep" / "killed" / "metrics.json").unlink()
    (root / "other").mkdir()
    (root / "other" / "config.yaml").write_text("colour: blue\n")
    return root


def lines_of(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_run_is_repeated_from_its_record(root, capsys):
    first = root / "first"
    before = json.loads((first / "metrics.json").read_text())
    assert main(["run", f"config={first}/config.yaml"]) == 0
    assert "finished before" in capsys.readouterr().out
    assert main(["run", f"config={first}", f"output={root}/third"]) == 0
    after = json.loads((root / "third" / "metrics.json").read_text())
    assert {**after, "seconds": 0} == {**before, "seconds": 0}
    record = json.loads((root / "third" / "record.json").read_text())
    assert record["command"] == f"mapsr run config={first} output={root}/third"
    shutil.rmtree(root / "third")


def test_changes_of_a_record_are_checked(root, capsys):
    record = f"config={root}/first/config.yaml"
    assert main(["run", record, "refine=none", "prompts.epochs=7", "name=x", "--show"]) == 0
    shown = capsys.readouterr().out
    assert "epochs: 7" in shown and "name: x" in shown and "chip: 48" in shown
    wrong = {
        "prompts.epoch=1": "Did you mean 'epochs'?",
        "promts.epochs=1": "Unknown key",
        "seeed=1": "Did you mean 'seed'?",
        "method=kmeans_voting": "also sets",
        "network.pretrained=false": "has no network",
        "+a.b=1": "key=value",
        "prompts.epochs=many": "prompts.epochs",
    }
    for override, words in wrong.items():
        assert main(["run", record, override]) == 1, override
        assert words in capsys.readouterr().err, override
    assert main(["run", f"config={root}/other/config.yaml"]) == 1
    assert main(["run", "-m", record]) == 1
    assert "config= repeats one run" in capsys.readouterr().err


def test_runs_are_listed_and_filtered(root, capsys):
    assert main(["runs", "list", f"--folder={root}"]) == 0
    found = {line[0]: line[1] for line in lines_of(capsys)[1:]}
    names = {str(root / name) for name in ("first", "second", "deep/killed")}
    assert found == dict.fromkeys(names, "finished") | {f"{root}/deep/killed": "unfinished"}
    for words, left in (
        (["prompts.epochs=5"], ["second"]),
        (["state=finished", "seed=0"], ["first"]),
        (["method=mapsr", "transductive=false", "seed=9"], []),
    ):
        assert main(["runs", "list", f"--folder={root}", *words]) == 0
        assert [line[0] for line in lines_of(capsys)[1:]] == [f"{root}/{one}" for one in left]
    assert main(["runs", "list", f"--folder={root}", "promts.epochs=5"]) == 1
    assert "Did you mean 'prompts.epochs'?" in capsys.readouterr().err
    lock = FolderLock(root / "deep" / "killed")
    lock.acquire()
    try:
        assert main(["runs", "list", f"--folder={root}", "state=running"]) == 0
    finally:
        lock.release()
    assert len(lines_of(capsys)) == 2


def test_two_runs_are_compared(root, capsys):
    assert main(["runs", "compare", f"{root}/first", f"{root}/second"]) == 0
    lines = lines_of(capsys)
    assert ["prompts.epochs", "2", "5"] in lines and ["seed", "0", "3"] in lines
    assert not any(line and line[0] in ("output", "refine", "versions:") for line in lines)
    (miou,) = [line for line in lines if line[:1] == ["mIoU"]]
    scores = [
        json.loads((root / n / "metrics.json").read_text())["miou"] for n in ("first", "second")
    ]
    assert miou[1:] == [f"{scores[0]:.3f}", f"{scores[1]:.3f}", f"{scores[1] - scores[0]:+.3f}"]
    assert main(["runs", "compare", f"{root}/first", f"{root}/first"]) == 0
    assert "the same" in capsys.readouterr().out


def test_runs_alone_are_removed_and_only_when_told(root, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(root / "first", run)
    assert main(["runs", "remove", str(run)]) == 1
    assert run.exists()
    link = tmp_path / "link"
    link.symlink_to(run)
    for wrong in (root / "other", link):
        assert main(["runs", "remove", str(wrong), "--yes"]) == 1
    assert (root / "other" / "config.yaml").exists() and run.exists()
    assert main(["runs", "remove", str(run), str(tmp_path / "none"), "--yes"]) == 1
    assert run.exists()  # nothing is removed where one can't be
    lock = FolderLock(run)
    lock.acquire()
    assert main(["runs", "remove", str(run), "--yes"]) == 1
    lock.release()
    assert run.exists()
    capsys.readouterr()
    assert main(["runs", "remove", str(run), "--yes"]) == 0
    assert capsys.readouterr().out == f"removed {run}\n" and not run.exists()


@pytest.mark.parametrize("content", ["{", '{"miou": "x", "oa": 1}', "[]"])
def test_a_damaged_run_was_left_out_of_the_list(root, tmp_path, capsys, content):
    shutil.copytree(root / "first", tmp_path / "runs" / "torn")
    (tmp_path / "runs" / "torn" / "metrics.json").write_text(content)
    assert main(["runs", "list", f"--folder={tmp_path}/runs"]) == 0
    assert lines_of(capsys)[1][1] == "damaged"
    assert main(["page", str(tmp_path / "runs" / "torn")]) == 1
    assert "metrics.json' " in capsys.readouterr().err
