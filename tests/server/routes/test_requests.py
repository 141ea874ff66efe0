"""Whoever has asked for an answer can cancel it by its id, and nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from server.caller import Caller
from server.errors import add_error_handlers
from server.hub import Hub
from server.request_log import RequestLog
from server.routes.chat_completions import chat_completions_router
from server.routes.completions import completions_router
from server.routes.requests import requests_router
from tests.server.doubles import Puppet, eventually
from tests.server.serving import listening


class Owners:
    """Stands in for the log-in: the header says who it is."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            owner = dict(scope["headers"]).get(b"x-owner", b"alice").decode()
            scope.setdefault("state", {})["caller"] = Caller(owner=owner, client=owner)
        await self.app(scope, receive, send)


@asynccontextmanager
async def door(puppet: Puppet) -> AsyncGenerator[tuple[Hub, httpx.AsyncClient]]:
    hub = Hub([puppet])
    await hub.start()
    app = FastAPI()
    app.add_middleware(Owners)
    app.add_middleware(RequestLog)
    for router in (completions_router, chat_completions_router, requests_router):
        app.include_router(router(hub))
    add_error_handlers(app)
    async with listening(app) as url, httpx.AsyncClient(base_url=f"{url}/v1") as client:
        try:
            yield hub, client
        finally:
            await hub.close()


CHAT = ("/chat/completions", {"messages": [{"role": "user", "content": "a"}]})
COMPLETION = ("/completions", {"prompt": "a"})


@pytest.mark.parametrize(("path", "body"), [CHAT, COMPLETION], ids=["chat", "completion"])
def test_an_answer_that_waits_is_cancelled_by_the_id_it_was_asked_with(path: str, body: Any) -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            asking = asyncio.create_task(client.post(path, json=body, headers={"x-request-id": "mine"}))
            await eventually(lambda: puppet.requests)
            assert puppet.requests[0].request_id == "mine", "the engine knows it by the same id"
            cancelled = await client.delete("/requests/mine")
            assert (cancelled.status_code, cancelled.json()) == (
                200,
                {"id": "mine", "object": "request", "cancelled": True},
            )
            answer = await asking
            assert (answer.status_code, answer.json()["error"]["code"]) == (499, "cancelled")
            assert (puppet.cancelled, hub.active, len(hub.running)) == (["mine"], 0, 0)

    asyncio.run(test())


@pytest.mark.parametrize(("path", "body"), [CHAT, COMPLETION], ids=["chat", "completion"])
def test_a_stream_is_cancelled_by_the_id_in_its_pieces_and_says_so(path: str, body: Any) -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            puppet.say("so ")
            async with client.stream("POST", path, json={**body, "stream": True}) as answer:
                lines = (line async for line in answer.aiter_lines() if line)
                first = json.loads((await anext(lines)).removeprefix("data: "))
                assert (await client.delete(f"/requests/{first['id']}")).status_code == 200
                *_, error, done = [line async for line in lines]
            assert json.loads(error.removeprefix("data: "))["error"]["code"] == "cancelled"
            assert done == "data: [DONE]"
            assert hub.active == 0

    asyncio.run(test())


def test_all_prompts_of_a_request_are_cancelled_together() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            asked = {"prompt": ["a", "b", "c"], "n": 2}
            asking = asyncio.create_task(client.post("/completions", json=asked, headers={"x-request-id": "mine"}))
            await eventually(lambda: len(puppet.requests) == 6)
            await client.delete("/requests/cmpl-mine")
            assert (await asking).status_code == 499
            assert (len(puppet.cancelled), hub.active) == (6, 0)

    asyncio.run(test())


def test_nobody_cancels_what_somebody_else_asked_for() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (_, client):
            asking = asyncio.create_task(client.post(CHAT[0], json=CHAT[1], headers={"x-request-id": "hers"}))
            await eventually(lambda: puppet.requests)
            refused = await client.delete("/requests/hers", headers={"x-owner": "bob"})
            assert refused.status_code == 404
            assert refused.json()["error"]["type"] == "invalid_request_error"
            assert not puppet.cancelled
            await client.delete("/requests/hers")
            await asking

    asyncio.run(test())


def test_what_is_over_cannot_be_cancelled() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (_, client):
            assert (await client.delete("/requests/never")).status_code == 404

    asyncio.run(test())


def test_clients_count_by_who_they_are() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (_, client):
            both = [{"x-owner": owner, "x-request-id": "same"} for owner in ("alice", "bob")]
            asking = [asyncio.create_task(client.post(CHAT[0], json=CHAT[1], headers=each)) for each in both]
            await eventually(lambda: len(puppet.requests) == 2)
            assert {request.fairness_key for request in puppet.requests} == {"alice", "bob"}
            assert len({request.request_id for request in puppet.requests}) == 2, "one id is not two requests"
            for owner in ("alice", "bob"):
                assert (await client.delete("/requests/same", headers={"x-owner": owner})).status_code == 200
            assert [(await each).status_code for each in asking] == [499, 499]

    asyncio.run(test())
