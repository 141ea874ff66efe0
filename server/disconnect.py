"""Work for somebody who may leave: it goes on for as long as its client is connected.

A client that closes its connection in mid-answer says so nowhere but in ASGI's `receive`. Knows nothing else of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger()


class WhileConnected(Response):
    """What `answer` says, which is given up when the client leaves. For routes that have read the request's body."""

    def __init__(self, answer: ASGIApp) -> None:
        self.background = None
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_disconnected(receive, self._speak(scope, receive, send))
        except asyncio.CancelledError:
            log.info("an answer was cut off, since the server is stopping")  # nothing is above: nobody need hear of it

    async def _speak(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope, receive, send)


async def unless_disconnected(receive: Receive, work: Coroutine[None, None, None]) -> None:
    """Do `work`, and cancel it as soon as its client has left, which is no error. Returns when it has ended.

    To be called once the request's body has been read: what `receive` gives after that is the end. Raises what `work`
    raises.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_until_disconnected(receive))
    leaving.add_done_callback(lambda _: working.cancel())
    try:
        await asyncio.wait({working})
        left = leaving.done()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait({working, leaving})
    if not working.cancelled():
        working.result()
    elif not left:
        raise RuntimeError("The work was cancelled, and not because its client had left.")


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
