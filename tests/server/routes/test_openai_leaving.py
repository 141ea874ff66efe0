"""Clients of OpenAI's API that leave in mid-prefill or mid-decode cost the engine one step at most, and no memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from server.errors import add_error_handlers
from server.hub import Hub
from server.routes.chat_completions import chat_completions_router
from server.routes.completions import completions_router
from server.routes.requests import requests_router
from tests.server.doubles import eventually
from tests.server.serving import listening
from tests.server.watched_engine import Steps, Watched

SECONDS = 60  # more than anything here takes on a busy machine
LONG, SHORT = "a" * 700, "a"  # a step reads less than the long one

PREFILL = pytest.param(1, LONG, id="in mid-prefill")
DECODE = pytest.param(9, SHORT, id="in mid-decode")
WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def chat(text: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **more}


def chat_with_choices(text: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return chat(text, n=3, **more)


def completion(text: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/completions", {"prompt": text, **more}


def completions(text: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return completion("", **{"prompt": [text, text + "b"], "n": 2, **more})


@asynccontextmanager
async def door(backend: Watched) -> AsyncGenerator[tuple[Hub, httpx.AsyncClient]]:
    hub = Hub([backend])
    await hub.start()
    backend.hear()
    app = FastAPI()
    for router in (completions_router, chat_completions_router, requests_router):
        app.include_router(router(hub))
    add_error_handlers(app)
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=SECONDS) as client:
        try:
            yield hub, client
        finally:
            await hub.close()


@pytest.mark.parametrize(("outputs", "text"), [PREFILL, DECODE])
@pytest.mark.parametrize("question", [chat, chat_with_choices, completion, completions])
@WAYS
def test_who_leaves_frees_the_engine_within_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: Any, stream: bool, outputs: int, text: str
) -> None:
    async def test() -> None:
        steps = Steps(monkeypatch)
        steps.hold_after(outputs)
        backend = Watched(tmp_path, max_batch_size=4)
        async with door(backend) as (hub, client):
            path, body = question(text, stream=stream, temperature=0, max_tokens=900)
            asking = asyncio.create_task(client.post(path, json=body))
            await eventually(steps.held.is_set)
            assert outputs > 1 or steps.outputs[-1].prefilled < len(text), "the whole prompt had been read"
            worked = len(steps.outputs)
            asking.cancel()
            await eventually(lambda: hub.active == 0)
            steps.release()
            answered = await client.post("/v1/completions", json={"prompt": "z", "max_tokens": 1})
            assert answered.status_code == 200
            rest = await backend.rest()
            assert len(steps.outputs) <= worked + 4 + 2, "each choice may be in one more step, and then our question is"
            assert (rest.blocks_used, rest.running, len(hub.running)) == (0, 0, 0)

    asyncio.run(asyncio.wait_for(test(), SECONDS))


@WAYS
def test_who_is_cancelled_by_the_id_frees_the_engine_just_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def test() -> None:
        steps = Steps(monkeypatch)
        steps.hold_after(5)
        backend = Watched(tmp_path, max_batch_size=1)
        async with door(backend) as (hub, client):
            path, body = chat(SHORT, stream=stream, temperature=0, max_tokens=900)
            asking = asyncio.create_task(client.post(path, json=body))
            await eventually(steps.held.is_set)
            request_id = steps.outputs[0].request_id
            assert (await client.delete(f"/v1/requests/chatcmpl-{request_id}")).status_code == 200
            assert "The request was cancelled." in (await asking).text
            steps.release()
            await backend.rest()
            assert steps.of(request_id) <= 6
            assert (hub.active, len(hub.running)) == (0, 0)

    asyncio.run(asyncio.wait_for(test(), SECONDS))
