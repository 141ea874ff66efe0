"""What all tests share: how Hypothesis searches, and real servers on free ports."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hypothesis
import pytest
import uvicorn

from app import create_admission, create_app
from config import Settings
from engine.errors import KernelsUnavailable
from engine.kernels.build import build
from server.http_protocol import ChatHttpProtocol
from server.websocket_protocol import ChatSocketProtocol

hypothesis.settings.register_profile("dev", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile(
    "ci", hypothesis.settings.get_profile("dev"), derandomize=True, print_blob=True, database=None
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


os.environ["DATABASE_URL"] = "off"  # a test that wants a history has one of its own


@pytest.fixture(scope="session", autouse=True)
def compiled() -> Path | KernelsUnavailable:
    """The engine's kernels, compiled before the first test, so that no test compiles them beside what it watches."""
    try:
        return build()
    except KernelsUnavailable as error:
        return error


@pytest.fixture
def kernels(compiled: Path | KernelsUnavailable) -> Path:
    """The kernels' library, for a test that is worth nothing without it: skipped, loudly, where it cannot be built."""
    if isinstance(compiled, KernelsUnavailable):
        pytest.skip(f"NO COMPILED KERNELS, so this was not tested. {compiled}")
    return compiled


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright's event loop runs on in the main thread until the session ends."""
    items.sort(key=lambda item: "browser" in item.path.parts)


class _Server(uvicorn.Server):
    """Runs in a thread of its own, where signals are none of its business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _running(settings: Settings, listener: socket.socket) -> Iterator[str]:
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


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start the whole application with the given settings, by default on the echo backend. Gives its base URL.

    Settings are named in lower case: `serve(backends=["echo"], max_tokens=50)`. Servers end with the test.
    """
    with ExitStack() as servers:

        def start(**changes: object) -> str:
            listener = socket.create_server(("127.0.0.1", 0))
            chosen = {"BACKENDS": ["echo"], **{name.upper(): value for name, value in changes.items()}}
            settings = Settings(**{**chosen, "PORT": listener.getsockname()[1]})
            return servers.enter_context(_running(settings, listener))

        yield start
