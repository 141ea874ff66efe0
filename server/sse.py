"""Server-sent events, as the APIs of others use them: data alone, a comment while there is none.

Knows nothing of what is sent. FastAPI's own event streams send the head of the answer before their first event is
asked for; here it waits for that event, so that what goes wrong until then still has a status of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

from starlette.types import Send

T = TypeVar("T")

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # or nginx would gather what should appear at once
]


class EventStream:
    """Writes events to one client. A client that takes nothing for `stalled_s` seconds raises TimeoutError."""

    def __init__(self, send: Send, stalled_s: float = 60.0) -> None:
        self.begun = False
        self._send = send
        self._stalled_s = stalled_s

    async def data(self, line: bytes) -> None:
        """Send an event. `line` holds no line end."""
        await self._write(b"data: " + line + b"\n\n")

    async def ping(self) -> None:
        """Show that the connection lives, to whatever counts its silence."""
        await self._write(b": ping\n\n")

    async def finish(self) -> None:
        """Say in the way of OpenAI's API that this was all."""
        await self.data(b"[DONE]")
        await self._write(b"", more=False)

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(self._stalled_s):
            if not self.begun:
                self.begun = True
                await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._send({"type": "http.response.body", "body": body, "more_body": more})


async def with_pauses(source: AsyncGenerator[T, None], every_s: float) -> AsyncGenerator[T | None, None]:
    """The items of `source`, and None whenever there was none for `every_s` seconds. Closing it closes the source."""
    async with aclosing(source):
        items = aiter(source)
        while True:
            waiting = asyncio.ensure_future(_next(items))
            try:
                while not (await asyncio.wait({waiting}, timeout=every_s))[0]:
                    yield None
            finally:
                if not waiting.done():
                    waiting.cancel()
                    await asyncio.wait({waiting})
            try:
                item = waiting.result()
            except StopAsyncIteration:
                return
            yield item


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)
