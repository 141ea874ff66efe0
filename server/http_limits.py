"""What one HTTP connection may take, and what it is told when it takes more. Knows no timers and no parser."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import STATUS_LINE


@dataclass(slots=True, frozen=True)
class HttpLimits:
    """In seconds and bytes."""

    head_s: float = 5.0  # for a request's head, from its first byte; for that byte, from the connection's beginning
    body_s: float = 5.0  # in this time,
    body_pace: int = 1200  # so much of a body must come
    unsent_s: float = 30.0  # in this time,
    unsent_pace: int = 7200  # so much of an answer must be taken
    farewell_s: float = 1.0  # for a refused client to read why
    url: int = 8000
    header: int = 8000  # one of them; the WebSocket's own parser takes lines of 8192 bytes
    head: int = 32 * 1024  # all of them
    headers: int = 100
    waiting: int = 16  # requests that may be sent before the first is answered


class Refused(Exception):
    """Raised inside the parser, which has read too much, or what nobody here can do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def refusal(status: int, message: str, headers: Iterable[tuple[bytes, bytes]], retry_after: int | None = None) -> bytes:
    """A whole answer, after which the connection ends. `headers` are those of every answer."""
    body = json.dumps({"success": False, "error": message}).encode()
    lines = [
        *headers,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    if retry_after is not None:
        lines.append((b"retry-after", b"%d" % retry_after))
    return b"".join([STATUS_LINE[status], *(b"%b: %b\r\n" % line for line in lines), b"\r\n", body])
