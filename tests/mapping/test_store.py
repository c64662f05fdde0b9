import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from stand_ins import uniform

from mapsr.errors import ConfigError, RasterError
from mapsr.geo import Window
from mapsr.mapping.blend import Seam, UnitResult
from mapsr.mapping.store import WorkFolder, file_states

ABOUT = {"windows": {"chip": 10, "overlap": 3}, "outputs": ("map_labels",), "inputs": {}}


def result():
    valid = uniform(1, 3, 5) < 0.5
    sums = {"map": uniform(2, 4, 3, 5), "probe": uniform(3, 4, 3, 5)}
    sums["map"][1] = float("-inf")
    inner = {
        "map_labels": np.array([[[0, 255], [2, 1]]], np.uint8),
        "map_confidence": np.array([[[0.25, np.nan], [np.inf, 1]]], np.float32),
    }
    seams = (Seam(Window(2, 0, 3, 5), valid, sums), Seam(Window(5, 1, 3, 5), ~valid, sums))
    return UnitResult(inner, seams)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "map.tif"


def test_what_is_saved_comes_back_to_the_last_bit(out):
    with WorkFolder(out) as work:
        assert work.open(ABOUT) == set()
        work.save(3, result())
        work.save(11, UnitResult({}, ()))
        back, empty = work.load(3), work.load(11)
    assert empty == UnitResult({}, ())
    for key, values in result().inner.items():
        assert back.inner[key].dtype == values.dtype
        np.testing.assert_array_equal(back.inner[key], values)
    for one, other in zip(back.seams, result().seams, strict=True):
        assert one.window == other.window
        assert one.valid.equal(other.valid)
        assert all(one.sums[layer].equal(sums) for layer, sums in other.sums.items())
    with WorkFolder(out) as again:
        assert again.open(ABOUT) == {3, 11}


def test_seams_keep_their_order(out):
    seams = tuple(
        Seam(
            Window(n, 0, 1, 1),
            torch.ones(1, 1, dtype=torch.bool),
            {"map": torch.full((1, 1, 1), n)},
        )
        for n in range(12)
    )
    with WorkFolder(out) as work:
        work.open(ABOUT)
        work.save(0, UnitResult({}, seams))
        assert [seam.window.row for seam in work.load(0).seams] == list(range(12))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_unit_is_named_and_removed(out, share):
    with WorkFolder(out) as work:
        work.open(ABOUT)
        work.save(0, result())
        work.save(1, result())
        path = work.path / "unit-00000001.npz"
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(RasterError, match=r"unit-00000001.npz is damaged .* was removed"):
            work.load(1)
    with WorkFolder(out) as work:
        assert work.open(ABOUT) == {0}


def test_a_flipped_bit_is_noticed(out):
    with WorkFolder(out) as work:
        work.open(ABOUT)
        work.save(0, result())
        path = work.path / "unit-00000000.npz"
        content = bytearray(path.read_bytes())
        content[content.index(b"NUMPY") + 128] ^= 4
        path.write_bytes(bytes(content))
        with pytest.raises(RasterError, match="is damaged"):
            work.load(0)


def test_leftovers_of_a_kill_are_removed(out):
    with WorkFolder(out) as work:
        work.open(ABOUT)
        work.save(0, result())
        (work.path / ".unit-00000001-xyz.npz").write_bytes(b"half")
        (work.path / ".map_labels.plain.tif").write_bytes(b"half")
    with WorkFolder(out) as work:
        assert work.open(ABOUT) == {0}
        assert sorted(path.name for path in work.path.iterdir()) == [
            ".lock",
            "job.json",
            "unit-00000000.npz",
        ]


def test_a_changed_setting_is_named(out):
    with WorkFolder(out) as work:
        work.open(ABOUT)
        work.save(0, result())
    changed = ABOUT | {"windows": {"chip": 12, "overlap": 3}}
    with pytest.raises(ConfigError, match=r"another map.tif: windows.chip is 12, was 10. Undo"):
        WorkFolder(out).open(changed)
    with WorkFolder(out) as work:  # refused, nothing lost
        assert work.open(ABOUT) == {0}


def test_restart_gives_up_what_is_there(out):
    for about in (ABOUT | {"seed": 2}, ABOUT | {"seed": 2}):
        with WorkFolder(out) as work:
            assert work.open(about, restart=True) == set()
            work.save(0, result())
    with WorkFolder(out) as work:
        assert work.open(ABOUT | {"seed": 2}) == {0}


def test_a_kill_before_the_first_unit_hinders_nobody(out):
    work = WorkFolder(out)
    work.path.mkdir()
    (work.path / "job.json").write_text('{"windo')
    assert work.open(ABOUT) == set()
    work.close()
    assert not work.path.exists()


def test_a_folder_is_locked_until_it_is_empty(out, monkeypatch):
    work = WorkFolder(out)
    work.open(ABOUT)
    work.save(3, result())
    release, left = work._lock.release, []

    def seen():
        left.extend(path.name for path in work.path.iterdir())
        release()

    monkeypatch.setattr(work._lock, "release", seen)
    work.remove()
    # another process that waits for it must not find half a folder, nor a lock that is gone
    assert left == [".lock"]
    assert not work.path.exists()


def test_removed_folders_leave_nothing(out):
    with WorkFolder(out) as work:
        work.open(ABOUT)
        work.save(0, result())
        work.remove()
    assert list(out.parent.iterdir()) == []


def test_another_process_is_refused(out):
    """A real process holds the lock; when it dies the folder is free at once."""
    code = (
        "import sys, filelock, pathlib; "
        "lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); sys.stdin.read()"
    )
    work = WorkFolder(out)
    work.path.mkdir()
    command = [sys.executable, "-c", code, str(work.path / ".lock")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=r"another process.* is working on .*map.tif"):
            work.open(ABOUT)
        work.close()
        assert work.path.is_dir()  # the other's
        other.kill()
        other.wait()
    with WorkFolder(out) as free:
        assert free.open(ABOUT) == set()


def test_another_thread_is_refused_too(out):
    with WorkFolder(out) as work:
        work.open(ABOUT)
        found = []

        def attempt():
            try:
                WorkFolder(out).open(ABOUT)
            except ConfigError as error:
                found.append(str(error))

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        assert len(found) == 1 and "is working on" in found[0]


def test_a_folder_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"Can't write in .*file/maps: Not a directory; choose"):
        WorkFolder(tmp_path / "file" / "maps" / "map.tif").open(ABOUT)


def test_states_of_files_tell_changes(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"abc")
    before = file_states([path])
    assert before == {str(path.resolve()): [3, path.stat().st_mtime_ns]}
    path.write_bytes(b"abcd")
    assert file_states([path]) != before
