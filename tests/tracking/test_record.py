import hashlib
import json
import os
import subprocess
import threading

import pytest

from mapsr.tracking import record as record_module
from mapsr.tracking.record import (
    Stopwatch,
    collect_record,
    fingerprint,
    git_state,
    peak_cuda_memory_mib,
    versions,
)


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(record_module.time, "perf_counter", lambda: now[0])
    return now


def test_stages_add_up(clock):
    watch = Stopwatch()
    with watch("encode"):
        clock[0] += 2
        with watch("read"):
            clock[0] += 1
    with watch("encode"):
        clock[0] += 4
    clock[0] += 0.5
    assert watch.seconds == {"encode": 7, "read": 1, "total": 7.5}


def test_a_stage_inside_itself_counts_once(clock):
    watch = Stopwatch()
    with watch("encode"), watch("encode"):
        clock[0] += 3
    assert watch.seconds["encode"] == 3


def test_a_stage_that_raises_counts(clock):
    watch = Stopwatch()
    with pytest.raises(KeyError), watch("read"):
        clock[0] += 2
        raise KeyError
    with watch("read"):
        clock[0] += 1
    assert watch.seconds["read"] == 3


def test_threads_add_up(clock):
    """Two threads in a stage for three seconds took six; neither ends the other's count."""
    watch = Stopwatch()
    inside, leave = threading.Barrier(3), threading.Event()

    def work():
        with watch("read"), watch("read"):
            inside.wait(timeout=10)
            assert leave.wait(timeout=10)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait(timeout=10)
    clock[0] += 3
    leave.set()
    for thread in threads:
        thread.join()
    assert watch.seconds == {"read": 6, "total": 3}


def test_record_is_complete_and_json(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"abc")
    watch = Stopwatch()
    with watch("fit"):
        pass
    record = collect_record(
        watch=watch,
        device="cpu",
        seeds={"data": 0, "probe": 1},
        weights=[{"name": "anyup_paper", "sha256": "0" * 64}],
        inputs=[tmp_path / "a.tif"],
        command=["mapsr", "run", "data.root=a b"],
    )
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["command"] == "mapsr run 'data.root=a b'"
    assert record["seeds"] == {"data": 0, "probe": 1}
    assert record["weights"] == [{"name": "anyup_paper", "sha256": "0" * 64}]
    assert record["inputs"][0]["size_bytes"] == 3
    assert set(record["seconds"]) == {"fit", "total"}
    assert record["cpus"] == os.cpu_count()
    assert record["started"].endswith("+00:00")


def test_fingerprint_is_of_the_content_alone(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"abc")
    two.write_bytes(b"abc")
    os.utime(two, (1, 1))
    assert fingerprint(one)["sha256"] == fingerprint(two)["sha256"]
    assert fingerprint(one) == {
        "path": str(one),
        "size_bytes": 3,
        "sha256": hashlib.sha256(b"abc").hexdigest(),
    }


def test_versions_name_what_computes():
    found = versions()
    assert found["mapsr"].count(".") == 2
    assert {"python", "torch", "numpy", "rasterio"} <= set(found)


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def test_git_state_tells_clean_from_dirty(tmp_path):
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None
    (tmp_path / "a").touch()
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "a")
    state = git_state(tmp_path)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "a").write_text("changed")
    assert git_state(tmp_path) == {"commit": state["commit"], "dirty": True}


def test_somebody_elses_checkout_around_an_installed_package_is_not_ours(tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "a")
    (tmp_path / "site-packages").mkdir()
    assert git_state(tmp_path / "site-packages") is None


def test_a_machine_without_git_has_no_state(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) is None


def test_no_gpu_memory_without_a_gpu(monkeypatch):
    monkeypatch.delitem(record_module.sys.modules, "torch", raising=False)
    assert peak_cuda_memory_mib() is None
