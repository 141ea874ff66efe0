"""Routes over a hub, without a socket: a client of the framework's own that starts the hub and ends it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager

from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from server.body_limit import BodyLimitMiddleware
from server.errors import add_error_handlers
from server.hub import Hub

MAX_BODY = 10_000  # bytes


@contextmanager
def routed(hub: Hub, *routers: APIRouter) -> Iterator[TestClient]:
    """A client of these routes, with the errors of the whole application and a limit to what may be sent."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        await hub.start()
        yield
        await hub.close()

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(BodyLimitMiddleware, max_bytes=MAX_BODY)
    for router in routers:
        app.include_router(router)
    add_error_handlers(app)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
