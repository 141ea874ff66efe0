"""The page and its files."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles


def page_routes(directory: Path) -> list[BaseRoute]:
    """`GET /` and everything under `/static`."""

    async def index(request: Request) -> Response:
        del request
        return FileResponse(directory / "index.html")

    return [Route("/", index), Mount("/static", StaticFiles(directory=directory), name="static")]
