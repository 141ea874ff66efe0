"""`GET /test-sse`: whether something between a person and this server holds back what should appear at once.

A browser is given a page; whoever accepts an event stream, as that page does, gets one: events at an even pace, each
with the time at which it was sent.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import orjson
from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.disconnect import WhileConnected
from server.sse import EventStream

EVENTS = 15
EVERY_S = 0.12

VARY = {"vary": "accept"}
STREAM_OR_PAGE = {
    "description": "The page; or, for `Accept: text/event-stream`, the events.",
    "content": {
        "text/html": {"schema": {"type": "string"}},
        "text/event-stream": {
            "schema": {"type": "object", "properties": {"event": {"type": "string"}, "data": {"type": "string"}}},
            "example": 'event: tick\ndata: {"number":1,"of":15,"sent":0}\n\nevent: complete\ndata: 15\n\n',
        },
    },
}


def buffering_router(directory: Path, every_s: float = EVERY_S) -> APIRouter:
    """`GET /test-sse`. Its page lies in `directory`."""
    router = APIRouter(tags=["stream"])

    @router.get("/test-sse", response_class=Response, responses={200: STREAM_OR_PAGE})
    async def test_sse(request: Request) -> Response:
        """A page that tells whether a proxy in between buffers, and the stream that it tries."""
        if "text/event-stream" in request.headers.get("accept", ""):
            return WhileConnected(ticking(every_s))
        return FileResponse(directory / "test_sse.html", headers=VARY)

    return router


def ticking(every_s: float) -> ASGIApp:
    """Events that say when they were sent, in milliseconds since the first, and at last that this was all."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        stream, began = EventStream(send), time.monotonic()
        try:
            for number in range(1, EVENTS + 1):
                sent = round((time.monotonic() - began) * 1000)
                tick = orjson.dumps({"number": number, "of": EVENTS, "sent": sent})
                await stream.events(b"event: tick\ndata: " + tick + b"\n\n")
                await asyncio.sleep(every_s)
            await stream.events(b"event: complete\ndata: %d\n\n" % EVENTS)
            await stream.end()
        except TimeoutError:
            return  # the client takes nothing

    return answer
