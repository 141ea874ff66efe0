"""Connections that end while the server is in the middle of saying something, from either side."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import struct
from collections.abc import Awaitable, Callable, Iterator

import pytest
import structlog
from structlog.testing import LogCapture

from backends.echo import EchoBackend
from server.hub import Hub
from tests.server.doubles import eventually, turn_over
from tests.server.raw_client import frame, slow_socket
from tests.server.serving import SocketClient, joined, serving

LONG = "word " * 6_000


@pytest.fixture(autouse=True)
def nothing_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Neither by our own modules nor by uvicorn, nor as a task's exception that was never retrieved."""
    ours = LogCapture()
    structlog.configure(processors=[ours])
    caplog.set_level(logging.WARNING)
    yield
    structlog.reset_defaults()
    gc.collect()
    assert [line for line in ours.entries if line["log_level"] in ("error", "critical")] == []
    assert [record.getMessage() for record in caplog.records if record.name != "tests"] == []


async def leave_politely(hub: Hub, client: SocketClient) -> None:
    await client.socket.close()


async def leave_without_a_word(hub: Hub, client: SocketClient) -> None:
    client.socket.transport.abort()


async def be_sent_away(hub: Hub, client: SocketClient) -> None:
    reading = asyncio.create_task(client.until_closed())
    await hub.connections.close_all(1012, "retry_after=1")
    assert await reading == 1012


async def both_at_once(hub: Hub, client: SocketClient) -> None:
    await asyncio.gather(client.socket.close(), hub.connections.close_all(1012, "retry_after=1"))


@pytest.mark.parametrize("end", [leave_politely, leave_without_a_word, be_sent_away, both_at_once])
def test_37_a_connection_may_end_in_the_middle_of_an_answer(
    end: Callable[[Hub, SocketClient], Awaitable[None]],
) -> None:
    async def scenario() -> None:
        async with serving([EchoBackend()], send_buffer=4096) as (hub, url):
            for _ in range(5):
                async with joined(url) as client:
                    await client.send(json.dumps({"message": LONG}))
                    await client.until("delta")
                    await end(hub, client)
                await eventually(lambda: not hub.connections.active_connections)
            await turn_over()

    asyncio.run(scenario())


def test_37_a_client_that_has_read_nothing_may_close_while_it_is_sent_much() -> None:
    async def scenario() -> None:
        async with serving([EchoBackend()], send_buffer=4096) as (hub, url):
            for ending in (frame(8, struct.pack("!H", 1000)), b""):
                with await slow_socket(url) as raw:
                    await eventually(lambda: hub.connections.active_connections)
                    message = json.dumps({"message": LONG}).encode()
                    await asyncio.get_running_loop().sock_sendall(raw, frame(1, message) + ending)
                    await eventually(lambda: hub.active)
                await eventually(lambda: not hub.connections.active_connections)

    asyncio.run(scenario())


def test_37_a_frame_on_its_way_to_a_server_that_closes_harms_nobody() -> None:
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), joined(url) as client:
            closing = asyncio.create_task(hub.connections.close_all(1012, "retry_after=1"))
            for number in range(50):
                if client.socket.state.name != "OPEN":
                    break
                await client.send(json.dumps({"message": f"late {number}"}))
                await asyncio.sleep(0)
            assert await client.until_closed() == 1012
            await closing

    asyncio.run(scenario())
