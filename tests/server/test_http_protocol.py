from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager

import pytest
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from server.admission import Admission
from server.http_limits import HttpLimits
from server.http_protocol import ChatHttpProtocol
from tests.server.doubles import eventually
from tests.server.raw_client import dial, exchange, read_all, read_answer, say, status_of
from tests.server.serving import listening

Run = Callable[[Coroutine[None, None, None]], None]
QUICK = HttpLimits(head_s=0.15, body_s=0.15, body_pace=100, unsent_s=0.15, unsent_pace=2000, farewell_s=0.3)
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST /size HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Both loops that this is going to run on treat what is closed and not yet sent in ways of their own."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def size(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def long(request: Request) -> Response:
    return PlainTextResponse("x" * 3_000_000)


async def medium(request: Request) -> Response:
    return PlainTextResponse("x" * 50_000)  # less than makes the application wait


async def endless(request: Request) -> Response:
    async def pieces() -> AsyncGenerator[str]:
        while True:
            await asyncio.sleep(0)  # or nothing could stop it
            yield "x" * 1000

    return StreamingResponse(pieces())


async def refuse_unread(request: Request) -> Response:
    return PlainTextResponse("no", 413)


class Gate:
    """A route that waits until the test lets it go on, and then reads what it was sent."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.entered.set()
        await self.open.wait()
        length = len(await Request(scope, receive).body())
        await PlainTextResponse(str(length))(scope, receive, send)


@asynccontextmanager
async def small_server(limits: HttpLimits = QUICK, gate: Gate | None = None) -> AsyncGenerator[tuple[str, Admission]]:
    admission = Admission()
    routes = [
        Route("/", hello),
        Route("/size", size, methods=["POST"]),
        Route("/long", long),
        Route("/medium", medium),
        Route("/endless", endless),
        Route("/refuse", refuse_unread, methods=["POST"]),
        Route("/gate", gate or hello, methods=["POST"]),
    ]
    protocol = ChatHttpProtocol.limited(admission, limits)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    async with listening(Starlette(routes=routes), listener, http=protocol) as url:
        yield url, admission
        await eventually(lambda: not admission.open and not admission.turned_away)


# Deadlines


@pytest.mark.parametrize("beginning", [b"G", b"GET / HTTP/1.1\r\nhost: a\r\n", GET + b"GET"])
def test_a_head_that_does_not_come_to_its_end_is_answered_408(run: Run, beginning: bytes) -> None:
    async def scenario() -> None:
        async with small_server() as (url, _):
            answer = await exchange(url, beginning)
            assert answer.count(b"HTTP/1.1 408") == 1
            assert answer.count(b"HTTP/1.1 200") == beginning.count(b"\r\n\r\n")

    run(scenario())


def test_a_connection_over_which_nothing_is_said_is_closed_without_a_word(run: Run) -> None:
    async def scenario() -> None:
        async with small_server() as (url, _):
            assert await exchange(url, b"") == b""

    run(scenario())


def test_a_head_of_one_byte_at_a_time_is_too_late(run: Run) -> None:
    async def scenario() -> None:
        async with small_server() as (url, _):
            with await dial(url) as raw:
                await say(raw, b"GET / HTTP/1.1\r\nhost: ")
                reading = asyncio.create_task(read_all(raw))
                while not reading.done():
                    await say(raw, b"a")
                    await asyncio.sleep(0.02)  # the pace that is too slow
                assert status_of(await reading) == 408

    run(scenario())


def test_a_connection_that_is_kept_has_a_deadline_for_every_head(run: Run) -> None:
    async def scenario() -> None:
        async with small_server() as (url, _):
            with await dial(url) as raw:
                for _ in range(3):
                    await say(raw, GET)
                    assert status_of(await read_answer(raw)) == 200
                await say(raw, b"GET /")
                assert status_of(await read_all(raw)) == 408

    run(scenario())


@pytest.mark.parametrize("piece", [b"", b"x", b"x" * 20])
def test_a_body_that_does_not_keep_pace_is_answered_408(run: Run, piece: bytes) -> None:
    async def scenario() -> None:
        async with small_server() as (url, _):
            with await dial(url) as raw:
                await say(raw, POST % 1_000_000)
                reading = asyncio.create_task(read_all(raw))
                while not reading.done():
                    await say(raw, piece)
                    await asyncio.sleep(0.05)  # the pace that is too slow
                assert status_of(await reading) == 408

    run(scenario())


def test_a_body_may_take_longer_than_the_deadline_if_it_keeps_pace(run: Run) -> None:
    async def scenario() -> None:
        limits = HttpLimits(body_s=0.3, body_pace=10)
        async with small_server(limits) as (url, _):
            with await dial(url) as raw:
                await say(raw, POST % 20_000)
                for _ in range(20):
                    await say(raw, b"x" * 1000)
                    await asyncio.sleep(0.05)  # three deadlines, all in all
                assert (await read_answer(raw)).endswith(b"20000")

    run(scenario())


def test_a_client_is_not_blamed_for_what_the_application_does_not_read(run: Run) -> None:
    async def scenario() -> None:
        gate = Gate()
        async with small_server(gate=gate) as (url, _):
            with await dial(url) as raw:
                saying = asyncio.create_task(say(raw, POST.replace(b"size", b"gate") % 9_000_000 + b"x" * 9_000_000))
                await gate.entered.wait()
                await asyncio.sleep(3 * QUICK.body_s)
                gate.open.set()
                assert (await read_answer(raw)).endswith(b"9000000")
                await saying

    run(scenario())


def test_a_client_that_waits_to_be_told_to_go_on_is_not_late(run: Run) -> None:
    async def scenario() -> None:
        gate = Gate()
        async with small_server(gate=gate) as (url, _):
            with await dial(url) as raw:
                await say(raw, b"POST /gate HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
                await gate.entered.wait()
                await asyncio.sleep(3 * QUICK.body_s)
                gate.open.set()
                assert status_of(await read_answer(raw)) == 100
                await say(raw, b"abc")
                assert (await read_answer(raw)).endswith(b"3")

    run(scenario())


def test_a_request_behind_one_that_is_still_answered_is_not_late(run: Run) -> None:
    async def scenario() -> None:
        gate = Gate()
        async with small_server(gate=gate) as (url, _):
            with await dial(url) as raw:
                await say(raw, b"POST /gate HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n" + GET + b"GET ")
                await gate.entered.wait()
                await asyncio.sleep(3 * QUICK.head_s)
                gate.open.set()
                await say(raw, b"/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                assert (await read_all(raw)).count(b"HTTP/1.1 200") == 3

    run(scenario())


# Sizes


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /?" + b"a" * 8_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 2_000_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 8_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"x: %s\r\n" % (b"a" * 7_000) * 5 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 101 + b"\r\n", 431),
        (b"\r\n" * 100_000, 431),
        (b"x" * 100_000, 400),
        (b"GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ],
    ids=lambda value: str(value[:12]) if isinstance(value, bytes) else None,
)
def test_a_head_that_is_too_much_is_refused_and_the_refusal_can_be_read(run: Run, request_: bytes, status: int) -> None:
    async def scenario() -> None:
        async with small_server() as (url, _):
            answer = await exchange(url, request_)
            assert status_of(answer) == status
            assert b"connection: close" in answer
            assert b'{"success": false, "error": "' in answer
            assert b"\r\nx-request-id: " in answer
            assert b"\r\nx-content-type-options: nosniff\r\n" in answer

    run(scenario())


def test_a_hundred_headers_are_no_crime(run: Run) -> None:
    async def scenario() -> None:
        async with small_server() as (url, _):
            headers = b"connection: close\r\n" + b"x: y\r\n" * 99
            assert status_of(await exchange(url, b"GET / HTTP/1.1\r\n" + headers + b"\r\n")) == 200

    run(scenario())


@pytest.mark.parametrize("trailer", [b"x: y\r\n" * 1000, b"x: " + b"y" * 1_000_000 + b"\r\n"])
def test_what_follows_a_body_is_bounded_as_well(run: Run, trailer: bytes) -> None:
    async def scenario() -> None:
        head = b"POST /size HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        async with small_server() as (url, _):
            assert status_of(await exchange(url, head + b"1\r\nx\r\n0\r\n" + trailer)) in (200, 431)

    run(scenario())


def test_requests_that_wait_in_one_connection_are_few(run: Run) -> None:
    async def scenario() -> None:
        gate = Gate()
        async with small_server(gate=gate) as (url, _):
            first = b"POST /gate HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
            with pytest.raises(ConnectionResetError):
                await exchange(url, first + GET * 10_000)
            gate.open.set()

    run(scenario())


# Ends


def test_whoever_is_refused_before_the_body_was_read_can_read_why(run: Run) -> None:
    async def scenario() -> None:
        async with small_server() as (url, _):
            head = b"POST /refuse HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 9000000\r\n\r\n"
            answer = await exchange(url, head + b"x" * 9_000_000)
            assert status_of(answer) == 413
            assert answer.endswith(b"no")

    run(scenario())


@pytest.mark.parametrize("path", [b"/long", b"/medium", b"/endless"])
@pytest.mark.parametrize("kept", [b"", b"connection: close\r\n"])
def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(run: Run, path: bytes, kept: bytes) -> None:
    async def scenario() -> None:
        async with small_server() as (url, admission):
            with await dial(url, receive_buffer=4096) as raw:
                await say(raw, b"GET " + path + b" HTTP/1.1\r\nhost: a\r\n" + kept + b"\r\n")
                await eventually(lambda: admission.open)
                await eventually(lambda: not admission.open)

    run(scenario())


def test_a_client_that_takes_a_long_answer_slowly_gets_all_of_it(run: Run) -> None:
    async def scenario() -> None:
        limits = HttpLimits(unsent_s=0.3, unsent_pace=1000)
        async with small_server(limits) as (url, _):
            with await dial(url, receive_buffer=65_536) as raw:
                await say(raw, b"GET /long HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                received, loop = b"", asyncio.get_running_loop()
                began = loop.time()
                while piece := await loop.sock_recv(raw, 65_536):
                    received += piece
                    await asyncio.sleep(0.015)  # what makes it slow
                assert loop.time() - began > 2 * limits.unsent_s
                assert len(received.partition(b"\r\n\r\n")[2]) == 3_000_000

    run(scenario())


# Upgrades


def test_a_request_that_offers_another_protocol_is_answered_in_this_one(run: Run) -> None:
    async def scenario() -> None:
        async with small_server() as (url, _):
            offer = b"host: a\r\nconnection: upgrade, close\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\nabc"
            answer = await exchange(url, b"POST /size HTTP/1.1\r\n" + offer)
            assert status_of(answer) == 200
            assert answer.endswith(b"3")

    run(scenario())


def test_a_handshake_that_the_sockets_own_parser_does_not_take_is_ended(run: Run) -> None:
    async def scenario() -> None:
        async with small_server() as (url, _):
            strange = b"host: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nx: \x80\x01\r\n\r\n"
            assert status_of(await exchange(url, b"GET /ws HTTP/1.1\r\n" + strange)) == 400

    run(scenario())
