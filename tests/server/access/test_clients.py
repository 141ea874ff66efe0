"""Other people's clients, unmodified, at a server that asks for a key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import ollama
import openai
import pytest

from app import create_app
from config import Settings
from server.access.failures import ALLOWED
from server.access.tokens import Token
from tests.faults.guarded import bearer
from tests.server.access.keys_for_tests import add_key
from tests.server.serving import listening


@asynccontextmanager
async def asking(folder: Path) -> AsyncGenerator[tuple[str, str]]:
    """A server that asks for keys. Gives its address and a key."""
    key = add_key(folder / "keys.json")
    settings = {"AUTH": "on", "KEYS_FILE": str(folder / "keys.json"), "BACKENDS": ["echo"], "DATABASE_URL": "off"}
    app = create_app(Settings(**settings))
    async with listening(app) as url, app.router.lifespan_context(app):
        yield url, key


def openai_client(url: str, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def test_openais_client_sends_its_key_and_knows_a_refusal(tmp_path: Path):
    async def scenario() -> None:
        async with asking(tmp_path) as (url, key):
            async with openai_client(url, key) as client:
                models = await client.models.list()
                assert [model.id for model in models.data] == ["echo/echo"]
            async with openai_client(url, str(Token.new())) as client:
                with pytest.raises(openai.AuthenticationError) as refused:
                    await client.models.list()
                assert refused.value.code == "invalid_api_key"
                for _ in range(ALLOWED - 1):
                    with pytest.raises(openai.AuthenticationError):
                        await client.models.list()
                with pytest.raises(openai.RateLimitError):
                    await client.models.list()

    asyncio.run(scenario())


def test_ollamas_client_sends_it_in_a_header_and_shows_the_sentence(tmp_path: Path):
    async def scenario() -> None:
        async with asking(tmp_path) as (url, key):
            async with ollama.AsyncClient(url, headers=bearer(key)) as client:
                listed = await client.list()
                assert [model.model for model in listed.models] == ["echo/echo:latest"]
            async with ollama.AsyncClient(url) as client:
                with pytest.raises(ollama.ResponseError, match="asks for a key") as refused:
                    await client.list()
                assert refused.value.status_code == 401

    asyncio.run(scenario())
