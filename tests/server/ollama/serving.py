"""The Ollama-shaped API over a hub: in the test's own process, or behind a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.testclient import TestClient

from backends.base import Backend
from server.clock import Clock
from server.errors import add_error_handlers
from server.hub import Hub
from server.ollama.chat import chat
from server.routes.chat import chat_router
from server.routes.ollama import ollama_router
from tests.server.serving import listening

SECONDS = 60  # more than anything here takes on a busy machine


def application(hub: Hub) -> FastAPI:
    app = FastAPI()
    app.include_router(ollama_router(hub))
    app.include_router(chat_router(hub, converse=chat))
    add_error_handlers(app)
    return app


@contextmanager
def inside(*backends: Backend, clock: Clock | None = None) -> Iterator[tuple[Hub, TestClient]]:
    """The hub, and a client without a socket."""
    hub = Hub(backends, clock=clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        await hub.start()
        yield
        await hub.close()

    app = application(hub)
    app.router.lifespan_context = lifespan
    with TestClient(app, raise_server_exceptions=False) as client:
        yield hub, client


@asynccontextmanager
async def door(*backends: Backend, clock: Clock | None = None) -> AsyncGenerator[tuple[Hub, str]]:
    """A server on a free port. Gives its hub and its address."""
    hub = Hub(backends, clock=clock)
    await hub.start()
    async with listening(application(hub)) as url:
        try:
            yield hub, url
        finally:
            await hub.close()


def within(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), SECONDS)

    asyncio.run(bounded())


def lines_of(body: bytes) -> list[dict[str, Any]]:
    """The objects of a body that has one on each line."""
    assert body.endswith(b"\n")
    return [orjson.loads(line) for line in body.splitlines()]
