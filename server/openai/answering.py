"""From a request that was read to the answer that is sent, whole or as a stream, for every endpoint of OpenAI's.

The work lasts as long as the connection: a client that leaves, streaming or not, cancels it at once, and so does
whoever cancels the request by its id. Knows nothing of how an endpoint words things: its request and its form do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from functools import partial

import orjson
import structlog
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from backends.base import BackendError
from server.caller import caller_of
from server.disconnect import WhileConnected
from server.hub import Hub
from server.merging import Events, merged
from server.openai.answers import Form, Head
from server.openai.errors import error_body, failure_body
from server.openai.requests import AnswerRequest
from server.sse import EventStream

PING_EVERY_S = 15.0  # sooner than proxies lose patience

# What is said when an answer is cancelled. If it is because the client has left, nobody hears it.
STOPPING = error_body(503, "The server is restarting. Ask again in a moment.", code="overloaded")

log = structlog.get_logger()


class Answering:
    """Has `hub` answer, and sends what comes of it."""

    def __init__(self, hub: Hub, ping_every_s: float = PING_EVERY_S) -> None:
        self._hub = hub
        self._ping_every_s = ping_every_s

    async def answer(self, asked: AnswerRequest) -> Response:
        """The answer, which is made while it is sent. Raises BackendError for a model that there is not."""
        model = await self._hub.resolve(asked.model_name)
        return WhileConnected(partial(self._streamed if asked.stream else self._whole, asked, model))

    async def _whole(self, asked: AnswerRequest, model: str, scope: Scope, receive: Receive, send: Send) -> None:
        """In one piece, once it is done."""
        try:
            with self._asking(asked, model, scope) as (events, form):
                async with aclosing(events):
                    async for event in events:
                        form.take(event)
        except asyncio.CancelledError:
            await JSONResponse(STOPPING, 503, {"retry-after": "1"})(scope, receive, send)
            raise
        await Response(form.whole(), media_type="application/json")(scope, receive, send)

    async def _streamed(self, asked: AnswerRequest, model: str, scope: Scope, receive: Receive, send: Send) -> None:
        """As it comes. What fails before its first piece, or the first ping, has a status of its own."""
        del receive
        stream = EventStream(send)
        try:
            await self._tell(stream, asked, model, scope)
            await stream.finish()
        except TimeoutError:
            log.info("a client reads nothing of its answer")

    async def _tell(self, stream: EventStream, asked: AnswerRequest, model: str, scope: Scope) -> None:
        """All but the end."""
        try:
            with self._asking(asked, model, scope) as (events, form):
                async with aclosing(events), stream.kept_alive(self._ping_every_s):
                    async for event in events:
                        for piece in form.pieces(event):
                            await stream.data(piece)
            for piece in form.rest():
                await stream.data(piece)
        except asyncio.CancelledError:
            await stream.data(orjson.dumps(STOPPING))
            await stream.finish()
            raise
        except BackendError as error:
            if not stream.begun:
                raise
            await stream.data(orjson.dumps(failure_body(error)))

    @contextmanager
    def _asking(self, asked: AnswerRequest, model: str, scope: Scope) -> Iterator[tuple[Events, Form]]:
        """The events of the answer, and its form. Within this context the request is known by its id."""
        caller = caller_of(scope)
        given = scope.get("state", {}).get("request_id", "")
        with self._hub.running.enter(given, caller) as identity:
            requests = asked.requests(identity, model, caller.client)
            events = merged([self._hub.generate(request) for request in requests], asked.n)
            yield events, asked.form(Head(identity, int(time.time()), model))
