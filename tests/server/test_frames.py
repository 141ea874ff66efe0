"""Texts as WebSocket frames: what a client of the protocol reads of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from server.frames import EXTENSION, text_frame
from tests.server.doubles import PATIENCE_S
from tests.server.serving import listening

TEXTS = ["", "a", "é" * 62, "a" * 125, "a" * 126, "😀" * 1000, "a" * 65_535, "a" * 65_536, "b" * 200_000]


@asynccontextmanager
async def client(endpoint: Callable[[WebSocket], Awaitable[None]]) -> AsyncGenerator[ClientConnection]:
    """A client of a server that does what `endpoint` does."""
    app = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
    async with (
        asyncio.timeout(PATIENCE_S),
        listening(app) as url,
        connect(url.replace("http", "ws") + "/ws", compression=None) as connection,
    ):
        yield connection


def test_texts_of_every_length_arrive_as_they_were_in_one_write() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.scope["extensions"][EXTENSION](b"".join(map(text_frame, TEXTS)))
        await websocket.receive()

    async def test() -> None:
        async with client(endpoint) as connection:
            assert [await connection.recv() for _ in TEXTS] == TEXTS

    asyncio.run(test())


def test_nothing_is_written_after_the_close() -> None:
    refused: list[bool] = []

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        write = websocket.scope["extensions"][EXTENSION]
        await websocket.close(4400)
        with pytest.raises(OSError):  # noqa: PT011
            await write(text_frame("too late"))
        refused.append(True)

    async def test() -> None:
        async with client(endpoint) as connection:
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            assert connection.close_code == 4400

    asyncio.run(test())
    assert refused


def test_a_handshake_that_fails_ends_without_an_error() -> None:
    async def test() -> None:
        async with asyncio.timeout(PATIENCE_S), listening(Starlette()) as url:
            port = int(url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            assert b" 400 " in await reader.readline()
            await reader.read()
            writer.close()

    asyncio.run(test())


def test_a_frame_is_made_once_for_all_who_ask() -> None:
    text = "".join(("a delta ", "or so"))
    assert text_frame(text) is text_frame(str(text))
    long = "a" * 100_000
    assert text_frame(long) is not text_frame(long), "long ones are not kept"
