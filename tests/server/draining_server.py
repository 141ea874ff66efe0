"""A small application served as a process of its own, whose drain a test controls: run as a program.

It says on standard output what it comes to. `/finish` ends the drain, `/fail` makes it fail, `/stick` blocks the loop.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from server.logs import configure_logs
from server.process import serve


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Work:
    """What the drain waits for."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.failed = False

    async def drain(self) -> None:
        say("draining")
        await self.done.wait()
        if self.failed:
            raise RuntimeError("the drain failed")
        say("drained")


def application(work: Work) -> Starlette:
    async def finish(request: Request) -> Response:
        work.failed = request.url.path == "/fail"
        work.done.set()
        return PlainTextResponse("ok")

    async def stick(request: Request) -> Response:
        say("stuck")
        time.sleep(60)  # noqa: ASYNC251  # what no application must do
        return PlainTextResponse("ok")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        say("up")
        yield
        say("closed")

    routes = [Route("/finish", finish), Route("/fail", finish), Route("/stick", stick)]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    configure_logs("info")
    work = Work()
    sys.exit(serve(application(work), "127.0.0.1", 0, 65_536, drain=work.drain))
