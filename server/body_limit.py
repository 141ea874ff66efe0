"""The most a request's body may hold: what is larger is refused before it is in memory.

Starlette's own limit answers in plain text; here the refusal is an ordinary HTTP error, which each API words its way.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimitMiddleware:
    """Whoever reads more than `max_bytes` of a body, or begins to read one that says it is larger, gets a 413."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        size = int(announced) if announced.isascii() and announced.isdigit() else 0
        read = 0

        async def receive_within_limit() -> Message:
            nonlocal read
            self._check(size)
            message = await receive()
            read += len(message.get("body", b""))
            self._check(read)
            return message

        await self.app(scope, receive_within_limit, send)

    def _check(self, size: int) -> None:
        if size > self.max_bytes:
            raise HTTPException(413, f"The body is larger than the {self.max_bytes:,} bytes that MAX_BODY_BYTES allows")
