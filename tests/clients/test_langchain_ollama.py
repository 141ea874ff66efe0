"""LangChain's client for Ollama, unmodified: chat, streams, tools, documents, thinking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import ollama
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaLLM
from pydantic import BaseModel

from tests.clients.table import shows


class City(BaseModel):
    """A city."""

    city: str
    people: int


@tool
def get_weather(city: str) -> str:
    """Tell how the weather is."""
    return f"rainy in {city}"


Chat = Callable[..., ChatOllama]


@pytest.fixture
def chat(server: str) -> Iterator[Chat]:
    """Makes a client of a model. LangChain leaves what it opened to the garbage collector, which warns of it."""
    with ExitStack() as opened:

        def make(model: str, **options: Any) -> ChatOllama:
            client = ChatOllama(base_url=server, model=model, **options)
            opened.enter_context(client._client)
            return client

        yield make


@shows("langchain-ollama", "ChatOllama.invoke and stream", "whole", "stream")
def test_it_answers_in_one_piece_and_in_many(chat: Chat) -> None:
    model = chat("echo", num_predict=2, temperature=0, top_k=1, repeat_penalty=1.0)
    whole = model.invoke("one two three")
    assert whole.content == "one two "
    assert whole.response_metadata["done_reason"] == "length"
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 2
    assert [piece.content for piece in model.stream("one two three")][:2] == ["one ", "two "]


@shows("langchain-ollama", "ChatOllama.astream", "stream")
def test_it_answers_without_blocking(chat: Chat) -> None:
    async def test() -> list[str]:
        model = chat("echo")
        async with model._async_client:
            return [str(piece.content) async for piece in model.astream("one two three")]

    assert "".join(asyncio.run(test())) == "one two three"


@shows("langchain-ollama", "ChatOllama.bind_tools", "whole")
def test_it_calls_a_tool_and_hears_the_answer(chat: Chat) -> None:
    model = chat("caller").bind_tools([get_weather])
    question = HumanMessage("How is the weather in Paris?")
    asked = model.invoke([question])
    assert isinstance(asked, AIMessage)
    (call,) = asked.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    told = model.invoke([question, asked, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])])
    assert told.content == "It said rainy in Paris."


@shows("langchain-ollama", "ChatOllama.with_structured_output", "whole")
def test_it_gets_a_document_of_the_form_it_asked_for(chat: Chat) -> None:
    told = chat("author").with_structured_output(City, method="json_schema").invoke("Where?")
    assert told == City(city="Paris", people=2)


@shows("langchain-ollama", "ChatOllama, reasoning", "whole")
def test_it_hears_the_thinking_apart(chat: Chat) -> None:
    told = chat("thinker", reasoning=True).invoke("Where?")
    assert told.additional_kwargs["reasoning_content"] == "Let me see."
    assert told.content == "It is Paris."


@shows("langchain-ollama", "OllamaLLM.invoke", "whole")
def test_it_goes_on_from_a_prompt(server: str) -> None:
    model = OllamaLLM(base_url=server, model="echo")
    with model._client:
        assert model.invoke("one two three") == "one two three"


def test_it_is_told_what_there_is_not(chat: Chat) -> None:
    with pytest.raises(ollama.ResponseError, match="not found"):
        chat("nobody").invoke("one")
