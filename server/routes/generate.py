"""`POST /generate`: a text goes in, and its continuation comes back as server-sent events, one token each.

The work lasts as long as the connection: a client that leaves ends it at once. What fails before the first token has a
status of its own; what fails later is the stream's last event.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from backends.base import BackendError, GenerationRequest
from server.bodies import read_body
from server.caller import Caller, caller_of
from server.disconnect import WhileConnected
from server.generation import GenerateRequest, Tokens, failure
from server.hub import Hub
from server.sse import EventStream

PING_EVERY_S = 15.0  # sooner than proxies lose patience
STOPPING = "The server is restarting. Ask again in a moment."

log = structlog.get_logger()


def generate_router(hub: Hub, ping_every_s: float = PING_EVERY_S) -> APIRouter:
    """`POST /generate`, over `hub`."""
    router = APIRouter(tags=["generate"])

    @router.post("/generate", response_class=Response)
    async def generate(request: Request) -> Response:
        """Go on from a text, one token an event."""
        asked = read_body(GenerateRequest, await request.body())
        caller = caller_of(request.scope)
        wanted = GenerationRequest(
            request_id=request.scope.get("state", {}).get("request_id", ""),
            model=await hub.resolve(asked.model_name),
            prompt=asked.prompt,
            params=asked.sampling(),
            fairness_key=caller.client,
        )
        return WhileConnected(streamed(hub, wanted, caller, ping_every_s))

    return router


def streamed(hub: Hub, wanted: GenerationRequest, caller: Caller, ping_every_s: float) -> ASGIApp:
    """The answer as it comes."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        stream = EventStream(send)
        try:
            with hub.running.enter(wanted.request_id, caller) as identity:
                await _tell(stream, hub, replace(wanted, request_id=identity), ping_every_s)
        except TimeoutError:
            log.info("a client reads nothing of its answer", request=wanted.request_id)
            return
        except asyncio.CancelledError:  # if it is because the client has left, nobody hears this
            await stream.data(failure(STOPPING))
            await stream.end()
            raise
        except BackendError as error:
            if not stream.begun:
                raise
            await stream.data(failure(error.message))
        await stream.end()

    return answer


async def _tell(stream: EventStream, hub: Hub, wanted: GenerationRequest, ping_every_s: float) -> None:
    tokens = Tokens()
    async with aclosing(hub.generate(wanted)) as events, stream.kept_alive(ping_every_s):
        async for event in events:
            for line in tokens.events(event):
                await stream.data(line)
