"""Every code that a socket is closed with, and what a client is told beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from backends.echo import EchoBackend
from server.hub import Hub
from server.options import HubOptions
from server.protocol import CloseCode, NoticeEvent
from server.routes.websocket import BAD_FRAMES_IN_A_ROW
from tests.server.doubles import eventually
from tests.server.raw_client import frame, read_to_the_close, slow_socket
from tests.server.serving import SocketClient, joined, serving


async def too_large(hub: Hub, client: SocketClient) -> None:
    await client.send("x" * 70_000)


async def too_many_bad_frames(hub: Hub, client: SocketClient) -> None:
    for _ in range(BAD_FRAMES_IN_A_ROW):
        await client.send("no JSON")
        await asyncio.sleep(0.06)  # slower than what counts as a flood


async def flood(hub: Hub, client: SocketClient) -> None:
    for _ in range(200):
        await client.send('{"type":"ping"}')


async def fault(hub: Hub, client: SocketClient) -> None:
    hub.execute = lambda *_: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    await client.send('{"type":"stop"}')


async def restart(hub: Hub, client: SocketClient) -> None:
    await hub.drain()


def told(code: int, reason: str = "") -> Callable[[Hub, SocketClient], Awaitable[None]]:
    """Closed by a decision that other tests are about: here it is that the word comes across."""

    async def tell(hub: Hub, client: SocketClient) -> None:
        [connection] = hub.connections._connections.values()
        connection.close(code, reason)

    return tell


@pytest.mark.parametrize(
    ("act", "code", "reason"),
    [
        (too_large, 1009, None),
        (fault, 1011, ""),
        (restart, 1012, "retry_after=1"),
        (told(1013, "retry_after=7"), 1013, "retry_after=7"),
        (too_many_bad_frames, CloseCode.BAD_CLIENT, "bad frames only"),
        (told(CloseCode.UNAUTHORIZED), CloseCode.UNAUTHORIZED, ""),
        (told(CloseCode.GONE), CloseCode.GONE, ""),
        (flood, CloseCode.FLOOD, "retry_after=5"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_socket_is_closed_with_the_code_for_it(
    act: Callable[[Hub, SocketClient], Awaitable[None]], code: int, reason: str | None
) -> None:
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), joined(url) as client:
            acting = asyncio.create_task(act(hub, client))
            assert await client.until_closed() == code
            await asyncio.wait({acting})
            if reason is not None:
                assert client.socket.close_reason == reason

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sent", "code"),
    [(frame(1, b"x", masked=False), 1002), (frame(1, b"\xff"), 1007), (frame(2, b"x" * 70_000), 1009)],
)
def test_a_frame_that_may_not_be_has_a_code_of_the_websocket_protocol(sent: bytes, code: int) -> None:
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url):
            raw = await slow_socket(url)
            await eventually(lambda: hub.connections.active_connections)
            await asyncio.get_running_loop().sock_sendall(raw, sent)
            assert (await read_to_the_close(raw))[1] == code

    asyncio.run(scenario())


def test_a_reader_that_is_too_slow_is_closed_with_4408_and_may_come_back_at_once() -> None:
    async def scenario() -> None:
        options = HubOptions(subscriber_bytes=50_000)
        async with serving([EchoBackend()], options, send_buffer=4096) as (hub, url):
            session = hub.create()
            raw = await slow_socket(url, f"?session={session.id}")
            await eventually(lambda: session.subscribers)
            for _ in range(9):
                session.publish(NoticeEvent(message="x" * 50_000))
            assert (await read_to_the_close(raw))[1] == CloseCode.TOO_SLOW
            async with joined(f"{url}?session={session.id}") as back:
                await back.until("snapshot")

    asyncio.run(scenario())
