"""A stream of server-sent events to one client: blocks of bytes, a comment while there are none.

Knows nothing of what is sent. FastAPI's own event streams send the head of the answer before their first event is
asked for; here it waits for that event, so that what goes wrong until then still has a status of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.types import Send

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
        self._writing = asyncio.Lock()
        self._silent = True  # since somebody last asked

    async def data(self, line: bytes) -> None:
        """Send an event. `line` holds no line end."""
        await self._write(b"data: " + line + b"\n\n")

    async def events(self, block: bytes) -> None:
        """Send events, encoded already."""
        await self._write(block)

    async def finish(self) -> None:
        """Say in the way of OpenAI's API that this was all."""
        await self.data(b"[DONE]")
        await self.end()

    async def end(self) -> None:
        """End the stream without a word."""
        await self._write(b"", more=False)

    @asynccontextmanager
    async def kept_alive(self, every_s: float) -> AsyncGenerator[None]:
        """Within this context, a comment goes out whenever nothing else did for `every_s` seconds.

        That shows whatever counts the connection's silence that it lives. It begins the stream, too.
        """
        pinging = asyncio.create_task(self._ping(every_s))
        try:
            yield
        finally:
            pinging.cancel()
            await asyncio.wait({pinging})

    async def _ping(self, every_s: float) -> None:
        try:
            while True:
                self._silent = True
                await asyncio.sleep(every_s)
                if self._silent:
                    await self._write(b": ping\n\n")
        except TimeoutError:
            pass  # whoever writes the next event finds out as well

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(self._stalled_s), self._writing:
            self._silent = False
            if not self.begun:
                self.begun = True
                await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
