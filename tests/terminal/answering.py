"""A server that gives one and the same answer to whatever it is asked."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answering:
    """Answers with `status` and `body` while the context lasts, which gives its base URL."""

    def __init__(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        def answer(self: BaseHTTPRequestHandler) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        methods = {f"do_{method}": answer for method in ("GET", "POST", "DELETE")}
        silent = {"protocol_version": "HTTP/1.1", "log_message": lambda *words: None}
        handler = type("Handler", (BaseHTTPRequestHandler,), {**methods, **silent})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
