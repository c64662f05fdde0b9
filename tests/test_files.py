import json
import os
import subprocess
import sys
import time

import pytest
import torch
from safetensors import safe_open

from mapsr import files
from mapsr.errors import ConfigError
from mapsr.files import clear_partial, publish, save_tensors, whole_file, write_json, write_text


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as temporary:
        assert temporary.parent == path.parent and temporary.name.startswith(".a-")
        assert not list(path.parent.glob("*.txt"))  # else it would be taken for a result
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
@pytest.mark.parametrize(("umask", "rights"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_file_is_as_readable_as_the_umask_says(tmp_path, monkeypatch, umask, rights):
    monkeypatch.setattr(files, "_UMASK", umask)
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == rights


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    path, temporary = tmp_path / "a.txt", tmp_path / ".half.txt"
    temporary.write_text("new")
    path.write_text("old")
    seen = []
    real = os.fsync

    def noting(handle):
        seen.append((os.fstat(handle).st_ino, path.read_text()))
        real(handle)

    monkeypatch.setattr(files.os, "fsync", noting)
    inode = temporary.stat().st_ino
    publish(temporary, path)
    assert seen[0] == (inode, "old")  # the file, then the folder that names it
    if os.name == "posix":
        assert seen[1:] == [(tmp_path.stat().st_ino, "new")]
    assert path.read_text() == "new" and not temporary.exists()


def test_json_comes_back_and_nan_is_refused(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": [1, None]})
    assert json.loads(path.read_text()) == {"a": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    assert json.loads(path.read_text()) == {"a": [1, None]}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
@pytest.mark.parametrize(("umask", "rights"), [(0o022, 0o644), (0o077, 0o600)])
def test_tensors_were_private_whatever_the_umask(tmp_path, monkeypatch, umask, rights):
    """safetensors replaces the file that it is told to write by a private one of its own."""
    monkeypatch.setattr(files, "_UMASK", umask)
    path = tmp_path / "a.safetensors"
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True])}
    save_tensors(path, tensors, {"about": "é"})
    assert path.stat().st_mode & 0o777 == rights
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"about": "é"}
        assert {name: file.get_tensor(name).tolist() for name in file.keys()} == {  # noqa: SIM118
            name: tensor.tolist() for name, tensor in tensors.items()
        }
    assert list(tmp_path.iterdir()) == [path]


def test_tensors_that_cannot_be_saved_leave_what_was_there(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="contiguous"):
        save_tensors(path, {"a": torch.zeros(2, 3).T})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_a_folder_just_takes_is_written(tmp_path):
    path = tmp_path / ("é" * 125 + ".json")  # 255 bytes, and the temporary file's name has more
    write_json(path, 1)
    assert path.read_text() == "1\n"


def test_a_name_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="its name of 304 bytes is longer than the 255 that"):
        write_text(tmp_path / ("a" * 300 + ".txt"), "text")
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from mapsr.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as t: t.write_text('half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"], check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".a-") and left.name.endswith(".partial")
    mine, other = tmp_path / "b.txt", tmp_path / ".notes.partial"
    other.write_text("somebody's own")
    elsewhere = tmp_path / ".a-00000000-1-00000000.partial"
    elsewhere.write_text("of another machine")
    with whole_file(mine) as temporary:
        assert clear_partial(tmp_path) == [left]
        temporary.write_text("whole")
        hours_ago = time.time() - 4000
        os.utime(elsewhere, (hours_ago, hours_ago))
        assert clear_partial(tmp_path) == [elsewhere]
    assert sorted(tmp_path.iterdir()) == [other, mine]
    assert clear_partial(tmp_path / "none") == []
