"""A real server on a free port, in the test's own event loop, so that a test holds the hub by the hand."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from backends.base import Backend
from server.admission import Admission
from server.clock import Clock
from server.http_protocol import ChatHttpProtocol
from server.hub import Hub
from server.options import HubOptions
from server.origins import OriginPolicy
from server.routes.websocket import chat_socket
from server.websocket_protocol import ChatSocketProtocol
from tests.server.doubles import PATIENCE_S, Client


class Server(uvicorn.Server):
    """Leaves the process's signals alone, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def serving(
    backends: Sequence[Backend],
    options: HubOptions | None = None,
    clock: Clock | None = None,
    send_buffer: int | None = None,
    ping_s: float = 20.0,
    **config: Any,
) -> AsyncGenerator[tuple[Hub, str]]:
    """A hub behind a socket. Gives the hub, and the address of `/ws`. `send_buffer`: the kernel's, in bytes.

    `ping_s`: the keepalive's interval, and its patience. `config` is uvicorn's.
    """
    hub = Hub(backends, options, clock)
    await hub.start()
    listener = socket.create_server(("127.0.0.1", 0))
    if send_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    port = listener.getsockname()[1]
    app = Starlette(routes=[chat_socket(hub, OriginPolicy("127.0.0.1", port))])
    async with listening(app, listener, ping_s, **config):
        try:
            yield hub, f"ws://127.0.0.1:{port}/ws"
        finally:
            await hub.close()


@asynccontextmanager
async def listening(
    app: ASGIApp, listener: socket.socket | None = None, ping_s: float = 20.0, **config: Any
) -> AsyncGenerator[str]:
    """`app`, without its lifespan, behind a socket. Gives its address. `config` is uvicorn's, where it is another."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    usual: dict[str, Any] = {
        "http": ChatHttpProtocol.limited(Admission()),
        "ws": ChatSocketProtocol,
        "ws_max_size": 65_536,
        "ws_ping_interval": ping_s,
        "ws_ping_timeout": ping_s,
        "ws_per_message_deflate": False,
        "log_config": None,
        "proxy_headers": False,
        "lifespan": "off",
    }
    server = Server(uvicorn.Config(app, **{**usual, **config}))
    task = asyncio.create_task(server.serve([listener]))
    await server.listening.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


class SocketClient(Client):
    """A client over a real socket."""

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__()
        self.socket = socket

    async def send(self, text: str) -> None:
        await self.socket.send(text)

    async def until(self, *kinds: str) -> dict[str, object]:
        """Read up to the next frame of one of these types."""
        async with asyncio.timeout(PATIENCE_S):
            while (data := self.read(str(await self.socket.recv())))["type"] not in kinds:
                pass
            return data

    async def until_closed(self) -> int | None:
        """Read to the end. Gives the code it was closed with."""
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionClosed):
                while True:
                    self.read(str(await self.socket.recv()))
        return self.socket.close_code


@asynccontextmanager
async def joined(url: str, client: Client | None = None) -> AsyncGenerator[SocketClient]:
    """A client that has read the hello; with an earlier `client`, one that goes on where that one was."""
    async with connect(url + (client.query if client else ""), compression=None, max_queue=None) as socket:
        fresh = SocketClient(socket)
        if client is not None:
            fresh.state = client.state
        await fresh.until("system")
        yield fresh


def say(message: str, cmd_id: str | None = None, **more: object) -> str:
    """The frame in which a client says `message`."""
    return json.dumps({"type": "user", "message": message, "cmd_id": cmd_id or message[:20], **more})
