"""How an answer reaches its client: when the server stops meanwhile, and when nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from server.hub import Hub
from server.ollama.answering import Ask, Line, in_one_piece, line_by_line
from server.ollama.lines import LineStream
from tests.server.doubles import eventually

SCOPE = {"type": "http", "method": "POST", "path": "/api/chat", "headers": [], "state": {"request_id": "mine"}}


class Wire:
    """What a server sends to one client, who stays."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.news = asyncio.Event()

    async def receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nobody leaves")

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self.news.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def endless(ask: Ask, identities: list[str], *, stream: bool) -> Response:
    """One line, and then nothing until it is cut."""

    async def lines(identity: str) -> AsyncGenerator[Line, None]:
        identities.append(identity)
        yield {"done": False}
        await asyncio.Event().wait()

    async def whole(identity: str) -> Line:
        identities.append(identity)
        return await asyncio.Event().wait() and {}

    return line_by_line(ask, lines) if stream else in_one_piece(ask, whole)


@pytest.mark.parametrize("stream", [False, True])
def test_a_server_that_stops_says_so(stream: bool) -> None:
    async def test() -> None:
        wire, hub, identities = Wire(), Hub([]), list[str]()
        response = endless(Ask(hub, Request(SCOPE)), identities, stream=stream)
        speaking = asyncio.create_task(response(SCOPE, wire.receive, wire.send))
        await eventually(lambda: identities)
        if stream:
            await wire.news.wait()
        speaking.cancel()
        await asyncio.wait({speaking})
        told: list[dict[str, Any]] = [orjson.loads(line) for line in wire.body.splitlines()]
        assert told[-1] == {"error": "The server is restarting. Ask again in a moment."}
        assert (wire.sent[0]["status"], wire.sent[-1].get("more_body", False)) == (200 if stream else 503, False)
        assert (identities, len(hub.running)) == (["mine"], 0)

    asyncio.run(test())


def test_a_client_that_reads_nothing_is_given_up() -> None:
    async def never(message: Message) -> None:
        await asyncio.Event().wait()

    async def test() -> None:
        with pytest.raises(TimeoutError):
            await LineStream(never, {}, stalled_s=0.01).line({})

    asyncio.run(test())
