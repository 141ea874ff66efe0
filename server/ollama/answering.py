"""How an answer reaches a client of Ollama's API: line by line as it comes, or in one piece when it is done.

Knows nothing of what the lines say. The work goes on for as long as the client stays, or until somebody cancels it by
its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass, field

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from backends.base import BackendError
from server.caller import caller_of
from server.disconnect import WhileConnected
from server.hub import Hub
from server.ollama.errors import STOPPING, Refused, error_body, failure, failure_text, refused
from server.ollama.lines import JSON, LineStream

Line = Mapping[str, object]

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Work:
    """What is to be done, in either way, under the id that it is given. `model`: the name that was asked for."""

    lines: Callable[[str], AsyncGenerator[Line, None]]
    whole: Callable[[str], Awaitable[Line]]
    model: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


async def answered(response: Awaitable[Response]) -> Response:
    """The response, or what is raised on the way to it, in the form of this API."""
    try:
        return await response
    except Refused as error:
        return refused(error)
    except BackendError as error:
        return failure(error)


def answer(hub: Hub, request: Request, work: Work, *, stream: bool) -> Response:
    """Do the work of a request whose body has been read."""
    caller = caller_of(request.scope)
    given = request.scope.get("state", {}).get("request_id", "")

    def running() -> AbstractContextManager[str]:
        return hub.running.enter(given, caller)

    return WhileConnected((_streamed if stream else _in_one_piece)(work, running))


def _in_one_piece(work: Work, running: Callable[[], AbstractContextManager[str]]) -> ASGIApp:
    async def speak(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with running() as identity:
                body = orjson.dumps(await work.whole(identity))
            response = Response(body, headers={**work.headers, "content-type": JSON})
        except BackendError as error:
            response = failure(error, work.model)
        except asyncio.CancelledError:  # nobody hears this if it is because the client has left
            await failure(STOPPING)(scope, receive, send)
            raise
        await response(scope, receive, send)

    return speak


def _streamed(work: Work, running: Callable[[], AbstractContextManager[str]]) -> ASGIApp:
    """It ends in a line that says `done`, or in one that says what went wrong: before the first one, with a status."""

    async def speak(scope: Scope, receive: Receive, send: Send) -> None:
        stream = LineStream(send, work.headers)
        try:
            with running() as identity:
                async with aclosing(work.lines(identity)) as lines:
                    async for line in lines:
                        await stream.line(line)
        except TimeoutError:
            log.info("a client reads nothing of its answer")
            return
        except asyncio.CancelledError:
            await stream.line(error_body(STOPPING.message))
            await stream.end()
            raise
        except BackendError as error:
            if not stream.begun:
                await failure(error, work.model)(scope, receive, send)
                return
            await stream.line(error_body(failure_text(error, work.model)))
        await stream.end()

    return speak
