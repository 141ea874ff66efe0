from __future__ import annotations

import asyncio
import logging
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from backends.echo import EchoBackend
from server.hub import Hub
from server.options import HubOptions
from server.protocol import NoticeEvent
from server.session import Session
from tests.server.doubles import Client, eventually, turn_over
from tests.server.raw_client import frames_and_close, read_to_the_close, slow_socket
from tests.server.serving import serving

HUGE_FRAME = b"\x81\xff" + (5_000_000).to_bytes(8, "big") + b"\0\0\0\0" + b"x" * 5_000_000
PING = b"\x89\xfd\0\0\0\0" + b"x" * 125


async def visited(hub: Hub, url: str) -> tuple[Session, socket.socket]:
    """A client that reads nothing, and the session it is in."""
    session = hub.create()
    raw = await slow_socket(url, f"?session={session.id}")
    await eventually(lambda: session.subscribers)
    return session, raw


def test_a_refused_handshake_is_no_error_in_the_log(caplog: pytest.LogCaptureFixture):
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (_, url):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, origin=Origin("https://evil.example"))
            assert (refused.value.response.status_code, refused.value.response.body) == (
                403,
                b"This page may not connect here.",
            )

    asyncio.run(scenario())
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_client_that_takes_nothing_is_cut_off_although_bytes_for_it_are_left():
    async def scenario() -> None:
        async with serving([EchoBackend()], send_buffer=4096, ping_s=0.05) as (hub, url):
            session, raw = await visited(hub, url)
            with raw:
                session.publish(NoticeEvent(message="x" * 40_000))
                await eventually(lambda: not hub.connections.active_connections)
            assert session.subscribers == 0

    asyncio.run(scenario())


def test_a_client_sent_away_for_being_slow_is_cut_off_if_it_never_reads_why():
    async def scenario() -> None:
        options = HubOptions(subscriber_bytes=100_000)
        async with serving([EchoBackend()], options, send_buffer=4096, ping_s=0.05) as (hub, url):
            session, raw = await visited(hub, url)
            with raw:
                for _ in range(9):
                    session.publish(NoticeEvent(message="x" * 100_000))
                assert session.subscribers == 0
                await eventually(lambda: not hub.connections.active_connections)

    asyncio.run(scenario())


def test_a_client_that_takes_a_long_answer_slowly_is_alive():
    async def scenario() -> None:
        async with serving([EchoBackend()], send_buffer=4096, ping_s=0.2) as (hub, url):
            session, raw = await visited(hub, url)
            received, client, loop = b"", Client(), asyncio.get_running_loop()
            with raw:
                session.publish(NoticeEvent(message="x" * 400_000))
                began = loop.time()
                while len(received) < 400_000:
                    piece = await loop.sock_recv(raw, 4_096)
                    assert piece, f"cut off after {len(received)} bytes"
                    received += piece
                    await asyncio.sleep(0.012)  # what makes it slow
                assert loop.time() - began > 0.8, "it must take several times the keepalive's patience"
            texts, _ = frames_and_close(received)
            for text in texts:
                client.read(text)
            assert session.subscribers == 1
            assert client.types()[0] == "system"

    asyncio.run(scenario())


def test_pings_whose_pongs_are_never_read_cost_no_memory():
    async def scenario() -> None:
        async with serving([EchoBackend()], send_buffer=4096) as (hub, url):
            _, raw = await visited(hub, url)
            with raw:
                sent = 0
                try:
                    async with asyncio.timeout(1):
                        while sent < 64 * 1024 * 1024:
                            await asyncio.get_running_loop().sock_sendall(raw, PING * 500)
                            sent += len(PING) * 500
                except TimeoutError:
                    pass
                assert sent < 16 * 1024 * 1024, "the flood must be held back"

    asyncio.run(scenario())


def test_what_is_sent_while_a_broken_client_is_being_closed_is_no_mistake(caplog: pytest.LogCaptureFixture):
    async def scenario() -> None:
        async with serving([EchoBackend()], send_buffer=4096) as (hub, url):
            session, raw = await visited(hub, url)
            with raw:
                session.publish(NoticeEvent(message="x" * 40_000))
                await turn_over()
                await asyncio.get_running_loop().sock_sendall(raw, b"\x81\x05hello")  # not masked, as it must be
                for _ in range(200):
                    if not session.subscribers:
                        break
                    session.publish(NoticeEvent(message="more"))
                    await turn_over(1)
            await eventually(lambda: not hub.connections.active_connections)

    asyncio.run(scenario())
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_client_in_the_middle_of_a_frame_that_is_too_large_learns_why_it_is_closed():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url):
            _, raw = await visited(hub, url)
            await asyncio.get_running_loop().sock_sendall(raw, HUGE_FRAME)  # far more than is read before it is refused
            assert (await read_to_the_close(raw))[1] == 1009
            await eventually(lambda: not hub.connections.active_connections)

    asyncio.run(scenario())
