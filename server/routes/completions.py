"""`POST /v1/completions`: a program gives a text, and a model goes on with it. OpenAI's API in its plain form.

The work lasts as long as the connection: a client that leaves, streaming or not, cancels it at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import orjson
import structlog
import uuid_utils
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from backends.base import BackendError, Done, Event, GenerationRequest, Text
from server.disconnect import WhileConnected
from server.hub import Hub
from server.openai.completions import Completing, Completion, CompletionRequest
from server.openai.errors import error_body, failure_body
from server.openai.requests import read_request
from server.sse import EventStream

PING_EVERY_S = 15.0  # sooner than proxies lose patience

# What is said when an answer is cancelled. If it is because the client has left, nobody hears it.
STOPPING = error_body(503, "The server is restarting. Ask again in a moment.", code="overloaded")

Events = AsyncGenerator[Event, None]

log = structlog.get_logger()


def completions_router(hub: Hub, ping_every_s: float = PING_EVERY_S) -> APIRouter:
    """`POST /v1/completions`, over `hub`."""
    router = APIRouter(prefix="/v1", tags=["openai"])

    @router.post("/completions", response_model=Completion)
    async def create_completion(request: Request) -> Response:
        """Go on from a text, in one piece or as a stream of events."""
        asked = read_request(CompletionRequest, await request.body())
        identity = str(uuid_utils.uuid7())
        completing = Completing(f"cmpl-{identity}", int(time.time()), await hub.resolve(asked.model_name))
        events = hub.generate(
            GenerationRequest(
                request_id=identity,
                model=completing.model,
                prompt=asked.prompt,
                params=asked.params(asked.max_tokens),
                fairness_key=request.client.host if request.client else "",
            )
        )
        if asked.stream:
            return WhileConnected(streamed(events, completing, asked.include_usage, ping_every_s))
        return WhileConnected(whole(events, completing))

    return router


def whole(events: Events, completing: Completing) -> ASGIApp:
    """The answer in one piece, once it is done."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        text: list[str] = []
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Text):
                        text.append(event.text)
                    elif isinstance(event, Done):
                        body = completing.whole(event, "".join(text)).model_dump_json()
        except asyncio.CancelledError:
            await JSONResponse(STOPPING, 503, {"retry-after": "1"})(scope, receive, send)
            raise
        await Response(body, media_type="application/json")(scope, receive, send)

    return answer


def streamed(events: Events, completing: Completing, include_usage: bool, ping_every_s: float) -> ASGIApp:
    """The answer as it comes. What fails before its first piece, or the first ping, has a status of its own."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        stream = EventStream(send)
        try:
            async with aclosing(events), stream.kept_alive(ping_every_s):
                async for event in events:
                    for piece in _pieces(event, completing, include_usage):
                        await stream.data(piece)
        except TimeoutError:
            log.info("a client reads nothing of its answer", request=completing.id)
            return
        except asyncio.CancelledError:
            await stream.data(orjson.dumps(STOPPING))
            await stream.finish()
            raise
        except BackendError as error:
            if not stream.begun:
                raise
            await stream.data(orjson.dumps(failure_body(error)))
        await stream.finish()

    return answer


def _pieces(event: Event, completing: Completing, include_usage: bool) -> Iterator[bytes]:
    """What a stream says of an event. Where it ends with the usage, it says in every piece that there is none yet."""

    def encoded(piece: Completion) -> bytes:
        return piece.model_dump_json(exclude=None if include_usage else {"usage"}).encode()

    if isinstance(event, Text):
        yield encoded(completing.piece(event.text))
    elif isinstance(event, Done):
        yield encoded(completing.end(event))
        if include_usage:
            yield encoded(completing.usage(event))
