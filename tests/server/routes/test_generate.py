"""`POST /generate` over real sockets: tokens as they come, failures before and in the stream, clients that leave."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from backends.base import Backend, BackendFailed, Done, Overloaded, Progress, Text
from backends.echo import EchoBackend
from server.errors import add_error_handlers
from server.hub import Hub
from server.request_log import RequestLog
from server.routes.generate import generate_router
from tests.server.doubles import PATIENCE_S, Puppet, eventually
from tests.server.serving import listening


@asynccontextmanager
async def door(*backends: Backend, ping_every_s: float = 15.0) -> AsyncGenerator[tuple[Hub, httpx.AsyncClient]]:
    """A server on a free port. Gives its hub, and a client of it."""
    hub = Hub(backends)
    await hub.start()
    app = FastAPI()
    app.add_middleware(RequestLog)
    app.include_router(generate_router(hub, ping_every_s))
    add_error_handlers(app)
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
        try:
            yield hub, client
        finally:
            await hub.close()


def within(test: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 3 * PATIENCE_S))


def lines(answer: httpx.Response) -> list[dict[str, object]]:
    """The events of a stream that holds nothing else."""
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, end = answer.text.split("\n\n")
    assert end == ""
    assert all(event.startswith("data: ") for event in events), "an event is one line of data"
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_an_answer_comes_a_token_an_event() -> None:
    async def test() -> None:
        async with door(EchoBackend()) as (_, client):
            answer = await client.post("/generate", json={"prompt": "one two three", "params": {"max_tokens": 2}})
            assert lines(answer) == [
                {"token": "one ", "index": 0},
                {"token": "two ", "index": 1},
                {"done": True, "total_tokens": 2},
            ]

    within(test)


def test_a_body_is_json_whatever_it_says_it_is() -> None:
    async def test() -> None:
        async with door(EchoBackend()) as (_, client):
            for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
                answer = await client.post("/generate", content=b'{"prompt":"a"}', headers={"content-type": kind})
                assert lines(answer)[-1] == {"done": True, "total_tokens": 1}

    within(test)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b'{"prompt":"a","model":"TinyLlama/TinyLlama-1.1B-Chat-v1.0"}', 404, "TinyLlama/TinyLlama-1.1B-Chat-v1.0"),
        (b'{"prompt":"a","params":{"n":2}}', 422, "params.n"),
        (b'{"prompt":"\xff"}', 422, "not JSON"),
        (b"prompt=a", 422, "not JSON"),
        (b"", 422, "not JSON"),
        (b"[]", 422, "not a JSON object"),
    ],
)
def test_what_cannot_be_answered_has_a_status_and_a_sentence(body: bytes, status: int, told: str) -> None:
    async def test() -> None:
        async with door(EchoBackend()) as (_, client):
            answer = await client.post("/generate", content=body)
            assert answer.status_code == status
            assert answer.json()["success"] is False
            assert told in answer.json()["error"]

    within(test)


def test_a_failure_before_the_first_token_has_a_status_and_a_later_one_is_told_in_the_stream() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (_, client):
            puppet.say(Progress("queued", position=1), Overloaded("Engine overloaded.", retry_after=2))
            refused = await client.post("/generate", json={"prompt": "a"})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert refused.json() == {"success": False, "error": "Engine overloaded."}
            puppet.say("so ", BackendFailed("It broke."))
            assert lines(await client.post("/generate", json={"prompt": "a"})) == [
                {"token": "so ", "index": 0},
                {"error": "It broke."},
            ]

    within(test)


def test_text_that_looks_like_the_streams_own_marks_forges_nothing() -> None:
    async def test() -> None:
        puppet = Puppet()
        marks = ["\n\ndata: x", "\r", "\revent: done", "data:", ' {"done":true}\n\n', "\u2028", "\0"]
        async with door(puppet) as (_, client):
            puppet.say(*marks, Done("stop"))
            *tokens, done = lines(await client.post("/generate", json={"prompt": "a"}))
            assert [token["token"] for token in tokens] == marks
            assert done == {"done": True, "total_tokens": len(marks)}

    within(test)


@pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl on this machine.")
def test_curl_shows_each_token_as_it_comes() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (_, client):
            command = ["curl", "-sS", "-N", "-X", "POST", f"{client.base_url}/generate", "--json", '{"prompt":"..."}']
            curl = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            assert curl.stdout is not None
            puppet.say("so ")
            assert await curl.stdout.readline() == b'data: {"token":"so ","index":0}\n', "it came before the rest"
            puppet.say(Text("on", (1, 2)), Done("stop"))
            rest = (await curl.stdout.read()).split(b"\n\n")
            assert rest[-2:] == [b'data: {"done":true,"total_tokens":3}', b""]
            assert await curl.wait() == 0

    within(test)


def test_a_silence_is_filled_with_comments_and_what_fails_then_is_told_in_the_stream() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with (
            door(puppet, ping_every_s=0.01) as (_, client),
            client.stream("POST", "/generate", json={"prompt": "a"}) as answer,
        ):
            assert answer.status_code == 200
            received = answer.aiter_lines()
            assert [await anext(received) for _ in range(4)] == [": ping", "", ": ping", ""]
            puppet.say(Overloaded("Engine overloaded."))
            told = [line async for line in received if line and line != ": ping"]
            assert told == ['data: {"error":"Engine overloaded."}']

    within(test)


@pytest.mark.parametrize("first", [None, "so "], ids=["before the first token", "in mid-answer"])
def test_a_client_that_leaves_ends_the_work(first: str | None) -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            asking = asyncio.create_task(client.post("/generate", json={"prompt": "a"}))
            await eventually(lambda: puppet.requests)
            puppet.say(first or Progress("prefill", 1, 2))
            asking.cancel()
            await eventually(lambda: puppet.cancelled)
            assert puppet.cancelled == [puppet.requests[0].request_id]
            await eventually(lambda: not len(hub.running))
            assert hub.active == 0

    within(test)


def test_a_request_can_be_cancelled_by_the_id_that_it_came_with() -> None:
    async def test() -> None:
        puppet = Puppet()
        puppet.say("so ")
        async with (
            door(puppet) as (hub, client),
            client.stream("POST", "/generate", json={"prompt": "a"}, headers={"x-request-id": "mine"}) as answer,
        ):
            received = answer.aiter_lines()
            assert await anext(received) == 'data: {"token":"so ","index":0}'
            assert hub.running.cancel("mine", "local")
            assert [line async for line in received if line] == ['data: {"error":"The request was cancelled."}']

    within(test)
