"""An answer that takes too long ends in each API's own words: by a status, or inside the stream that has begun."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from backends.base import Text
from server.errors import add_error_handlers
from server.hub import Hub
from server.ollama.chat import chat
from server.options import HubOptions
from server.routes.chat import chat_router
from server.routes.chat_completions import chat_completions_router
from server.routes.completions import completions_router
from server.routes.generate import generate_router
from server.routes.ollama import ollama_router
from tests.server.doubles import Puppet
from tests.server.serving import listening

MESSAGES = [{"role": "user", "content": "Hi"}]
WHOLE = [
    ("/v1/completions", {"prompt": "Hi"}),
    ("/v1/chat/completions", {"messages": MESSAGES}),
    ("/api/generate", {"model": "toy", "prompt": "Hi", "stream": False}),
    ("/api/chat", {"model": "toy", "messages": MESSAGES, "stream": False}),
]
STREAMED = [
    ("/v1/completions", {"prompt": "Hi", "stream": True}),
    ("/v1/chat/completions", {"messages": MESSAGES, "stream": True}),
    ("/generate", {"prompt": "Hi"}),
    ("/api/generate", {"model": "toy", "prompt": "Hi"}),
    ("/api/chat", {"model": "toy", "messages": MESSAGES}),
]


@asynccontextmanager
async def impatient(puppet: Puppet) -> AsyncGenerator[httpx.AsyncClient]:
    hub = Hub([puppet], HubOptions(request_timeout_s=0.05))
    await hub.start()
    app = FastAPI()
    add_error_handlers(app)
    app.include_router(completions_router(hub))
    app.include_router(chat_completions_router(hub))
    app.include_router(generate_router(hub))
    app.include_router(chat_router(hub, converse=chat))
    app.include_router(ollama_router(hub))
    app.state.hub = hub
    try:
        async with listening(app) as address, httpx.AsyncClient(base_url=address) as client:
            yield client
    finally:
        await hub.close()


@pytest.mark.parametrize(("path", "body"), [*WHOLE, *STREAMED])
def test_one_that_says_nothing_in_time_is_a_504(path: str, body: dict[str, object]) -> None:
    async def scenario() -> None:
        puppet = Puppet()
        async with impatient(puppet) as client:
            answer = await client.post(path, json=body)
            assert answer.status_code == 504, answer.text
            assert "REQUEST_TIMEOUT_S" in answer.text
            assert len(puppet.cancelled) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(("path", "body"), STREAMED)
def test_one_that_has_begun_ends_in_an_error(path: str, body: dict[str, object]) -> None:
    async def scenario() -> None:
        puppet = Puppet()
        async with impatient(puppet) as client:
            puppet.say(Text("so far", (1,)))
            answer = await client.post(path, json=body)
            assert answer.status_code == 200
            assert "so far" in answer.text
            assert "REQUEST_TIMEOUT_S" in answer.text.rstrip().splitlines()[-3 if "/v1/" in path else -1]
            assert len(puppet.cancelled) == 1

    asyncio.run(scenario())
