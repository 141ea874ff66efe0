"""Ollama's API over real sockets: lines as they come, and clients that leave."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from backends.base import Done, Loading, ModelInfo, Progress
from tests.server.doubles import Puppet, eventually
from tests.server.ollama.serving import SECONDS, door, within
from tests.server.watched_engine import Steps, Watched

HI = [{"role": "user", "content": "Hi"}]
CALLS = pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
WAYS = pytest.mark.parametrize("stream", [False, True])


def question(path: str, model: str, text: str = "Hi", **fields: Any) -> dict[str, Any]:
    """The same question in the words of either call."""
    said = {"messages": [{"role": "user", "content": text}]} if path == "/api/chat" else {"prompt": text}
    return {"model": model, **said, **fields}


@pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl on this machine.")
@CALLS
def test_curl_shows_lines_as_they_come(path: str) -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (_, url):
            body = json.dumps(question(path, "toy"))
            command = ["curl", "--silent", "--no-buffer", "--compressed", f"{url}{path}", "-d", body]
            curl = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            assert curl.stdout is not None
            puppet.say("so ")
            assert b"so " in await curl.stdout.readline(), "it came before the rest"
            puppet.say("on", Done("stop"))
            *_, last = (await curl.stdout.read()).splitlines()
            await curl.wait()
            assert json.loads(last)["done"]

    within(test)


# Clients that leave


@CALLS
@WAYS
def test_who_leaves_before_the_answer_begins_cancels_it(path: str, stream: bool) -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, url), httpx.AsyncClient() as client:
            asking = asyncio.create_task(client.post(f"{url}{path}", json=question(path, "toy", stream=stream)))
            await eventually(lambda: puppet.requests)
            puppet.say(Progress("queued", position=3))
            assert not puppet.cancelled
            asking.cancel()
            await eventually(lambda: puppet.cancelled)
            assert puppet.cancelled == [puppet.requests[0].request_id]
            assert (hub.active, len(hub.running)) == (0, 0)

    within(test)


@pytest.mark.parametrize("outputs", [1, 5], ids=["in mid-prefill", "in mid-decode"])
@CALLS
@WAYS
def test_an_engine_works_one_step_at_most_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, stream: bool, outputs: int
) -> None:
    text = "a" * 700 if outputs == 1 else "a"  # what a step reads at most is less than that

    async def test() -> None:
        steps = Steps(monkeypatch)
        steps.hold_after(outputs)
        backend = Watched(tmp_path, max_batch_size=1)
        async with door(backend) as (hub, url), httpx.AsyncClient(timeout=SECONDS) as client:
            backend.hear()
            endless = question(path, "tiny", text, stream=stream, options={"temperature": 0, "num_predict": 900})
            asking = asyncio.create_task(client.post(f"{url}{path}", json=endless))
            await eventually(steps.held.is_set)
            request_id = steps.outputs[0].request_id
            assert outputs > 1 or steps.outputs[-1].prefilled < len(text), "the whole prompt had been read"
            asking.cancel()
            await eventually(lambda: hub.active == 0)
            steps.release()
            answer = await client.post(f"{url}{path}", json=question(path, "tiny", options={"num_predict": 5}))
            assert answer.status_code == 200, "the only slot is free"
            assert steps.of(request_id) <= outputs + 1
            await backend.rest()

    within(test)


def test_who_leaves_in_a_pull_ends_it() -> None:
    async def test() -> None:
        puppet = Puppet(ModelInfo("toy", state="available", reason="Not downloaded yet."))
        async with door(puppet) as (hub, url), httpx.AsyncClient() as client:
            async with client.stream("POST", f"{url}/api/pull", json={"model": "toy"}) as answer:
                puppet.loads.put_nowait(Loading("toy", "Downloading", 1, 2))
                lines = answer.aiter_lines()
                assert [json.loads(await anext(lines))["status"] for _ in range(2)] == [
                    "pulling manifest",
                    "Downloading",
                ]
                assert len(hub.running) == 1
            await eventually(lambda: len(hub.running) == 0)

    within(test)


# Cancelled by the id


@CALLS
@WAYS
def test_who_is_cancelled_by_the_id_hears_of_it(path: str, stream: bool) -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, url), httpx.AsyncClient() as client:
            asking = asyncio.create_task(client.post(f"{url}{path}", json=question(path, "toy", stream=stream)))
            await eventually(lambda: puppet.requests)
            puppet.say("so ")
            assert hub.running.cancel(puppet.requests[0].request_id, "local")
            answer = await asking
            assert json.loads(answer.text.splitlines()[-1]) == {"error": "The request was cancelled."}
            assert puppet.cancelled

    within(test)
