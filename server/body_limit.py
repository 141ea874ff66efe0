"""The most a request's body may hold: what is larger is refused before it is in memory.

Starlette's own limit answers in plain text; here the refusal is an ordinary HTTP error, which each API words its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(slots=True, frozen=True)
class BodyLimit:
    """How many bytes a body may have, and the setting that says so."""

    max_bytes: int
    setting: str


class BodyLimitMiddleware:
    """Whoever reads more than `max_bytes` of a body, or begins to read one that says it is larger, gets a 413.

    `others` are the limits of paths that have one of their own.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, others: Mapping[str, BodyLimit] | None = None) -> None:
        self.app = app
        self._usual = BodyLimit(max_bytes, "MAX_BODY_BYTES")
        self._others = others or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self._others.get(scope["path"], self._usual)
        announced = Headers(scope=scope).get("content-length", "")
        size = int(announced) if announced.isascii() and announced.isdigit() else 0
        read = 0

        async def receive_within_limit() -> Message:
            nonlocal read
            _check(size, limit)
            message = await receive()
            read += len(message.get("body", b""))
            _check(read, limit)
            return message

        await self.app(scope, receive_within_limit, send)


def _check(size: int, limit: BodyLimit) -> None:
    if size > limit.max_bytes:
        raise HTTPException(413, f"The body is larger than the {limit.max_bytes:,} bytes that {limit.setting} allows")
