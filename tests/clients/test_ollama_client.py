"""Ollama's official client, unmodified, in both of its forms: every call that it has for what we offer, or refuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import ollama
import pytest
from pydantic import BaseModel

from tests.clients.table import shows

QUESTION = [{"role": "user", "content": "one two three"}]


class City(BaseModel):
    city: str
    people: int


@pytest.fixture
def client(server: str) -> Iterator[ollama.Client]:
    with ollama.Client(server) as client:
        yield client


def get_weather(city: str) -> str:
    """Tell how the weather is.

    Args:
        city: where
    """
    return f"rainy in {city}"


# Chat


@shows("ollama", "chat", "whole", "stream")
def test_a_chat_is_answered_and_streamed(client: ollama.Client) -> None:
    whole = client.chat("echo", QUESTION)
    assert (whole.message.role, whole.message.content) == ("assistant", "one two three")
    assert (whole.model, whole.done, whole.done_reason, whole.eval_count) == ("echo", True, "stop", 3)
    *pieces, last = client.chat("echo/echo:latest", QUESTION, stream=True)
    assert [piece.message.content for piece in pieces] == ["one ", "two ", "three"]
    assert (last.message.content, last.done, last.eval_count) == ("", True, 3)
    assert last.created_at is not None
    assert datetime.fromisoformat(last.created_at) <= datetime.now(UTC)


def test_options_and_the_length_they_allow(client: ollama.Client) -> None:
    whole = client.chat("echo", QUESTION, options=ollama.Options(num_predict=2, temperature=0, num_thread=1))
    assert (whole.message.content, whole.done_reason) == ("one two ", "length")


def test_the_engine_answers_with_true_figures(client: ollama.Client) -> None:
    *pieces, last = client.chat("tiny", QUESTION, stream=True, options={"num_predict": 6, "temperature": 0})
    again = client.chat("tiny", QUESTION, options={"num_predict": 6, "temperature": 0})
    assert "".join(piece.message.content or "" for piece in pieces) == again.message.content
    assert last.eval_count == again.eval_count == 6
    assert last.prompt_eval_count is not None
    assert last.prompt_eval_count > len("one two three")
    parts = (last.load_duration, last.prompt_eval_duration, last.eval_duration)
    assert all(part is not None and part > 0 for part in parts)
    assert sum(part or 0 for part in parts) <= (last.total_duration or 0)


@shows("ollama", "chat, tools", "whole", "stream")
def test_a_tool_is_called_and_its_answer_heard(client: ollama.Client) -> None:
    messages: list[ollama.Message] = [ollama.Message(role="user", content="How is the weather in Paris?")]
    asked = client.chat("caller", messages, tools=[get_weather])
    assert asked.done_reason == "stop"
    (call,) = asked.message.tool_calls or ()
    assert call.function.arguments == {"city": "Paris"}
    answer = ollama.Message(role="tool", content=get_weather(**call.function.arguments), tool_name=call.function.name)
    told = client.chat("caller", [*messages, asked.message, answer], tools=[get_weather])
    assert told.message.content == "It said rainy in Paris."
    first, last = client.chat("caller", messages, tools=[get_weather], stream=True)
    assert [call.function.name for call in first.message.tool_calls or ()] == ["get_weather"]
    assert (last.done, last.done_reason) == (True, "stop")


@shows("ollama", "chat, think", "whole", "stream")
def test_thinking_comes_apart(client: ollama.Client) -> None:
    whole = client.chat("thinker", QUESTION, think="high")
    assert (whole.message.thinking, whole.message.content) == ("Let me see.", "It is Paris.")
    pieces = list(client.chat("thinker", QUESTION, think=True, stream=True))
    assert [piece.message.thinking for piece in pieces[:2]] == ["Let me ", "see."]


@shows("ollama", "chat, format", "whole", "stream")
def test_an_answer_has_the_form_that_was_asked_for(client: ollama.Client) -> None:
    told = client.chat("author", QUESTION, format=City.model_json_schema()).message.content
    assert City.model_validate_json(told or "") == City(city="Paris", people=2)
    pieces = client.chat("author", QUESTION, format="json", stream=True)
    assert json.loads("".join(piece.message.content or "" for piece in pieces))["city"] == "Paris"


@shows("ollama", "chat, format, the engine", "whole")
def test_the_engine_writes_a_document_of_the_form_that_was_asked_for(client: ollama.Client) -> None:
    form = {
        "type": "object",
        "properties": {"people": {"type": "integer", "minimum": 0, "maximum": 9}, "city": {"enum": ["Rome", "Oslo"]}},
        "required": ["people", "city"],
        "additionalProperties": False,
    }
    told = client.chat("tiny", QUESTION, format=form, options={"temperature": 1, "seed": 3})
    document = json.loads(told.message.content or "")
    assert set(document) == {"people", "city"}
    assert document["city"] in ("Rome", "Oslo")
    assert told.done_reason == "stop"


# Generate


@shows("ollama", "generate", "whole", "stream")
def test_a_prompt_is_gone_on_from(client: ollama.Client) -> None:
    whole = client.generate("echo", "one two three", system="Be brief.")
    assert (whole.response, whole.done, whole.done_reason, whole.eval_count) == ("one two three", True, "stop", 3)
    raw = client.generate("echo", "one two", raw=True, stream=True)
    assert "".join(piece.response or "" for piece in raw) == "one two"


@shows("ollama", "generate, think", "whole", "stream")
def test_thinking_comes_apart_from_a_response(client: ollama.Client) -> None:
    whole = client.generate("thinker", "Where?", think=True)
    assert (whole.thinking, whole.response) == ("Let me see.", "It is Paris.")
    pieces = list(client.generate("thinker", "Where?", think=True, stream=True))
    assert "".join(piece.thinking or "" for piece in pieces) == "Let me see."


@shows("ollama", "generate, format, the engine", "whole")
def test_the_engine_goes_on_with_a_prompt_in_a_form(client: ollama.Client) -> None:
    form = {"enum": ["rain", "snow"]}
    whole = client.generate("tiny", "The weather:", format=form, options={"temperature": 1, "seed": 1})
    assert json.loads(whole.response or "") in form["enum"]


@shows("ollama", "generate and chat, to load and unload", "whole")
def test_a_model_is_loaded_and_unloaded(client: ollama.Client) -> None:
    assert client.generate("echo").done_reason == "load"
    assert client.chat("echo", []).done_reason == "load"
    assert client.generate("echo", keep_alive=0).done_reason == "unload"


# Models


@shows("ollama", "list, show, ps", "whole")
def test_models_are_listed_shown_and_running(client: ollama.Client) -> None:
    names = [model.model for model in client.list().models]
    assert {"echo/echo:latest", "pytorch/tiny:latest", "scripted/caller:latest"} <= set(names)
    for name in names:
        shown = client.show(name or "")
        assert "completion" in (shown.capabilities or ())
    running = {model.model: model for model in client.ps().models}
    tiny = running["pytorch/tiny:latest"]
    assert tiny.expires_at is not None
    assert tiny.expires_at.year > 2300, "it stays for ever"
    assert tiny.size is not None
    assert (tiny.size > 0, tiny.context_length) == (True, 1024)


@shows("ollama", "pull", "whole", "stream")
def test_a_model_that_is_here_is_pulled_at_once(client: ollama.Client) -> None:
    assert client.pull("tiny").status == "success"
    assert [step.status for step in client.pull("pytorch/tiny", stream=True)] == ["pulling manifest", "success"]
    with pytest.raises(ollama.ResponseError, match="nobody"):
        list(client.pull("nobody", stream=True))


@pytest.mark.parametrize("name", ["delete", "copy", "create", "push", "embed", "embeddings"])
def test_what_is_not_done_here_is_refused_in_a_sentence(client: ollama.Client, name: str) -> None:
    calls = {
        "delete": lambda: client.delete("echo"),
        "copy": lambda: client.copy("echo", "mine"),
        "create": lambda: client.create("mine", from_="echo"),
        "push": lambda: client.push("echo"),
        "embed": lambda: client.embed("echo", "a"),
        "embeddings": lambda: client.embeddings("echo", "a"),
    }
    with pytest.raises(ollama.ResponseError, match=r"\bhere\b") as refused:
        calls[name]()
    assert refused.value.status_code == 400


# Failures


@pytest.mark.parametrize(("model", "status", "text"), [("nobody", 404, "not found"), ("full", 503, "overloaded")])
@pytest.mark.parametrize("stream", [False, True])
def test_failures_are_raised_with_their_status(
    client: ollama.Client, model: str, status: int, text: str, stream: bool
) -> None:
    with pytest.raises(ollama.ResponseError, match=text) as failed:
        list(client.chat(model, QUESTION, stream=stream))
    assert failed.value.status_code == status


def test_a_failure_in_the_middle_is_raised_after_what_came(client: ollama.Client) -> None:
    pieces = client.chat("breaker", QUESTION, stream=True)
    assert next(pieces).message.content == "so "
    with pytest.raises(ollama.ResponseError, match="It broke"):
        next(pieces)


def test_images_are_refused(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="does not support images"):
        client.chat("echo", [{"role": "user", "content": "What is it?", "images": [b"\x89PNG"]}])


# The other form, and the wire


@shows("ollama, async", "chat", "whole", "stream")
@shows("ollama, async", "generate", "stream")
@shows("ollama, async", "list, show, ps", "whole")
@shows("ollama, async", "pull", "stream")
def test_the_asynchronous_client_hears_the_same(server: str) -> None:
    async def test() -> None:
        async with ollama.AsyncClient(server) as client:
            whole = await client.chat("echo", QUESTION)
            assert whole.message.content == "one two three"
            stream = await client.chat("echo", QUESTION, stream=True)
            assert "".join([piece.message.content or "" async for piece in stream]) == "one two three"
            texts = await client.generate("echo", "one two", stream=True)
            assert "".join([piece.response or "" async for piece in texts]) == "one two"
            assert {model.model for model in (await client.list()).models} >= {"echo/echo:latest"}
            assert (await client.show("echo")).details is not None
            assert "pytorch/tiny:latest" in {model.model for model in (await client.ps()).models}
            assert [step.status async for step in await client.pull("echo", stream=True)][-1] == "success"
            answers = await asyncio.gather(
                *(client.chat("tiny", QUESTION, options={"num_predict": 4}) for _ in range(4))
            )
            assert [answer.eval_count for answer in answers] == [4] * 4

    asyncio.run(test())


def test_lines_are_not_gathered_for_whoever_takes_them_compressed(server: str) -> None:
    asked = {"model": "echo", "messages": QUESTION}
    answer = httpx.post(f"{server}/api/chat", json=asked, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert (answer.headers["x-accel-buffering"], "x-request-id" in answer.headers) == ("no", True)
