import json
import os

import pytest

from mapsr import files
from mapsr.files import publish, whole_file, write_json, write_text


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as temporary:
        assert temporary.parent == path.parent and temporary.name.startswith(".a-")
        assert temporary.suffix == ".txt"
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
