"""Other people's clients, unmodified, at a server that asks for a key."""

from __future__ import annotations

import asyncio

import ollama
import openai
import pytest

from server.access.failures import ALLOWED
from server.access.tokens import Token
from tests.faults.guarded import Guarded, bearer, guarded


def openai_client(asked: Guarded, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{asked.server.url}/v1", api_key=key, max_retries=0)


def test_openais_client_sends_its_key_and_knows_a_refusal():
    async def scenario() -> None:
        async with guarded() as asked:
            async with openai_client(asked, asked.bob) as client:
                models = await client.models.list()
                assert [model.id for model in models.data] == ["recital/recital"]
            async with openai_client(asked, str(Token.new())) as client:
                with pytest.raises(openai.AuthenticationError) as refused:
                    await client.models.list()
                assert refused.value.code == "invalid_api_key"
                for _ in range(ALLOWED - 1):
                    with pytest.raises(openai.AuthenticationError):
                        await client.models.list()
                with pytest.raises(openai.RateLimitError):
                    await client.models.list()

    asyncio.run(scenario())


def test_ollamas_client_sends_it_in_a_header_and_shows_the_sentence():
    async def scenario() -> None:
        async with guarded() as asked:
            async with ollama.AsyncClient(asked.server.url, headers=bearer(asked.bob)) as client:
                listed = await client.list()
                assert [model.model for model in listed.models] == ["recital/recital:latest"]
            async with ollama.AsyncClient(asked.server.url) as client:
                with pytest.raises(ollama.ResponseError, match="asks for a key") as refused:
                    await client.list()
                assert refused.value.status_code == 401

    asyncio.run(scenario())
