"""Without a good key nothing is answered, on every route alike, and no key is ever told."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import connect

from app import create_app
from config import Settings
from server.access.failures import ALLOWED
from server.access.rules import is_open
from server.access.tokens import Token
from tests.faults.guarded import Guarded, bearer, guarded, handshake
from tests.faults.whole_server import play
from tests.server.access.keys_for_tests import add_key, remove_key, secret_of
from tests.server.doubles import PATIENCE_S, eventually

ADDRESSES = (f"10.{high}.{middle}.{low}" for high, middle, low in itertools.product(range(9), range(250), range(250)))


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    """Every route of the application that asks for a key, as method and path."""
    paths = create_app(Settings(backends=["echo"])).openapi()["paths"]
    return [
        (method.upper(), re.sub(r"{.*?}", "0" * 32, path))
        for path, operations in paths.items()
        for method in operations
        if not is_open(path)
    ]


@asynccontextmanager
async def from_everywhere(asked: Guarded) -> AsyncGenerator[httpx.AsyncClient]:
    """A client each request of which comes from another address, so that no address fails too often."""

    async def move(request: httpx.Request) -> None:
        request.headers["x-forwarded-for"] = next(ADDRESSES)

    async with asked.server.http() as http:
        http.event_hooks = {"request": [move]}
        yield http


def test_61_every_route_asks_for_a_key_and_takes_no_wrong_one(routes: list[tuple[str, str]]) -> None:
    async def scenario() -> None:
        async with guarded(trusted_proxies=["127.0.0.1"]) as asked, from_everywhere(asked) as http:
            wrong = str(Token.new())
            shown: list[dict[str, dict[str, str]]] = [
                {"params": {"key": asked.ann}},
                {"headers": bearer(wrong)},
                {"headers": {"x-api-key": wrong}},
            ]
            for method, path in [*routes, ("GET", "/openapi.json"), ("GET", "/nowhere"), ("POST", "/api/models")]:
                for each in shown:
                    refused = await http.request(method, path, **each)
                    assert refused.status_code == 401, f"{method} {path} with {each} was answered {refused.status_code}"
                    assert refused.headers["www-authenticate"].startswith("Bearer"), path
                    assert not any(key in refused.text for key in (wrong, asked.ann)), path

    play(scenario)


def test_61_a_key_that_is_no_good_any_more_is_as_wrong_as_one_that_never_was() -> None:
    async def scenario() -> None:
        async with guarded() as asked, asked.server.http() as http:
            expired, removed = add_key(asked.keys, until=time.time() - 1), add_key(asked.keys)
            remove_key(asked.keys, removed)
            answers = []
            for key in (str(Token.new()), expired, removed, "sk-1", asked.ann[:-1]):
                for headers in (bearer(key), {"x-api-key": key}):
                    refused = await http.get("/api/me", headers=headers)
                    answers.append((refused.status_code, refused.text, refused.headers["www-authenticate"]))
            assert len(set(answers)) == 1, "nothing tells them apart"
            assert answers[0][0] == 401

    play(scenario)


def test_61_both_headers_open_every_route_alike(routes: list[tuple[str, str]]) -> None:
    async def scenario() -> None:
        async with guarded() as asked, asked.server.http() as http:
            for method, path in routes:
                if path.startswith("/api/stream"):
                    continue  # which does not end
                statuses = set()
                for headers in (bearer(asked.ann), {"x-api-key": asked.ann}):
                    statuses.add((await http.request(method, path, headers=headers)).status_code)
                assert len(statuses) == 1, (method, path, statuses)
                assert statuses.isdisjoint({401, 403, 429}), (method, path, statuses)

    play(scenario)


def test_61_streams_and_sockets_ask_like_everything_else() -> None:
    async def scenario() -> None:
        async with guarded() as asked, asked.server.http() as http:
            good, wrong = asked.bob, str(Token.new())
            for headers in (bearer(good), {"x-api-key": good}):
                async with http.stream("GET", "/api/stream/mine", headers=headers) as stream:
                    assert stream.status_code == 200
                assert await handshake(asked.server.ws, *headers.items()) == 101
            for headers in ({}, bearer(wrong), {"x-api-key": wrong}, {**bearer(good), "x-api-key": wrong}):
                async with http.stream("GET", "/api/stream/mine", headers=headers) as stream:
                    assert stream.status_code == 401
                assert await handshake(asked.server.ws, *headers.items()) == 401
            for name in ("key", "token", "api_key", "access_token", "ticket"):
                assert await handshake(f"{asked.server.ws}?{name}={good}") == 401

    play(scenario)


def test_61_whoever_fails_too_often_waits_and_nobody_else_does() -> None:
    async def scenario() -> None:
        async with guarded(trusted_proxies=["127.0.0.1"]) as asked, asked.server.http() as http:
            guesser, other = {"x-forwarded-for": "198.51.100.7"}, {"x-forwarded-for": "198.51.100.8"}
            guesses = [{**guesser, **bearer(str(Token.new()))} for _ in range(ALLOWED)]
            statuses = [(await http.get("/api/me", headers=guess)).status_code for guess in guesses]
            assert statuses == [401] * ALLOWED
            wrong = str(Token.new())
            for method, path in (("GET", "/v1/models"), ("POST", "/generate"), ("GET", "/api/stream/x")):
                refused = await http.request(method, path, headers={**guesser, "x-api-key": wrong})
                assert refused.status_code == 429, path
                assert int(refused.headers["retry-after"]) >= 1
            assert await handshake(asked.server.ws, *guesser.items(), *bearer(wrong).items()) == 429
            login = await http.post("/api/login", json={"key": wrong}, headers=guesser)
            assert login.status_code == 429
            assert (await http.get("/api/me", headers={**other, **bearer(wrong)})).status_code == 401
            assert (await http.get("/api/me", headers={**guesser, **bearer(asked.bob)})).status_code == 200

    play(scenario)


def test_61_no_key_is_in_the_log_or_in_the_measures(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets: list[str] = []

    async def scenario() -> None:
        async with guarded() as asked, asked.server.http() as http:
            keys = [asked.ann, asked.bob, str(Token.new())]
            secrets.extend(secret_of(key)[:20] for key in keys)
            for key in keys:
                for headers in (bearer(key), {"x-api-key": key}):
                    await http.get("/api/sessions", headers=headers)
                    await http.post("/v1/completions", headers=headers, json={"model": key, "prompt": 1})
                    await handshake(asked.server.ws, *headers.items())
                await http.get("/api/me", params={"key": key})
                await http.post("/api/login", json={"key": key})
                await http.post("/api/login", json={"password": key})
                await handshake(f"{asked.server.ws}?key={key}")
            cookie = next(iter(http.cookies.values()))
            secrets.append(cookie.rpartition(".")[2])
            ticket = (await http.post("/api/ws-ticket", headers=bearer(asked.ann))).json()["ticket"]
            secrets.append(ticket)
            await handshake(f"{asked.server.ws}?ticket={ticket}")
            measures = (await http.get("/metrics", headers=bearer(asked.ann))).text
            assert measures
            assert not any(secret in measures for secret in secrets)

    play(scenario)
    told = capsys.readouterr()
    ours = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    told_all = told.out + told.err + "\n".join(ours)
    assert "/api/login" in told_all, "the log is looked at"
    assert len(secrets) == 5
    assert not any(secret in told_all for secret in secrets)


def test_61_what_a_removed_key_had_opened_ends() -> None:
    async def scenario() -> None:
        async with guarded() as asked, asked.server.http() as http:
            recital = asked.server.recital
            recital.pace.hold()
            body = {"prompt": "Hi", "stream": True, "max_tokens": 100}
            bobs = asyncio.create_task(http.post("/v1/completions", headers=bearer(asked.bob), json=body))
            anns = asyncio.create_task(http.post("/v1/completions", headers=bearer(asked.ann), json=body))
            await eventually(lambda: len(recital.requests) == 2)
            async with (
                http.stream("GET", "/api/stream/mine", headers=bearer(asked.bob)) as stream,
                connect(asked.server.ws, additional_headers=bearer(asked.bob)) as socket,
                asyncio.timeout(PATIENCE_S),
            ):
                remove_key(asked.keys, asked.bob)
                async for _ in stream.aiter_lines():
                    pass
                await socket.wait_closed()
                assert socket.close_code == 4401
                cut = await bobs
            assert "cancelled" in cut.text
            assert len(recital.left) == 1
            recital.pace.free()
            whole = await anns
            assert whole.text.rstrip().endswith("[DONE]")
            assert "error" not in whole.text

    play(scenario)
