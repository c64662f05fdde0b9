"""`mapsr cache`, and runs that share what it shows."""

import errno
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import rasterio
import stand_ins  # noqa: F401 - one thread
import torch

from mapsr.cli.main import main
from mapsr.features import Texture
from mapsr.features import cache as cache_module
from mapsr.features.cache import TokenCache, TokenKey
from mapsr.folders import token_folder

RUN = (
    "data.height=200",
    "data.width=232",
    "data.fit_scenes=1",
    "data.score_scenes=1",
    "windows.chip=112",
    "windows.overlap=24",
    "prompts.pixels=2048",
    "prompts.epochs=2",
    "backbone.channels=64",
    "upsampler=nearest",
    "refine=none",
    "logger=none",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """MAPSR_CACHE, which does not exist yet."""
    path = tmp_path / "tokens"
    monkeypatch.setenv("MAPSR_CACHE", str(path))
    return path


@pytest.fixture
def encoded(monkeypatch):
    """Images that an encoder was given, one number for each time."""
    seen, encode = [], Texture.encode
    monkeypatch.setattr(
        Texture, "encode", lambda self, image: (seen.append(len(image)), encode(self, image))[1]
    )
    return seen


def fill(folder, days):
    """Put entries that were last used so many days ago; return their paths."""
    cache = TokenCache(folder, 1.0)
    paths = []
    for number, age in enumerate(days):
        key = TokenKey.of(torch.full((1, 2, 3), float(number)), {})
        cache.put(key, torch.zeros(4, 256, 256))  # 1 MiB
        used = time.time() - 86_400 * age
        os.utime(cache.path(key), (used, used))
        paths.append(cache.path(key))
    return paths


def output_of(capsys):
    return capsys.readouterr().out.splitlines()


def run(path, *overrides):
    assert main(["run", *RUN, *overrides, f"output={path}"]) == 0
    record = json.loads((path / "record.json").read_text())["cache"]
    metrics = json.loads((path / "metrics.json").read_text())
    maps = []
    for name in sorted((path / "maps").glob("*.tif")):
        with rasterio.open(name) as dataset:
            maps.append(dataset.read().tobytes())
    prompts = (path / "fitted.safetensors").read_bytes()
    metrics.pop("seconds")
    return record, (metrics, maps, prompts)


def test_a_second_run_does_no_encoder_work(folder, encoded, tmp_path, capsys):
    record, plain = run(tmp_path / "plain")
    assert record is None
    assert not folder.exists()
    count = len(encoded)
    record, first = run(tmp_path / "first", "cache=disk")
    assert record["folder"] == str(folder)
    assert record["misses"] == len(encoded) - count > 4
    assert first == plain
    encoded.clear()
    other = ("seed=1", "prompts.epochs=1", "upsampler=bilateral", "refine=paper", "compute.batch=3")
    for name, overrides in (("again", ()), ("other", other)):
        record, found = run(tmp_path / name, "cache=disk", *overrides)
        assert (record["misses"], encoded) == (0, [])
        log = (tmp_path / name / "log.txt").read_text()
        assert f"{record['hits']} of {record['hits']} chips came from the cache" in log
        assert record["hits"] > 4
        assert (found == plain) == (name == "again")
    capsys.readouterr()
    main(["cache", "info"])
    entries = len(list(folder.glob("*/*.safetensors")))
    assert f"entries  {entries}" in output_of(capsys)


def test_a_run_on_a_full_disk_loses_nothing(folder, tmp_path, monkeypatch, caplog):
    _, plain = run(tmp_path / "plain")

    @contextmanager
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield

    monkeypatch.setattr(cache_module, "whole_file", full)
    record, found = run(tmp_path / "run", "cache=disk")
    assert found == plain
    assert record["hits"] == 0
    said = [r.getMessage() for r in caplog.records if r.name == cache_module.__name__]
    assert len(said) == 1
    assert "No space left on device" in said[0]


def test_info_shows_folder_entries_size_and_times(folder, capsys):
    fill(folder, [0.5, 40, 3])
    assert main(["cache", "info"]) == 0
    where, entries, size, oldest, newest = output_of(capsys)
    assert where == f"folder   {folder}"
    assert entries == "entries  3"
    assert size == "size     3.0 MiB"
    day = [time.strftime("%Y-%m-%d", time.localtime(time.time() - 86_400 * d)) for d in (40, 0.5)]
    assert oldest.startswith(f"oldest   last used {day[0]}")
    assert newest.startswith(f"newest   last used {day[1]}")


def test_info_of_a_cache_that_is_not_there(folder, capsys):
    assert main(["cache", "info"]) == 0
    assert output_of(capsys) == [f"folder   {folder}", "entries  0", "size     0.0 MiB"]
    assert main(["cache", "clear"]) == 0
    assert output_of(capsys) == ["removed 0 file(s), 0.0 MiB; kept 0"]


def test_clear_removes_entries_and_nothing_else(folder, capsys):
    paths = fill(folder, [0, 1])
    others = [folder / "notes.txt", paths[0].with_name("model.safetensors"), folder / "model"]
    for path in others:
        path.write_text("kept")
    assert main(["cache", "clear"]) == 0
    assert output_of(capsys) == ["removed 2 file(s), 2.0 MiB; kept 0"]
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(others)


def test_clear_of_what_was_not_used_for_long(folder, capsys):
    paths = fill(folder, [0.5, 40, 3])
    assert main(["cache", "clear", "--older-than", "2.5"]) == 0
    assert output_of(capsys) == ["removed 2 file(s), 2.0 MiB; kept 1"]
    assert [path.exists() for path in paths] == [True, False, False]
    assert main(["cache", "clear", "--older-than", "0"]) == 0
    assert not paths[0].exists()


def test_clear_removes_what_a_killed_run_left_but_not_what_is_being_written(folder, capsys):
    (path,) = fill(folder, [0])
    left = path.with_name(f".{path.stem}-ab_9x0kq.safetensors")
    written = path.with_name(f".{path.stem}-zz_9x0kq.safetensors")
    for one in (left, written):
        one.write_bytes(b"half")
    os.utime(left, (1000, 1000))
    main(["cache", "info"])
    assert "entries  1" in output_of(capsys)
    assert main(["cache", "clear"]) == 0
    assert (path.exists(), left.exists(), written.exists()) == (False, False, True)


def test_what_can_not_be_removed_is_told(folder, capsys):
    (path,) = fill(folder, [0])
    path.unlink()
    path.mkdir()
    assert main(["cache", "clear"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "removed 0 file(s), 0.0 MiB; kept 0\n"
    assert captured.err.startswith("error: 1 file(s) can't be removed; the first: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "--folder", "nowhere"], "--folder is 'nowhere', which is not a folder"),
        (["clear", "--older-than", "-1"], "--older-than is -1.0, expected a number in [0, inf]"),
        (["clear", "--older-than", "nan"], "--older-than is nan, expected a number in"),
    ],
)
def test_what_is_refused(folder, words, message, capsys):
    fill(folder, [0])
    assert main(["cache", *words]) == 1
    assert message in capsys.readouterr().err
    assert len(list(folder.glob("*/*.safetensors"))) == 1


def test_tokens_lie_where_they_are_named_else_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MAPSR_CACHE", "~/tokens")
    assert token_folder() == tmp_path / "tokens"
    assert token_folder("named") == Path("named")
    monkeypatch.delenv("MAPSR_CACHE")
    assert token_folder() == tmp_path / "cache/mapsr/tokens"


def test_the_command_does_without_torch(tmp_path):
    code = (
        f"import sys; from mapsr.cli.main import main; folder = ['--folder', {str(tmp_path)!r}]; "
        "main(['cache', 'info', *folder]); main(['cache', 'clear', *folder]); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
