"""The page and its files, and the page that shows the description of the API."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles


def page_routes(directory: Path) -> list[BaseRoute]:
    """`GET /`, `GET /docs` and everything under `/static`."""

    async def index(request: Request) -> Response:
        del request
        return FileResponse(directory / "index.html")

    async def docs(request: Request) -> Response:
        del request
        return FileResponse(directory / "docs.html")

    async def redoc(request: Request) -> Response:
        """The other name that such a page goes by."""
        del request
        return RedirectResponse("docs")

    return [
        Route("/", index),
        Route("/docs", docs),
        Route("/redoc", redoc),
        Mount("/static", StaticFiles(directory=directory), name="static"),
    ]
