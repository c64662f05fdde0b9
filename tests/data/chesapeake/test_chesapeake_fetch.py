import hashlib
import json
import logging
import shutil
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_server import ArchiveServer, served, stand_in_for_torchgeo, zipped
from filelock import FileLock
from make_chesapeake import make_chesapeake

from mapsr.data.chesapeake import archive
from mapsr.data.chesapeake.archive import part_file
from mapsr.data.chesapeake.fetch import FetchPlan, fetch, plan_fetch, published
from mapsr.data.chesapeake.splits import PARTS, folder_name
from mapsr.errors import ConfigError, DataError
from mapsr.progress import Quiet

STATES = ("de", "ny")
FOLDERS = tuple(folder_name(state, part) for state in STATES for part in PARTS)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """The miniature's folder and its archive."""
    folder = tmp_path_factory.mktemp("packed")
    whole = make_chesapeake(folder, STATES)
    return whole, zipped(whole, folder / "archive.zip")


@pytest.fixture
def server(packed, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    """Serves the miniature's archive, which torchgeo's stand-in knows."""
    monkeypatch.delenv("MAPSR_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(archive, "_BLOCK", 1 << 12)
    with served(packed[1]) as server:
        stand_in_for_torchgeo(monkeypatch, server.url, hashlib.md5(packed[1]).hexdigest())
        yield server


def plan(root: Path, states=STATES) -> FetchPlan:
    return plan_fetch(root, states)


def get(root: Path, states=STATES) -> FetchPlan:
    planned = plan(root, states)
    fetch(planned, Quiet())
    return planned


def broken_fetch(root: Path, server: ArchiveServer, size: int) -> Path:
    """Fetch from a server that goes away after ``size`` bytes; return what is left."""
    server.break_after = size
    with pytest.raises(DataError, match=r"broke off after .*; run the same command again, it goes"):
        get(root)
    server.break_after = None
    server.sent.clear()
    return part_file(root / "cvpr_chesapeake_landcover.zip")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_what_is_fetched_is_the_data_set(server: ArchiveServer, packed, tmp_path: Path):
    planned = plan(tmp_path / "new")
    assert planned.remote is not None
    assert planned.to_fetch == planned.remote.size == len(packed[1])
    assert planned.to_unpack == len(packed[1]) * 6 // 18
    assert planned.folders == FOLDERS
    assert not server.sent and not (tmp_path / "new").exists()
    fetch(planned, Quiet())
    assert contents(planned.target) == contents(packed[0])
    assert server.sent == [(0, len(packed[1]))]
    left = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert left == [
        "cvpr_chesapeake_landcover",
        "cvpr_chesapeake_landcover.zip",
        "cvpr_chesapeake_landcover.zip.part.lock",
    ]


def test_second_fetch_asks_nobody(server: ArchiveServer, tmp_path: Path):
    get(tmp_path)
    server.heads = 0
    again = get(tmp_path)
    assert (again.folders, again.to_fetch, server.heads) == ((), 0, 0)
    assert len(server.sent) == 1


def test_states_come_one_after_another_from_one_transfer(server: ArchiveServer, tmp_path: Path):
    first = get(tmp_path, ("ny",))
    assert sorted(path.name for path in first.target.iterdir()) == sorted(FOLDERS[3:])
    second = plan(tmp_path)
    assert (second.folders, second.remote) == (FOLDERS[:3], None)
    fetch(second, Quiet())
    assert {path.name for path in first.target.iterdir()} == set(FOLDERS)
    assert len(server.sent) == 1


def test_root_may_be_the_folder_itself(server: ArchiveServer, tmp_path: Path):
    root = tmp_path / "cvpr_chesapeake_landcover"
    assert plan(root).target == root
    (tmp_path / "own" / FOLDERS[0]).mkdir(parents=True)
    own = plan(tmp_path / "own")
    assert (own.target, own.folders) == (tmp_path / "own", FOLDERS[1:])


def test_broken_transfer_goes_on_where_it_ended(server: ArchiveServer, packed, tmp_path: Path):
    part = broken_fetch(tmp_path, server, 100_001)
    assert part.stat().st_size == 100_001
    planned = plan(tmp_path)
    assert (planned.present, planned.to_fetch) == (100_001, len(packed[1]) - 100_001)
    fetch(planned, Quiet())
    assert server.sent == [(100_001, len(packed[1]) - 100_001)]
    assert contents(planned.target) == contents(packed[0])
    assert not part.exists()


def test_transfer_that_was_killed_before_its_check_is_not_repeated(
    server: ArchiveServer, packed, tmp_path: Path
):
    part = broken_fetch(tmp_path, server, 100_000)
    part.write_bytes(packed[1])
    assert plan(tmp_path).to_fetch == 0
    get(tmp_path)
    assert server.sent == []


def test_server_without_parts_starts_again(
    server: ArchiveServer, packed, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    broken_fetch(tmp_path, server, 100_000)
    server.ranges = False
    with caplog.at_level(logging.WARNING, logger="mapsr.data.chesapeake.archive"):
        planned = get(tmp_path)
    assert "sends no parts of files: the transfer starts again" in caplog.text
    assert server.sent == [(0, len(packed[1]))]
    assert contents(planned.target) == contents(packed[0])


@pytest.mark.parametrize("record", [None, {"size": 7}])
def test_part_of_another_file_starts_again(
    server: ArchiveServer,
    packed,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    record: dict[str, int] | None,
):
    part = broken_fetch(tmp_path, server, 100_000)
    known = part.with_name(f"{part.name}.json")
    if record is None:
        known.write_text("{")
    else:
        known.write_text(json.dumps(json.loads(known.read_text()) | record))
    assert plan(tmp_path).present == 0
    with caplog.at_level(logging.WARNING, logger="mapsr.data.chesapeake.archive"):
        get(tmp_path)
    assert "is not the one that" in caplog.text
    assert f"now {len(packed[1])} bytes): the transfer starts again" in caplog.text
    assert server.sent == [(0, len(packed[1]))]


def test_damaged_transfer_is_removed(server: ArchiveServer, packed, tmp_path: Path):
    server.content = packed[1][:-1] + b"?"
    with pytest.raises(DataError, match=r"What came from .* is damaged: its MD5 is not .* removed"):
        get(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
    server.content = packed[1]
    assert contents(get(tmp_path).target) == contents(packed[0])


def test_damaged_archive_of_the_user_stays(server: ArchiveServer, tmp_path: Path):
    path = tmp_path / "cvpr_chesapeake_landcover.zip"
    path.write_bytes(b"half")
    with pytest.raises(DataError, match=r"landcover\.zip is damaged: its MD5 .*remove it and fetc"):
        get(tmp_path)
    assert path.read_bytes() == b"half"
    assert server.heads == 0


def test_killed_unpacking_is_repeated(
    server: ArchiveServer, packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copied = []

    def killed(source, out, length) -> None:
        copied.append(out)
        if len(copied) == 60:
            raise KeyboardInterrupt
        out.write(source.read())

    with monkeypatch.context() as patch:
        patch.setattr(archive.shutil, "copyfileobj", killed)
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path)
    target = tmp_path / "cvpr_chesapeake_landcover"
    whole = {path.name for path in target.iterdir() if not path.name.startswith(".")}
    assert whole == {FOLDERS[0]}
    again = get(tmp_path)
    assert again.folders == FOLDERS[1:]
    assert contents(target) == contents(packed[0])
    assert len(server.sent) == 1


def test_archive_may_hold_a_folder_above(packed, tmp_path: Path):
    data = tmp_path / "data.zip"
    zipped(packed[0].parent, data)
    archive.unpack(data, tmp_path / "out", FOLDERS, Quiet())
    assert contents(tmp_path / "out") == contents(packed[0])


def test_archive_without_a_folder_is_refused(packed, tmp_path: Path):
    data = tmp_path / "data.zip"
    data.write_bytes(packed[1])
    with pytest.raises(DataError, match=r"does not hold the folder va_1m_2014.*remove the arch"):
        archive.unpack(data, tmp_path / "out", [*FOLDERS, folder_name("va", "val")], Quiet())
    assert not (tmp_path / "out").exists()
    data.write_bytes(packed[1][:-500])
    with pytest.raises(DataError, match=r"data\.zip is damaged \(.*\); remove it and fetch it"):
        archive.unpack(data, tmp_path / "out", FOLDERS, Quiet())


def test_short_disk_is_told_before_it_starts(
    server: ArchiveServer, packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    free = {"free": len(packed[1]) + 1}
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, free["free"]))
    with pytest.raises(DataError, match=r"Fetching http.* needs .*MiB in .*, but .*MiB are free"):
        get(tmp_path / "new")
    assert server.sent == []
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "cvpr_chesapeake_landcover.zip").write_bytes(packed[1])
    free["free"] = sum(map(len, contents(packed[0]).values())) - 1
    with pytest.raises(DataError, match=r"Unpacking .*landcover\.zip needs"):
        get(tmp_path / "new")
    assert not (tmp_path / "new" / "cvpr_chesapeake_landcover").exists()
    free["free"] += 1
    get(tmp_path / "new")


def test_two_fetches_do_not_mix(server: ArchiveServer, tmp_path: Path):
    part = part_file(tmp_path / "cvpr_chesapeake_landcover.zip")
    with (
        FileLock(f"{part}.lock"),
        pytest.raises(DataError, match=r"Another process writes .*\.part; wait for it"),
    ):
        get(tmp_path)
    get(tmp_path)


def test_server_that_is_gone(server: ArchiveServer, tmp_path: Path):
    server.says_size = False
    with pytest.raises(DataError, match=r"The server does not say how large http"):
        plan(tmp_path)
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"can't be reached \(.*refused.*\); check the network"):
        plan(tmp_path)


def test_offline_asks_nobody(server: ArchiveServer, tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    with pytest.raises(DataError, match=r"landcover\.zip is not here and MAPSR_OFFLINE forbids"):
        plan(tmp_path)
    assert server.heads == 0


def test_without_torchgeo_its_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "torchgeo", None)
    monkeypatch.setitem(sys.modules, "torchgeo.datasets", None)
    with pytest.raises(ConfigError, match=r"needs torchgeo, .*pip install 'mapsr\[chesapeake\]'"):
        plan(tmp_path)


@pytest.mark.slow
def test_torchgeo_knows_the_archive(tmp_path: Path):
    pytest.importorskip("torchgeo")
    from torchgeo.datasets.utils import check_integrity

    found = published()
    assert found.file == "cvpr_chesapeake_landcover.zip"
    assert found.md5 == "1225ccbb9590e9396875f221e5031514"
    assert found.url.startswith("https://") and found.url.endswith(found.file)
    (tmp_path / "a").write_bytes(b"a")
    assert check_integrity(str(tmp_path / "a"), hashlib.md5(b"a").hexdigest())
    assert not check_integrity(str(tmp_path / "a"), found.md5)
