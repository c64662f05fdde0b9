import argparse
import hashlib
import sys
from pathlib import Path

import pytest
from archive_server import ArchiveServer, served, stand_in_for_torchgeo, zipped
from make_chesapeake import make_chesapeake

from mapsr.cli import data as command
from mapsr.data.chesapeake.splits import LEAST_TILES
from mapsr.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("packed")
    return zipped(make_chesapeake(folder, ("ny",)), folder / "archive.zip")


@pytest.fixture
def server(packed: bytes, monkeypatch: pytest.MonkeyPatch):
    for key in LEAST_TILES:
        monkeypatch.setitem(LEAST_TILES, key, 0)
    for name in ("MAPSR_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with served(packed) as server:
        stand_in_for_torchgeo(monkeypatch, server.url, hashlib.md5(packed).hexdigest())
        yield server


def run(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="mapsr")
    command.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["data", *words])
    return arguments.run(arguments)


def test_fetch_says_the_size_then_fetches(server: ArchiveServer, packed, tmp_path: Path, capsys):
    root = tmp_path / "new"
    size = f"{len(packed) / (1 << 20):.1f} MiB"
    assert run("fetch", "chesapeake", f"root={root}", "states=ny", "--dry-run") == 0
    planned = capsys.readouterr().out.splitlines()
    assert planned[0].split() == ["archive", server.url]
    assert planned[1] == f"to fetch  {size} of {size}"
    assert planned[3] == f"to unpack 3 folder(s) into {root / 'cvpr_chesapeake_landcover'}"
    assert server.sent == [] and not root.exists()

    assert run("fetch", "chesapeake", f"root={root}", "states=ny") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == planned[:4]
    assert lines[5] == f"whole: {root / 'cvpr_chesapeake_landcover'}"
    assert run("fetch", "chesapeake", f"root={root}", "states=[ny]") == 0
    assert capsys.readouterr().out.startswith("nothing to fetch: all folders are in ")

    assert run("check", "chesapeake", f"root={root}") == 0
    header, train, *_, listed = capsys.readouterr().out.splitlines()
    assert header.split() == ["FOLDER", "TILES", "STATE"]
    assert train.split() == ["ny_1m_2013_extended-debuffered-train_tiles", "13", "whole"]
    assert listed.split() == ["ny:", "tiles", "of", "split", "paper", "10", "whole"]


def test_archive_that_is_here_is_told(server: ArchiveServer, packed, tmp_path: Path, capsys):
    path = tmp_path / "cvpr_chesapeake_landcover.zip"
    path.write_bytes(packed)
    assert run("fetch", "chesapeake", f"root={tmp_path}", "states=ny") == 0
    assert capsys.readouterr().out.startswith(f"archive   {path} (here already)\n")
    assert server.heads == 0


def test_check_returns_one_where_something_is_missing(server, tmp_path: Path, capsys):
    folder = make_chesapeake(tmp_path, ("ny",))
    min(folder.glob("*val_tiles/*_lc.tif")).unlink()
    assert run("check", "chesapeake", f"root={tmp_path}", "states=ny,de") == 1
    out = capsys.readouterr().out
    assert "1 file(s) missing, the first m_2800004_se_18_1_lc.tif" in out
    assert "de_1m_2013_extended-debuffered-val_tiles        0  absent" in out


def test_check_of_nothing_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match=r"expected a folder with the Chesapeake benchmark"):
        run("check", "chesapeake", f"root={tmp_path}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["states=ny"], r"root has no value: give root=FOLDER"),
        (["rot=x"], r"'rot=x' is not a setting of `mapsr data`, .*Did you mean 'root'\?"),
        (["root"], r"'root' is not a setting"),
        (["root="], r"'root=' is not a setting"),
        (["root=x", "states=nyc"], r"states is 'nyc', expected one of .*Did you mean 'ny'\?"),
        (["root=x", "states=ny,ny"], r"states is \[ny, ny\], expected each"),
    ],
)
def test_faulty_settings_are_refused(words: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        run("fetch", "chesapeake", *words)


@pytest.mark.parametrize("words", [(), ("fetch",), ("fetch", "chesapeak", "root=x"), ("remove",)])
def test_a_command_line_that_makes_no_sense_is_refused(words, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == 2
    assert "usage: mapsr data" in capsys.readouterr().err


def test_help_needs_no_torchgeo(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setitem(sys.modules, "torchgeo", None)
    with pytest.raises(SystemExit) as caught:
        run("fetch", "--help")
    assert caught.value.code == 0
    assert "--dry-run" in capsys.readouterr().out
