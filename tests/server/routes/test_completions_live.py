"""Completions over real sockets: the official client, raw events, and clients that leave."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI

from backends.base import Backend, BackendFailed, Done, Overloaded, Progress
from backends.echo import EchoBackend
from server.errors import add_error_handlers
from server.hub import Hub
from server.routes.completions import completions_router
from tests.server.doubles import Puppet, eventually
from tests.server.serving import listening
from tests.server.watched_engine import Watched

SECONDS = 60  # more than anything here takes on a busy machine


@asynccontextmanager
async def door(*backends: Backend, ping_every_s: float = 15.0) -> AsyncGenerator[tuple[Hub, str]]:
    """A server on a free port. Gives its hub, and the address of the API."""
    hub = Hub(backends)
    await hub.start()
    app = FastAPI()
    app.include_router(completions_router(hub, ping_every_s))
    add_error_handlers(app)
    async with listening(app) as url:
        try:
            yield hub, f"{url}/v1"
        finally:
            await hub.close()


def within(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), SECONDS)

    asyncio.run(bounded())


@asynccontextmanager
async def official(url: str) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


# The official client


def test_the_official_client_gets_an_answer_and_a_stream_of_it() -> None:
    async def test() -> None:
        async with door(EchoBackend()) as (_, url), official(url) as client:
            whole = await client.completions.create(model="echo", prompt="one two three", max_tokens=2)
            assert (whole.choices[0].text, whole.choices[0].finish_reason) == ("one two ", "length")
            assert whole.usage is not None
            assert whole.usage.total_tokens == 5
            stream = await client.completions.create(
                model="echo/echo",
                prompt="one two three",
                max_tokens=2,
                temperature=0,
                top_p=0.9,
                seed=1,
                stop=["END"],
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"top_k": 40},
            )
            *pieces, last = [piece async for piece in stream]
            assert "".join(piece.choices[0].text for piece in pieces) == "one two "
            assert pieces[-1].choices[0].finish_reason == "length"
            assert last.usage == whole.usage

    within(test)


def test_the_official_client_raises_what_is_meant() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(EchoBackend(), puppet) as (_, url), official(url) as client:
            with pytest.raises(openai.NotFoundError) as missing:
                await client.completions.create(model="nobody", prompt="a")
            assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
            with pytest.raises(openai.BadRequestError, match="suffix") as refused:
                await client.completions.create(model="echo", prompt="a", suffix="z")
            assert refused.value.param == "suffix"
            puppet.say(Overloaded("Engine overloaded.", retry_after=2))
            with pytest.raises(openai.InternalServerError, match=r"Engine overloaded\.") as full:
                await client.completions.create(model="toy", prompt="a", stream=True)
            assert (full.value.status_code, full.value.response.headers["retry-after"]) == (503, "2")
            puppet.say("so ", BackendFailed("It broke."))
            stream = await client.completions.create(model="toy", prompt="a", stream=True)
            assert (await anext(stream)).choices[0].text == "so "
            with pytest.raises(openai.APIError, match="It broke"):
                await anext(stream)

    within(test)


# On the wire


@pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl on this machine.")
def test_curl_shows_events_as_they_come() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (_, url):
            command = ["curl", "--silent", "--no-buffer", f"{url}/completions", "-d", '{"prompt": "a", "stream": true}']
            curl = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            assert curl.stdout is not None
            puppet.say("so ")
            first = await curl.stdout.readline()
            assert json.loads(first.removeprefix(b"data: "))["choices"][0]["text"] == "so ", "it came before the rest"
            puppet.say("on", Done("stop"))
            lines = (await curl.stdout.read()).split(b"\n")
            await curl.wait()
            assert [line[:6] for line in lines] == [b"", b"data: ", b"", b"data: ", b"", b"data: ", b"", b""]
            assert lines[-3] == b"data: [DONE]"

    within(test)


def test_a_long_silence_is_filled_with_comments_and_what_fails_then_is_told_in_the_stream() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet, ping_every_s=0.01) as (_, url), httpx.AsyncClient() as client:
            asked = {"prompt": "a", "stream": True}
            async with client.stream("POST", f"{url}/completions", json=asked) as answer:
                assert answer.status_code == 200
                lines = answer.aiter_lines()
                assert [await anext(lines) for _ in range(4)] == [": ping", "", ": ping", ""]
                puppet.say(Overloaded("Engine overloaded."))
                told = [line async for line in lines if line and line != ": ping"]
            assert json.loads(told[0].removeprefix("data: "))["error"]["message"] == "Engine overloaded."
            assert told[1:] == ["data: [DONE]"]

    within(test)


# Clients that leave


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_before_the_answer_begins_cancels_it(stream: bool) -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, url), httpx.AsyncClient() as client:
            asked = {"prompt": "a", "stream": stream}
            asking = asyncio.create_task(client.post(f"{url}/completions", json=asked))
            await eventually(lambda: puppet.requests)
            puppet.say(Progress("queued", position=3))
            assert not puppet.cancelled
            asking.cancel()
            await eventually(lambda: puppet.cancelled)
            assert puppet.cancelled == [puppet.requests[0].request_id]
            assert hub.active == 0

    within(test)


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_in_mid_answer_cancels_it(stream: bool) -> None:
    async def test() -> None:
        async with door(EchoBackend(delay=0.02)) as (hub, url), httpx.AsyncClient() as client:
            asked = {"prompt": "word " * 5_000, "max_tokens": 5_000, "stream": stream}
            asking = asyncio.create_task(client.post(f"{url}/completions", json=asked))
            await eventually(lambda: hub.active == 1)
            asking.cancel()
            await eventually(lambda: hub.active == 0)

    within(test)


def test_who_stays_gets_the_whole_answer() -> None:
    """The counterpart: nothing takes a client that waits for one that has left."""

    async def test() -> None:
        async with door(EchoBackend(delay=0.02)) as (_, url), httpx.AsyncClient() as client:
            answer = await client.post(f"{url}/completions", json={"prompt": "word " * 10})
            assert answer.json()["choices"][0]["text"] == "word " * 10

    within(test)


# The engine behind it


def test_who_finds_no_room_is_told_when_to_come_back_and_finds_some_then(tmp_path: Path) -> None:
    async def test() -> None:
        backend = Watched(tmp_path, max_batch_size=1, max_queue_size=1)
        async with door(backend) as (hub, url), httpx.AsyncClient(timeout=SECONDS) as client:
            backend.hear()
            endless = {"prompt": "a", "max_tokens": 1_000, "temperature": 0}
            holding = [asyncio.create_task(client.post(f"{url}/completions", json=endless)) for _ in range(2)]
            await eventually(lambda: hub.active == 2)
            for stream in (False, True):
                full = await client.post(f"{url}/completions", json={"prompt": "b", "stream": stream})
                assert full.status_code == 503
                assert int(full.headers["retry-after"]) >= 1
                assert full.json()["error"]["message"] == "Engine overloaded."
            for task in holding:
                task.cancel()
            await eventually(lambda: hub.active == 0)
            await backend.rest()
            assert (await client.post(f"{url}/completions", json={"prompt": "b"})).status_code == 200

    within(test)


def test_half_of_forty_leave_and_nothing_of_them_stays(tmp_path: Path) -> None:
    """They leave at any time: before the head, among the events, after the last one. The others notice nothing."""
    chance = random.Random(7)
    leaving = {number: chance.randrange(0, 15) for number in chance.sample(range(40), 20)}
    staying = [number for number in range(40) if number not in leaving]
    asked = [
        {
            "prompt": chance.choice("abc") * chance.randrange(1, 100),
            "max_tokens": 12_000 if number in leaving else 12,  # longer than anybody stays
            "temperature": 0,
            "stream": True,
        }
        for number in range(40)
    ]

    async def ask(client: httpx.AsyncClient, url: str, number: int) -> str:
        """The text up to the end, or to the event that this client leaves after."""
        text, events = "", 0
        async with client.stream("POST", f"{url}/completions", json=asked[number]) as answer:
            assert answer.status_code == 200
            async for line in answer.aiter_lines():
                events += line.startswith("data: {")
                if line.startswith("data: {"):
                    text += json.loads(line.removeprefix("data: "))["choices"][0]["text"]
                if events > leaving.get(number, 1_000):
                    break
        return text

    async def leave(client: httpx.AsyncClient, url: str, number: int) -> None:
        """Ask, and be gone before there is an answer."""
        asking = asyncio.create_task(client.post(f"{url}/completions", json=asked[number]))
        for _ in range(number):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})

    async def test() -> None:
        backend = Watched(tmp_path, context=16_384, max_batch_size=8)
        limits = httpx.Limits(max_connections=None)
        async with door(backend) as (hub, url), httpx.AsyncClient(limits=limits, timeout=SECONDS) as client:
            backend.hear()
            alone = {number: await ask(client, url, number) for number in staying}
            early = [leave(client, url, number) for number in leaving]
            *texts, _ = await asyncio.gather(*(ask(client, url, number) for number in range(40)), *early)
            assert {number: texts[number] for number in alone} == alone, "an answer is another than alone"
            await eventually(lambda: hub.active == 0)
            stats = await backend.rest()
            assert 2 * len(staying) <= stats.requests_finished < 2.5 * len(staying), "answers were made for nobody"
            assert (await backend.health()).details["requests"] == 0

    within(test)
