"""`/api/pull`: have a model fetched by the backend that can, and tell how far it is.

A model that is here already needs nothing. As in Ollama, the first line is there before anything can go wrong, so what
does is told in a line of its own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response

from backends.base import Loading
from server.hub import Hub
from server.ollama.answering import Ask, Line, answered, in_one_piece, line_by_line
from server.ollama.lines import unheeded_header
from server.ollama.models import digest
from server.ollama.names import find
from server.ollama.requests import PullRequest, read_json, read_request

SUCCESS: Line = {"status": "success"}
HERE = ("ready", "loading", "draining", "available")


async def pull(hub: Hub, request: Request) -> Response:
    """Fetch a model, for as long as the client stays. Raises nothing."""
    return await answered(_pull(hub, request))


async def _pull(hub: Hub, request: Request) -> Response:
    asked = read_request(PullRequest, read_json(await request.body()))
    name = asked.asked

    def lines(identity: str) -> AsyncGenerator[Line, None]:
        del identity
        return _lines(hub, name)

    async def whole(identity: str) -> Line:
        async with aclosing(lines(identity)) as told:
            async for _ in told:
                pass
        return SUCCESS

    headers = unheeded_header((*asked.unknown, *(("insecure",) if asked.insecure else ())))
    ask = Ask(hub, request, headers=headers)
    return line_by_line(ask, lines) if asked.stream else in_one_piece(ask, whole)


async def _lines(hub: Hub, name: str) -> AsyncGenerator[Line, None]:
    yield {"status": "pulling manifest"}
    entry = find(hub.models().models, name)
    if entry is None or entry.state not in HERE or entry.reason is not None:
        async with aclosing(hub.make_ready(name if entry is None else entry.name)) as steps:
            async for step in steps:
                if step.message != "ready":
                    yield _line(step)
    yield SUCCESS


def _line(step: Loading) -> Line:
    if not step.total:
        return {"status": step.message}
    return {"status": step.message, "digest": digest(step.model), "total": step.total, "completed": step.done}
