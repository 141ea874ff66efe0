"""The whole application on a free port, in the test's own event loop, which is watched for being held up."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from fastapi import FastAPI

from app import create_app
from backends.base import Backend
from config import Settings
from server.hub import Hub
from server.session import Session
from tests.faults.backends import Recital
from tests.faults.loop_watch import watched_loop
from tests.server.doubles import Client
from tests.server.serving import listening

LAST_S = 30.0  # far more than any scenario takes on a quiet machine
RECITAL = "tests.faults.backends:Recital"


@dataclass(slots=True, frozen=True)
class Whole:
    """A server that runs, and what is inside. `url` is that of the HTTP side, `ws` that of the chat's socket."""

    app: FastAPI
    url: str

    @property
    def ws(self) -> str:
        return self.url.replace("http://", "ws://") + "/ws"

    @property
    def hub(self) -> Hub:
        hub: Hub = self.app.state.hub
        return hub

    @property
    def recital(self) -> Recital:
        """The first backend, which is the one that recites."""
        backend = self.hub.backends[0]
        assert isinstance(backend, Recital)
        return backend

    def backend(self, name: str) -> Backend:
        return next(backend for backend in self.hub.backends if backend.name == name)

    def http(self, **transport: Any) -> httpx.AsyncClient:
        """A client of the HTTP side. `transport` is how it connects, where that matters."""
        bare = httpx.AsyncHTTPTransport(verify=False, limits=httpx.Limits(max_connections=None), **transport)
        return httpx.AsyncClient(base_url=self.url, timeout=LAST_S, transport=bare)

    def session(self, client: Client) -> Session:
        """The conversation that a client is in, which must be in memory."""
        session = self.hub.sessions.get(client.session)
        assert session is not None, "the server has forgotten the conversation"
        return session


@asynccontextmanager
async def whole(send_buffer: int | None = None, ping_s: float = 20.0, **settings: object) -> AsyncGenerator[Whole]:
    """Serve with these settings, named in lower case; by default the answers are recited, and sent on token by token.

    The history is in a folder of its own, which goes with the server, unless the settings name another place.
    `send_buffer`: the kernel's, in bytes. `ping_s`: the keepalive's interval, and its patience. Fails at the end when
    the event loop was ever held up.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    if send_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    with TemporaryDirectory() as folder, watched_loop():
        chosen = {"backends": [RECITAL], "stream_flush_ms": 0, "database_url": history_in(folder), **settings}
        by_name = {name.upper(): value for name, value in chosen.items()}
        app = create_app(Settings(**{**by_name, "PORT": listener.getsockname()[1]}))
        async with listening(app, listener, ping_s) as url, app.router.lifespan_context(app):
            yield Whole(app, url)


async def stored_answers(server: Whole, client: Client) -> list[str]:
    """The texts of all answers of a client's conversation, as an export has them."""
    async with server.http() as http:
        exported = (await http.get(f"/api/sessions/{client.session}")).json()
    return [message["message"] for message in exported["sessions"][0]["messages"] if message["role"] == "ai"]


def history_in(folder: Path | str) -> str:
    """The setting that keeps the history in `folder`."""
    return f"sqlite:///{folder}/history.db"


def play(scenario: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a scenario to its end, which has to come in time."""

    async def bounded() -> None:
        async with asyncio.timeout(LAST_S):
            await scenario()

    asyncio.run(bounded())


def say(message: str, cmd_id: str | None = None, **more: object) -> str:
    """The frame that says `message`."""
    return json.dumps({"type": "user", "message": message, "cmd_id": cmd_id or message[:20], **more})
