"""The page's files, and nothing beside them: by no path, no encoding, no link, and no heap of ranges."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from server.routes.pages import page_routes
from tests.application import application
from tests.server.raw_client import exchange
from tests.server.serving import listening

LEADING_OUT = [
    "/static/../app.py",
    "/static/%2e%2e/app.py",
    "/static/..%2fapp.py",
    "/static/%2e%2e%2fapp.py",
    "/static/..%5capp.py",
    "/static/....//app.py",
    "/static/./../app.py",
    "/static//etc/passwd",
    "/static/%2fetc/passwd",
    "/static/vendor/../../app.py",
    "/static/index.html%00.js",
    "/static/\xff",
    "/static/" + "../" * 50 + "etc/passwd",
    "/static/" + "a" * 5_000,
]
MANY_RANGES = "bytes=" + ",".join(["0-"] * 800)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with application() as url:
        yield url


def test_71_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "index.html").write_text("page")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)

    async def scenario() -> None:
        async with listening(Starlette(routes=page_routes(folder))) as url, httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/static/index.html")).text == "page"
            for path in ("/static/link", "/static/up/secret"):
                assert (await client.get(path)).status_code == 404

    asyncio.run(scenario())


@pytest.mark.parametrize("path", LEADING_OUT, ids=lambda path: path[:40])
def test_71_no_path_leads_out_of_the_pages_files(url: str, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: {url.removeprefix('http://')}\r\nConnection: close\r\n\r\n"
    answer = asyncio.run(exchange(url, request.encode("latin-1")))
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), answer[:200]
    assert b"composition root" not in answer
    assert b"root:" not in answer


def test_71_a_heap_of_ranges_costs_next_to_nothing(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        whole = client.get("/static/style.css", headers={"accept-encoding": "identity"})
        began = time.process_time()
        answer = client.get("/static/style.css", headers={"range": MANY_RANGES, "accept-encoding": "identity"})
        assert time.process_time() - began < 1.0
        assert answer.status_code in (200, 206, 400, 416)
        assert len(answer.content) <= len(whole.content) + 1_000, "a part is not sent more than once"
        assert client.get("/static/style.css", headers={"range": "bytes=0-9"}).content == whole.content[:10]
