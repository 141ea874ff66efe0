"""A real HTTP server that hands out bytes and misbehaves as it is told."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tools.fetch_model import Source

MODEL = b"GGUF" + bytes(range(256)) * 800  # 205 kB
LICENCE = b"Do as you like.\n"
METADATA = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"


class Shelf(ThreadingHTTPServer):
    """Files by path. The switches say how it fails."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []  # bytes to send before hanging up, answer by answer
        self.statuses: list[int] = []  # to answer with instead, answer by answer
        self.knows_range = True
        self.ranges: list[str | None] = []  # as they were asked for

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def offer(self, wheel: bytes, *, sha256: str | None = None) -> str:
        """Put `wheel` up as a package index would; gives the index's address."""
        name = "tiny_model-1.0-py3-none-any.whl"
        digest = sha256 or hashlib.sha256(wheel).hexdigest()
        self.files[f"/files/{name}"] = wheel
        self.files[f"/files/{name}.metadata"] = METADATA.encode()
        apart = 'data-core-metadata="true" data-dist-info-metadata="true"'  # newer and older pip
        link = f'<a href="/files/{name}#sha256={digest}" {apart}>{name}</a>'
        self.files["/simple/tiny-model/"] = link.encode()
        return self.url("/simple/")


class _Handler(BaseHTTPRequestHandler):
    server: Shelf

    def do_GET(self) -> None:
        body = self.server.files.get(self.path)
        if body is None:
            return self.send_error(404)
        if self.path.startswith("/simple") or self.path.endswith(".metadata"):
            return self._send_whole(body)
        self.server.ranges.append(self.headers["Range"])
        if self.server.statuses and (status := self.server.statuses.pop(0)):
            return self.send_error(status)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if not wanted or not self.server.knows_range:
            return self._send(200, body, {})
        first = int(wanted[1])
        if first >= len(body):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        return self._send(206, body[first:], {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"})

    def _send_whole(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(body)
        self.wfile.write(body[:cut])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    server = Shelf()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def make_wheel(model: bytes = MODEL) -> bytes:
    """A package that pip takes for one, with a model inside."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("tiny_model/tiny.Q4_1.gguf", model)
        archive.writestr("tiny_model-1.0.dist-info/LICENSE", LICENCE)
        archive.writestr("tiny_model-1.0.dist-info/METADATA", METADATA)
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return made.getvalue()


@pytest.fixture
def wheel() -> bytes:
    return make_wheel()


@pytest.fixture
def source() -> Source:
    return Source(
        requirement="tiny-model==1.0",
        member="tiny_model/tiny.Q4_1.gguf",
        size=len(MODEL),
        sha256=hashlib.sha256(MODEL).hexdigest(),
        licence="tiny_model-1.0.dist-info/LICENSE",
    )
