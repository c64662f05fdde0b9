"""Serves one archive on this machine, and stands in for what torchgeo knows of it."""

import hashlib
import sys
import zipfile
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest
from servers import running

FILE = "cvpr_chesapeake_landcover.zip"


class ArchiveServer(ThreadingHTTPServer):
    """Serves ``content`` whole, or from any byte on; counts the bytes of contents that it sends."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.ranges = True
        self.break_after: int | None = None
        self.says_size = True
        self.sent: list[tuple[int, int]] = []
        """First byte and number of bytes of each answer."""
        self.heads = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{FILE}"

    @property
    def tag(self) -> str:
        return f'"{hashlib.md5(self.content).hexdigest()}"'


class _Handler(BaseHTTPRequestHandler):
    server: ArchiveServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.server.heads += 1
        self.send_response(200)
        self._say(len(self.server.content))

    def do_GET(self) -> None:
        content, begin = self.server.content, 0
        wanted = self.headers.get("Range")
        if wanted and self.server.ranges and self.headers.get("If-Range") == self.server.tag:
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self._say(len(content) - begin)
        rest = content[begin:][: self.server.break_after]
        self.server.sent.append((begin, len(rest)))
        self.wfile.write(rest)

    def _say(self, size: int) -> None:
        if self.server.says_size:
            self.send_header("Content-Length", str(size))
        self.send_header("ETag", self.server.tag)
        self.end_headers()


def served(content: bytes) -> AbstractContextManager[ArchiveServer]:
    """Run a server in a thread of its own."""
    return running(ArchiveServer(content))


def zipped(folder: Path, path: Path) -> bytes:
    """Pack a folder, without its own name, and return the archive's bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for file in sorted(folder.rglob("*.tif")):
            bundle.write(file, file.relative_to(folder))
    return path.read_bytes()


def stand_in_for_torchgeo(monkeypatch: pytest.MonkeyPatch, url: str, md5: str) -> None:
    """Let the package find an archive of ours; importing the true torchgeo takes ten seconds."""
    datasets, utils = ModuleType("torchgeo.datasets"), ModuleType("torchgeo.datasets.utils")
    facts = {"urls": {"base": url}, "filenames": {"base": FILE}, "md5s": {"base": md5}}
    datasets.ChesapeakeCVPR = type("ChesapeakeCVPR", (), facts)
    utils.check_integrity = lambda path, md5: (
        hashlib.md5(Path(path).read_bytes()).hexdigest() == md5
    )
    for name, module in (
        ("torchgeo", ModuleType("torchgeo")),
        ("torchgeo.datasets", datasets),
        ("torchgeo.datasets.utils", utils),
    ):
        monkeypatch.setitem(sys.modules, name, module)
