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
from starlette.types import Receive, Scope, Send

from backends.base import BackendError
from server.caller import caller_of
from server.disconnect import WhileConnected
from server.hub import Hub
from server.ollama.errors import STOPPING, Refused, error_body, failure, failure_text, refused
from server.ollama.lines import JSON, LineStream

Line = Mapping[str, object]

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Ask:
    """A request whose body has been read. `model` is the name that was asked for, where that says what is wrong.

    `headers` are told beside the answer.
    """

    hub: Hub
    request: Request
    model: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def running(self) -> AbstractContextManager[str]:
        """The context of the work. Gives its id."""
        given = self.request.scope.get("state", {}).get("request_id", "")
        return self.hub.running.enter(given, caller_of(self.request.scope))


async def answered(response: Awaitable[Response]) -> Response:
    """The response, or what is raised on the way to it, in the form of this API."""
    try:
        return await response
    except Refused as error:
        return refused(error)
    except BackendError as error:
        return failure(error)


def in_one_piece(ask: Ask, whole: Callable[[str], Awaitable[Line]]) -> Response:
    """What `whole`, given the id of the work, comes to."""

    async def speak(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with ask.running() as identity:
                body = orjson.dumps(await whole(identity))
            response = Response(body, headers={**ask.headers, "content-type": JSON})
        except BackendError as error:
            response = failure(error, ask.model)
        except asyncio.CancelledError:  # nobody hears this if it is because the client has left
            await failure(STOPPING)(scope, receive, send)
            raise
        await response(scope, receive, send)

    return WhileConnected(speak)


def line_by_line(ask: Ask, lines: Callable[[str], AsyncGenerator[Line, None]]) -> Response:
    """What `lines`, given the id of the work, yields, as it comes.

    It ends in a line that says `done`, or in one that says what went wrong; before the first one, that has a status.
    """

    async def speak(scope: Scope, receive: Receive, send: Send) -> None:
        stream = LineStream(send, ask.headers)
        try:
            with ask.running() as identity:
                async with aclosing(lines(identity)) as told:
                    async for line in told:
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
                await failure(error, ask.model)(scope, receive, send)
                return
            await stream.line(error_body(failure_text(error, ask.model)))
        await stream.end()

    return WhileConnected(speak)
