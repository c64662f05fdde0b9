"""Serves files of this machine over HTTP, whole or in parts, and counts what it sends."""

import hashlib
import threading
from collections import Counter
from contextlib import AbstractContextManager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from servers import running

QUIET = {
    **{"GDAL_HTTP_RETRY_DELAY": "0.01", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
    **{"AWS_NO_SIGN_REQUEST": "YES", "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"},
    **{"GS_NO_SIGN_REQUEST": "YES", "AZURE_NO_SIGN_REQUEST": "YES", "AWS_REGION": "us-east-1"},
}
"""Environment in which GDAL takes this server for a store of objects, and does not wait."""


class RangeServer(ThreadingHTTPServer):
    """Serves the files below a folder."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.ranges = True
        """Whether parts are given."""
        self.versions = True
        """Whether a file's tag and time are told."""
        self.failures = 0
        """How many of the next requests for content fail with 503."""
        self.token: str | None = None
        """What the query must hold; others get 403."""
        self.sent: Counter[str] = Counter()
        """Bytes of contents by path."""
        self.asked = 0
        """Requests of all kinds."""
        self.lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: GDAL closes a line where it has seen enough."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads s3://, gs:// and az:// to this server."""
        host = self.url.removeprefix("http://")
        blobs = f"BlobEndpoint={self.url};AccountName=me;SharedAccessSignature=sv=1"
        return {
            "AWS_S3_ENDPOINT": host,
            "CPL_GS_ENDPOINT": f"{self.url}/",
            "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;{blobs}",
        }


class _Handler(BaseHTTPRequestHandler):
    server: RangeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, with_content: bool) -> None:
        server, address = self.server, urlsplit(self.path)
        with server.lock:
            server.asked += 1
            fails = with_content and server.failures > 0
            server.failures -= fails
        file = server.root / address.path.lstrip("/")
        if fails:
            return self._nothing(503)
        if server.token is not None and server.token not in address.query:
            return self._nothing(403)
        if not file.is_file():
            return self._nothing(404)
        content = file.read_bytes()
        part, wanted = slice(0, len(content)), self.headers.get("Range")
        if wanted and server.ranges:
            part = _part(wanted.removeprefix("bytes="), len(content))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if server.versions:
            self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
            self.send_header("Last-Modified", formatdate(file.stat().st_mtime, usegmt=True))
        self.send_header("Content-Length", str(part.stop - part.start))
        self.end_headers()
        if with_content:
            with server.lock:
                server.sent[address.path] += part.stop - part.start
            self.wfile.write(content[part])

    def _nothing(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _part(wanted: str, size: int) -> slice:
    first, _, last = wanted.partition("-")
    if not first:
        return slice(max(0, size - int(last)), size)
    return slice(int(first), min(size, int(last) + 1 if last else size))


def serving(root: Path) -> AbstractContextManager[RangeServer]:
    """Run a server in a thread of its own."""
    return running(RangeServer(root))
