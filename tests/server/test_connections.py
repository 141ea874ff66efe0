from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from backends.echo import EchoBackend
from server.connections import AT_ONCE
from server.protocol import LoadingMessage, SystemMessage
from server.session import Session
from tests.server.doubles import PATIENCE_S, eventually
from tests.server.serving import joined, serving


def test_open_sockets_are_listed_and_closed_ones_are_not():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url):
            async with joined(url), joined(url):
                assert len(hub.connections.active_connections) == 2
            await eventually(lambda: not hub.connections.active_connections)

    asyncio.run(scenario())


def test_a_message_can_be_sent_to_one_socket():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), joined(url) as one, joined(url) as other:
            manager = hub.connections
            await manager.send_message(json.dumps({"type": "system", "message": "you"}), manager.active_connections[0])
            assert (await one.until("system"))["message"] == "you"
            await other.send('{"type":"ping"}')
            await other.until("pong")
            assert other.types() == ["system", "pong"]

    asyncio.run(scenario())


def test_a_notice_reaches_every_socket_of_every_session():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), joined(url) as one, joined(url) as other:
            hub.connections.broadcast(LoadingMessage(model="m", message="loading", done=1, total=2))
            hub.connections.broadcast(SystemMessage(message="Going down soon."))
            for client in (one, other):
                assert (await client.until("loading"))["done"] == 1
                assert (await client.until("system"))["message"] == "Going down soon."

    asyncio.run(scenario())


def test_a_notice_to_many_lets_others_have_their_turn_and_the_latest_is_what_everybody_has():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(joined(url)) for _ in range(AT_ONCE + 8)]
            hub.connections.broadcast(SystemMessage(message="first"))
            others: list[str] = []
            asyncio.get_running_loop().call_soon(others.append, "had a turn")
            hub.connections.broadcast(SystemMessage(message="second"))
            last = clients[-1]
            assert (await last.until("system"))["message"] == "second"
            assert others
            await clients[0].send('{"type":"ping"}')
            await clients[0].until("pong")
            seen = [frame["message"] for frame in clients[0].frames if frame["type"] == "system"]
            assert seen[-1] == "second"

    asyncio.run(scenario())


def test_all_sockets_are_closed_with_the_same_word():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), joined(url) as one, joined(url) as other:
            closing = asyncio.create_task(hub.connections.close_all(1013, "retry_after=3"))
            assert [await one.until_closed(), await other.until_closed()] == [1013, 1013]
            assert one.socket.close_reason == "retry_after=3"
            await closing
            assert hub.connections.active_connections == []

    asyncio.run(scenario())


def test_a_socket_that_comes_while_all_are_closed_is_closed_too(monkeypatch: pytest.MonkeyPatch):
    """It is accepted, but its conversation is still being read: nobody could close it before that is done."""

    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url):
            reading, read = asyncio.Event(), asyncio.Event()
            open_ = hub.open

            async def slowly(*asked: str) -> Session:
                reading.set()
                await read.wait()
                return await open_(*asked)

            monkeypatch.setattr(hub, "open", slowly)
            async with connect(url) as socket:
                await reading.wait()
                closing = asyncio.create_task(hub.connections.close_all(1012, "retry_after=1"))
                await asyncio.sleep(0)
                assert not closing.done(), "it waits for the socket that is on its way"
                read.set()
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(hear(socket), PATIENCE_S)
                assert closed.value.rcvd is not None
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1012, "retry_after=1")
            await closing

    async def hear(socket: ClientConnection) -> None:
        while True:
            await socket.recv()

    asyncio.run(scenario())


def test_a_caller_whose_key_was_removed_while_they_came_in_is_told_nothing():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), connect(url) as first:
            await first.recv()
            hub.connections.welcomes = lambda caller: False
            async with connect(url) as socket:
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(socket.recv(), PATIENCE_S)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 4401

    asyncio.run(scenario())


def test_a_fault_of_ours_closes_that_socket_alone_and_says_so(monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), joined(url) as one, joined(url) as other:
            with monkeypatch.context() as broken:
                broken.setattr(hub, "execute", lambda *_: 1 / 0)
                await one.send('{"type":"stop"}')
                assert await one.until_closed() == 1011
            await other.send('{"message":"Hi"}')
            await other.until("ai")

    asyncio.run(scenario())
