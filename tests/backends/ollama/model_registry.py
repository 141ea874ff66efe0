"""A registry that a real Ollama can pull one model from: a manifest, and blobs behind a redirect to another host."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME = "library/pulled:latest"
PADDING = bytes(32)  # makes them other weights to Ollama, which has these already
TEMPLATE = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"


class Registry(ThreadingHTTPServer):
    """Serves `weights` and what belongs to them; while `gate` is closed, only the first half of each blob."""

    daemon_threads = True

    def __init__(self, weights: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        config = json.dumps({"model_format": "gguf", "model_family": "llama", "model_type": "134.52M"}).encode()
        self.ranges: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.blobs: dict[str, bytes] = {}
        layers = [
            self._add("application/vnd.ollama.image.model", weights.read_bytes() + PADDING),
            self._add("application/vnd.ollama.image.template", TEMPLATE.encode()),
        ]
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": self._add("application/vnd.docker.container.image.v1+json", config),
                "layers": layers,
            }
        ).encode()

    @property
    def model(self) -> str:
        """The name of the model it has, as Ollama calls it."""
        return f"127.0.0.1:{self.server_port}/{NAME}"

    @contextmanager
    def serving(self) -> Iterator[Registry]:
        thread = threading.Thread(target=self.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.gate.set()
            self.shutdown()
            thread.join()
            self.server_close()

    def _add(self, media_type: str, blob: bytes) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        self.blobs[digest] = blob
        return {"mediaType": media_type, "digest": digest, "size": len(blob)}


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_HEAD(self) -> None:
        self._answer(200, b"" if "/manifests/" in self.path else self._blob(), send=False)

    def do_GET(self) -> None:
        if "/manifests/" in self.path:
            self._answer(200, self.server.manifest)
        elif self.headers["Host"].startswith("127.0.0.1"):  # Ollama wants blobs to be elsewhere
            self._answer(307, b"", location=f"http://localhost:{self.server.server_port}{self.path}")
        else:
            self._send_range(self._blob())

    def _blob(self) -> bytes:
        return self.server.blobs[self.path.rpartition("/")[2]]

    def _send_range(self, blob: bytes) -> None:
        wanted = self.headers.get("Range", "")
        self.server.ranges.append(wanted)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
        start, end = (int(found[1]), int(found[2] or len(blob) - 1)) if found else (0, len(blob) - 1)
        self.send_response(206 if found else 200)
        self.send_header("Content-Length", str(end + 1 - start))
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(blob)}")
        self.end_headers()
        middle = start if self.server.gate.is_set() else min(end + 1, max(start, len(blob) // 2))
        try:
            self.wfile.write(blob[start:middle])
            self.server.gate.wait()
            self.wfile.write(blob[middle : end + 1])
        except OSError:
            self.close_connection = True  # the download was left

    def _answer(self, status: int, body: bytes, *, send: bool = True, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        if send:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
