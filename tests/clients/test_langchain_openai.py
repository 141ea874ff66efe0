"""LangChain's client for OpenAI's API, unmodified."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel, SecretStr

from tests.clients.table import shows

Chat = Callable[[str], ChatOpenAI]


@pytest.fixture
def chat(server: str) -> Chat:
    """Its client for one of the models."""

    def client(model: str) -> ChatOpenAI:
        return ChatOpenAI(
            model=model, base_url=f"{server}/v1", api_key=SecretStr("none"), max_retries=0, stream_usage=True
        )

    return client


class City(BaseModel):
    """A city."""

    city: str
    people: int


@tool
def weather(city: str) -> str:
    """How the weather is in a city."""
    return f"sunny in {city}"


@shows("langchain-openai", "ChatOpenAI.invoke", "whole")
def test_a_chat_is_answered(chat: Chat) -> None:
    answer = chat("echo").invoke([SystemMessage("Be brief."), HumanMessage("one two three")])
    assert answer.content == "one two three"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 6


@shows("langchain-openai", "ChatOpenAI.stream", "stream")
def test_a_chat_is_streamed_with_its_usage(chat: Chat) -> None:
    pieces = list(chat("echo").stream("one two three"))
    assert "".join(str(piece.content) for piece in pieces) == "one two three"
    assert sum(piece.usage_metadata["total_tokens"] for piece in pieces if piece.usage_metadata) == 6


@shows("langchain-openai", "ChatOpenAI.astream", "stream")
def test_a_chat_is_streamed_without_waiting(chat: Chat) -> None:
    async def test() -> str:
        return "".join([str(piece.content) async for piece in chat("echo").astream("one two three")])

    assert asyncio.run(test()) == "one two three"


def test_the_engine_answers_it(chat: Chat) -> None:
    answer = chat("pytorch/tiny").invoke("hello", max_tokens=5, seed=1, stop=["END"])
    assert answer.response_metadata["finish_reason"] == "length"


@shows("langchain-openai", "ChatOpenAI.bind_tools", "whole")
def test_a_tool_is_called_and_its_answer_taken(chat: Chat) -> None:
    model = chat("caller").bind_tools([weather])
    asked = HumanMessage("How is the weather?")
    called = model.invoke([asked])
    assert isinstance(called, AIMessage)
    [call] = called.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
    answer = model.invoke([asked, called, ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])])
    assert answer.content == "It said sunny in Paris."


@shows("langchain-openai", "ChatOpenAI.bind_tools", "stream")
def test_a_tool_is_called_in_a_stream(chat: Chat) -> None:
    first, *rest = chat("caller").bind_tools([weather], tool_choice="required").stream("How is the weather?")
    whole = first
    for piece in rest:
        whole += piece
    assert isinstance(whole, AIMessage)
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("weather", {"city": "Paris"})]


@shows("langchain-openai", "ChatOpenAI.with_structured_output", "whole")
@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_a_document_of_a_form_is_read(chat: Chat, method: str) -> None:
    model = chat("author").with_structured_output(City, method=method)
    assert model.invoke("Which city, in JSON?") == City(city="Paris", people=2)


@shows("langchain-openai", "ChatOpenAI.with_structured_output", "whole")
def test_a_document_may_be_the_arguments_of_a_call(chat: Chat) -> None:
    class Place(BaseModel):
        city: str

    assert chat("caller").with_structured_output(Place, method="function_calling").invoke("Where?") == Place(
        city="Paris"
    )


def test_failures_are_openais(chat: Chat) -> None:
    with pytest.raises(openai.NotFoundError):
        chat("nobody").invoke("hello")
    with pytest.raises(openai.InternalServerError, match="Engine overloaded"):
        chat("full").invoke("hello")


@shows("langchain-openai", "OpenAI.invoke and stream", "whole", "stream")
def test_a_completion_is_answered_and_streamed(server: str) -> None:
    model = OpenAI(model="echo", base_url=f"{server}/v1", api_key=SecretStr("none"), max_retries=0)
    assert model.invoke("one two") == "one two"
    assert "".join(model.stream("one two")) == "one two"
