"""The whole application behind a real socket, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from app import create_admission, create_app
from config import Settings
from server.http_protocol import ChatHttpProtocol
from server.websocket_protocol import ChatSocketProtocol


class _Server(uvicorn.Server):
    """Runs in a thread of its own, where signals are none of its business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def application(**changes: object) -> Iterator[str]:
    """Start it on a free port with the given settings, by default on the echo backend. Gives its base URL.

    Settings are named in lower case: `application(backends=["echo"], max_tokens=50)`.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    chosen = {"BACKENDS": ["echo"], **{name.upper(): value for name, value in changes.items()}}
    settings = Settings(**{**chosen, "PORT": listener.getsockname()[1]})
    admission = create_admission(settings, settings.max_connections)
    app = create_app(settings, admission)
    http = ChatHttpProtocol.limited(admission)
    config = uvicorn.Config(app, http=http, ws=ChatSocketProtocol, log_config=None, proxy_headers=False)
    server = _Server(config)
    up = threading.Event()

    async def run() -> None:
        serving = asyncio.create_task(server.serve([listener]))
        while not (server.started or serving.done()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        up.set()
        await serving

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert up.wait(30), "the server did not start within 30 s"
        assert server.started, "the server ended before it listened"
        yield f"http://127.0.0.1:{settings.port}"
    finally:
        server.should_exit = True
        thread.join(30)
