import json

import pytest

from mapsr.errors import ConfigError
from mapsr.guard import Guard
from mapsr.locks import FolderLock
from mapsr.tracking.sweeps import SweepCell, SweepFolder

CELLS = [("seed=0",), ("seed=1",), ("seed=2",)]


def record(path):
    return json.loads((path / "sweep.json").read_text())


def test_reports_of_other_processes_are_gathered(tmp_path):
    path = tmp_path / "sweep"
    with SweepFolder(path).begin(CELLS) as sweep:
        assert [cell["state"] for cell in record(path)["cells"]] == ["open"] * 3
        done = SweepCell(CELLS[2], "done", "runs/a", 0.5, 0.75, 1.25)
        SweepFolder(path).report(2, done)  # as another process does
        SweepFolder(path).report(0, SweepCell(CELLS[0], "failed", error="Why.", trace="where"))
        assert SweepFolder(path).planned() == CELLS
        assert sweep.cells()[2] == done
    kept = record(path)
    assert (kept["version"], kept["name"], kept["error"]) == (1, "sweep", None)
    assert [cell["state"] for cell in kept["cells"]] == ["failed", "open", "done"]
    assert kept["cells"][2]["overrides"] == ["seed=2"]
    assert kept["started"] <= kept["finished"]


def test_a_sweep_that_begins_again_forgets_the_reports_before(tmp_path):
    with SweepFolder(tmp_path).begin(CELLS) as sweep:
        sweep.report(0, SweepCell(CELLS[0], "failed"))
    with SweepFolder(tmp_path).begin(CELLS[:2]) as sweep:
        assert [cell.state for cell in sweep.cells()] == ["open", "open"]


def test_an_error_leaves_a_record_that_is_not_finished(tmp_path):
    with pytest.raises(KeyboardInterrupt), SweepFolder(tmp_path).begin(CELLS) as sweep:
        sweep.report(0, SweepCell(CELLS[0], "done"))
        raise KeyboardInterrupt
    assert record(tmp_path)["finished"] is None
    assert [cell["state"] for cell in record(tmp_path)["cells"]] == ["done", "open", "open"]
    FolderLock(tmp_path).acquire()  # it was let go


def test_one_process_at_a_time_runs_a_sweep(tmp_path):
    said = r"another process \(pid \d+ on .+\) is working on"
    with SweepFolder(tmp_path).begin(CELLS), pytest.raises(ConfigError, match=said):
        SweepFolder(tmp_path).begin(CELLS)
    SweepFolder(tmp_path).begin(CELLS)


def test_a_file_in_place_of_the_sweeps_folder(tmp_path):
    (tmp_path / "sweep").touch()
    with pytest.raises(ConfigError, match=r"can't make the sweep's folder .*hydra\.sweep\.dir="):
        SweepFolder(tmp_path / "sweep").begin(CELLS)


def test_a_guard_keeps_errors_and_lets_interrupts_pass():
    with (guard := Guard()):
        pass
    assert (guard.error, guard.trace) == (None, None)
    with (guard := Guard()):
        raise ConfigError("The cat is no raster.")
    assert guard.error == "The cat is no raster."
    assert "test_sweep_folder.py" in guard.trace
    with (guard := Guard()):
        raise KeyError("a bug")
    assert guard.error == "KeyError: 'a bug'"
    for passing in (KeyboardInterrupt, SystemExit):
        with pytest.raises(passing), Guard():
            raise passing


def test_a_lock_whose_owner_can_not_be_read_is_a_lock(tmp_path):
    held = FolderLock(tmp_path)
    held.acquire()
    (tmp_path / ".lock").write_text("")
    with pytest.raises(ConfigError, match=r"^another process is working on '"):
        FolderLock(tmp_path).acquire()
    held.release()
    held.release()  # nothing is held any more
    assert not list(tmp_path.iterdir())
