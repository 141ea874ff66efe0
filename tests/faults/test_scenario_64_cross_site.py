"""What other sites can make a browser send changes nothing: not by a form, not by a script, not by an image."""

from __future__ import annotations

import itertools
import json

import httpx
import pytest

from app import create_app
from config import Settings
from server.access.rules import is_open
from tests.faults.guarded import guarded
from tests.faults.whole_server import play, say, whole
from tests.server.serving import joined

SIMPLE: list[dict[str, str]] = [
    {"content-type": "text/plain"},
    {"content-type": "application/x-www-form-urlencoded"},
    {"content-type": "multipart/form-data; boundary=x"},
    {},
]
FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]
WRITES = [
    ("/api/models/load", {"model": "recital/recital"}),
    ("/generate", {"prompt": "Hi"}),
    ("/api/chat", {"message": "Hi"}),
    ("/api/generate", {"model": "recital", "prompt": "Hi"}),
    ("/api/pull", {"model": "recital"}),
    ("/v1/completions", {"prompt": "Hi"}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    ("/api/import", {}),
    ("/api/login", {"key": "sb-"}),
    ("/api/logout", {}),
    ("/nowhere", {}),
]


def test_64_no_write_of_another_site_is_done_whatever_it_says_it_is() -> None:
    async def scenario() -> None:
        async with whole() as server, server.http() as http:
            current = server.hub.current
            kinds = itertools.cycle(SIMPLE)
            for (path, body), site in itertools.product(WRITES, FOREIGN):
                headers = {**site, **next(kinds)}
                refused = await http.post(path, content=json.dumps(body), headers=headers)
                assert refused.status_code == 403, f"{path} with {headers} was answered {refused.status_code}"
                assert "access-control-allow-origin" not in refused.headers
            assert server.recital.requests == []
            assert server.hub.current == current

    play(scenario)


def test_64_a_browser_that_brings_a_log_in_along_is_refused_as_well() -> None:
    async def scenario() -> None:
        async with guarded() as asked, asked.server.http() as http:
            await http.post("/api/login", json={"key": asked.ann}, headers={"origin": asked.server.url})
            for path, body in WRITES:
                unsaid = () if is_open(path) else ({}, {"sec-fetch-site": "none"})
                for site in (*unsaid, *FOREIGN):
                    refused = await http.post(path, content=json.dumps(body), headers=site)
                    assert refused.status_code == 403, f"{path} with {site} was answered {refused.status_code}"
            assert asked.server.recital.requests == []
            own = {"origin": asked.server.url}
            assert (await http.post("/generate", json={"prompt": "Hi"}, headers=own)).status_code == 200

    play(scenario)


def test_64_other_sites_are_told_nothing_when_they_ask_beforehand() -> None:
    async def scenario() -> None:
        async with whole() as server, server.http() as http:
            for path, _ in WRITES:
                asking = {"origin": "https://evil.example", "access-control-request-method": "POST"}
                answer = await http.options(path, headers=asking)
                assert "access-control-allow-origin" not in answer.headers, path

    play(scenario)


@pytest.fixture(scope="module")
def reads() -> list[str]:
    paths = create_app(Settings(backends=["echo"])).openapi()["paths"]
    return [path for path, operations in paths.items() if "get" in operations and not path.startswith("/api/stream")]


def test_64_to_read_changes_nothing(reads: list[str]) -> None:
    async def scenario() -> None:
        async with whole() as server, server.http() as http:
            async with joined(server.ws) as client:
                await client.send(say("Hi"))
                await client.until("ai")
                session = client.session
            before = await state(http)
            made = len(server.recital.requests)
            for path in reads:
                filled = path.replace("{session_id}", session).replace("{name}", "recital/recital")
                for query in ("", "?message=Hi&prompt=Hi&model=recital&title=Mine&pinned=true&_method=DELETE&key=x"):
                    await http.get(filled + query, headers={"x-http-method-override": "DELETE"})
                    await http.head(filled + query)
            assert await state(http) == before
            assert len(server.recital.requests) == made

    play(scenario)


async def state(http: httpx.AsyncClient) -> object:
    """What there is to change."""
    sessions = (await http.get("/api/sessions")).json()
    models = (await http.get("/api/models")).json()
    return sessions, models["current"]
