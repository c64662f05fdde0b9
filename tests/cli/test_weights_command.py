import argparse
import hashlib

import pytest

from mapsr import weights
from mapsr.cli import weights as command
from mapsr.errors import WeightsError

CONTENT = b"published bytes"
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def two_weights(monkeypatch, tmp_path):
    """A registry of two entries, nothing on the machine, no network."""
    known = weights.Weights(
        "known", "known.pth", "https://x.org/a", None, HASH, "MIT", "https://x.org", 7
    )
    unknown = weights.Weights(
        "unhashed", "unhashed.bin", "https://x.org/b", None, None, "BSD", "https://x.org", 9
    )
    registry = {"known": known, "unhashed": unknown}
    monkeypatch.setattr(weights, "REGISTRY", registry)
    monkeypatch.setattr(command, "REGISTRY", registry)
    monkeypatch.delenv("MAPSR_WEIGHTS", raising=False)
    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*words):
    parser = argparse.ArgumentParser(prog="mapsr")
    command.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["weights", *words])
    return arguments.run(arguments)


def test_list_shows_what_is_here_and_what_is_not(tmp_path, capsys):
    (tmp_path / "known.pth").write_bytes(CONTENT)
    assert run("list", "--folder", str(tmp_path)) == 0
    header, known, unhashed = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "FILE", "MIB", "LICENCE", "WHERE"]
    assert known.split() == ["known", "known.pth", "7", "MIT", str(tmp_path / "known.pth")]
    assert unhashed.split() == ["unhashed", "unhashed.bin", "9", "BSD", "absent"]


def test_check_tells_whole_from_damaged(tmp_path, capsys):
    path = tmp_path / "known.pth"
    path.write_bytes(CONTENT)
    assert run("check", "--folder", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].split() == ["known", "whole", HASH]
    assert out.splitlines()[2].split() == ["unhashed", "absent", "https://x.org"]
    path.write_bytes(b"cut")
    assert run("check", "--folder", str(tmp_path)) == 1
    assert f"expected {HASH}" in capsys.readouterr().out


def test_check_does_not_call_whole_what_it_can_not_compare(tmp_path, capsys):
    (tmp_path / "unhashed.bin").write_bytes(CONTENT)
    assert run("check", "--folder", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == ["unhashed", "unchecked", HASH]


def test_check_tells_what_is_unchanged_since_its_first_use(tmp_path, capsys):
    path = tmp_path / "unhashed.bin"
    path.write_bytes(CONTENT)
    weights.resolve("unhashed", folder=str(tmp_path))
    assert run("check", "--folder", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == ["unhashed", "unchanged", HASH]
    path.write_bytes(b"another")
    assert run("check", "--folder", str(tmp_path)) == 1
    assert "have changed since they were first used" in capsys.readouterr().out


def test_fetch_says_where_the_files_are(tmp_path, capsys):
    (tmp_path / "known.pth").write_bytes(CONTENT)
    assert run("fetch", "known", "--folder", str(tmp_path)) == 0
    assert capsys.readouterr().out == f"known  {tmp_path / 'known.pth'}\n"


def test_fetch_checks_all_names_before_the_first_download(monkeypatch):
    monkeypatch.setattr(command, "resolve", lambda *_, **__: pytest.fail("fetched"))
    with pytest.raises(WeightsError, match=r"no weights are called 'knwn'.*Did you mean 'known'"):
        run("fetch", "unhashed", "knwn")


def test_fetch_offline_is_an_error():
    with pytest.raises(WeightsError, match="the network is switched off by MAPSR_OFFLINE"):
        run("fetch", "known")


@pytest.mark.parametrize("words", [(), ("fetch",), ("remove",)])
def test_a_command_line_that_makes_no_sense_is_refused(words, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == 2
    assert "usage: mapsr weights" in capsys.readouterr().err
