"""Too many connections, too slow, too large, too often."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from backends.echo import EchoBackend
from server.admission import Admission
from server.http_limits import HttpLimits
from server.http_protocol import ChatHttpProtocol
from tests.server.doubles import eventually
from tests.server.program import Program, running
from tests.server.raw_client import dial, exchange, read_all, say, status_of
from tests.server.serving import SocketClient, joined, listening, serving

GET = b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
HALF_HANDSHAKE = b"GET /ws HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
POST = b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100000\r\n\r\n"
MEMORY = 8 * 1024 * 1024  # less than half of what twenty such heads would take


async def talk(client: SocketClient, text: str = "Hi") -> None:
    """Ask, and get the echo."""
    await client.send(json.dumps({"message": text}))
    assert (await client.until("ai"))["message"] == text


# 22


async def refusal(url: str) -> tuple[int, str]:
    """The status that a WebSocket is refused with, and when to come back."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, compression=None)
    response = refused.value.response
    return response.status_code, response.headers["retry-after"]


def test_22_one_connection_over_the_total_is_refused_with_503_and_the_others_go_on() -> None:
    async def scenario() -> None:
        with running(MAX_CONNECTIONS="6") as server:
            async with AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(joined(server.ws)) for _ in range(5)]
                async with joined(server.ws):
                    assert await refusal(server.ws) == (503, "5")
                    answer = await exchange(server.url, GET)
                    assert (status_of(answer), b"retry-after: 5\r\n" in answer) == (503, True)
                    await asyncio.gather(*(talk(client) for client in clients))
                answer = b"HTTP/1.1 503"
                async with asyncio.timeout(10):
                    while status_of(answer) == 503:  # until the server has seen the sixth go
                        answer = await exchange(server.url, GET)
                assert status_of(answer) == 200
                async with joined(server.ws) as late:
                    await talk(late)

    asyncio.run(scenario())


def test_22_one_connection_over_a_clients_share_is_refused_with_429() -> None:
    async def scenario() -> None:
        admission = Admission(total=100, per_client=3, spared=lambda _: False)
        http = ChatHttpProtocol.limited(admission)
        async with serving([EchoBackend()], http=http) as (hub, url), joined(url) as one, joined(url) as two:
            async with joined(url):
                assert await refusal(url) == (429, "5")
                assert status_of(await exchange(url, GET)) == 429
                await asyncio.gather(talk(one), talk(two))
            await eventually(lambda: admission.open == 2)
            async with joined(url) as late:
                await talk(late)
            assert hub.connections.active_connections

    asyncio.run(scenario())


def test_22_two_hundred_too_many_at_once_harm_nobody() -> None:
    async def scenario() -> None:
        with running(MAX_CONNECTIONS="4") as server:
            async with joined(server.ws) as client:
                statuses = await asyncio.gather(*(try_get(server.url) for _ in range(200)))
                assert {200, 503} >= set(statuses) - {None}, "the rest is cut off without a word"
                await talk(client)
            assert len(server.events("a connection was refused")) < 10, "refusals are told once a second"

    async def try_get(url: str) -> int | None:
        try:
            return status_of(await exchange(url, GET))
        except ConnectionError:
            return None

    asyncio.run(scenario())


# 23


@asynccontextmanager
async def crowd(url: str, count: int, beginning: bytes) -> AsyncGenerator[list[socket.socket]]:
    """So many connections that have said `beginning` and no more."""
    sockets = await asyncio.gather(*(dial(url) for _ in range(count)))
    try:
        for raw in sockets:
            await say(raw, beginning)
        yield list(sockets)
    finally:
        for raw in sockets:
            raw.close()


def test_23_five_hundred_half_handshakes_do_not_stop_a_new_client() -> None:
    async def scenario() -> None:
        with running() as server:
            async with crowd(server.url, 500, HALF_HANDSHAKE):
                async with joined(server.ws) as client:
                    await talk(client)
                assert status_of(await exchange(server.url, GET)) == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("beginning", "drip", "status"),
    [
        (b"", b"", None),
        (HALF_HANDSHAKE, b"", 408),
        (HALF_HANDSHAKE, b"a", 408),
        (POST, b"", 408),
        (POST, b"a", 408),
    ],
    ids=["nothing", "half a handshake", "a head that drips", "no body", "a body that drips"],
)
def test_23_what_does_not_come_in_time_is_closed_at_the_deadline(
    beginning: bytes, drip: bytes, status: int | None
) -> None:
    async def read_body(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    async def waiting(url: str) -> bytes:
        with await dial(url) as raw:
            await say(raw, beginning)
            reading = asyncio.create_task(read_all(raw))
            while not reading.done():
                await say(raw, drip)
                await asyncio.sleep(0.05)  # the drip
            return await reading

    async def scenario() -> None:
        admission = Admission()
        http = ChatHttpProtocol.limited(admission, HttpLimits(head_s=0.3, body_s=0.3, farewell_s=0.3))
        async with listening(Starlette(routes=[Route("/", read_body, methods=["POST"])]), http=http) as url:
            answers = await asyncio.gather(*(waiting(url) for _ in range(50)))
            assert {status_of(answer) for answer in answers} == {status}
            await eventually(lambda: admission.open == 0)

    asyncio.run(scenario())


# 24


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"a" * 2_000_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n" + b"x: y\r\n" * 100_000 + b"\r\n", 431),
        (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", 414),
    ],
    ids=["a header of 2 MB", "100,000 headers", "an address of 1 MB"],
)
def test_24_a_head_that_is_too_large_is_refused_and_costs_no_memory(server: Program, head: bytes, status: int) -> None:
    async def scenario() -> None:
        for _ in range(10):
            assert status_of(await exchange(server.url, head)) == status
        before = server.memory()
        for _ in range(20):
            assert status_of(await exchange(server.url, head)) == status
        assert server.memory() - before < MEMORY
        async with joined(server.ws) as client:
            await talk(client)

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def server() -> Iterator[Program]:
    with running() as program:
        yield program


# 25


def test_25_a_flood_of_messages_is_limited_then_closed_and_holds_up_nobody(server: Program) -> None:
    async def scenario() -> None:
        async with joined(server.ws) as other, joined(server.ws) as flooding:
            closed = asyncio.create_task(flooding.until_closed())
            sending = asyncio.create_task(flood(flooding))
            for _ in range(15):
                await other.send('{"type":"ping"}')
                await other.until("pong")
            assert await closed == 4429
            await sending
            assert flooding.socket.close_reason == "retry_after=5"
            errors = [frame for frame in flooding.frames if frame["type"] == "error"]
            assert {frame["code"] for frame in errors} == {"rate_limited"}
            assert all(float(str(frame["retry_after"])) > 0 for frame in errors)
            await talk(other)

    async def flood(client: SocketClient) -> None:
        with suppress(ConnectionClosed):
            while True:
                await client.send('{"type":"ping"}')
                await asyncio.sleep(0)

    asyncio.run(scenario())
