"""OpenAI's official client, unmodified, in both of its forms: every call that it has for what we offer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionFunctionToolParam
from pydantic import BaseModel

from tests.clients.table import shows

QUESTION: list[Any] = [{"role": "user", "content": "one two three"}]
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "How the weather is in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client:
        yield client


class City(BaseModel):
    city: str
    people: int


@shows("openai", "models.list", "whole")
@shows("openai", "models.retrieve", "whole")
def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"echo/echo", "pytorch/tiny", "scripted/caller"} <= set(names)
    assert client.models.retrieve("pytorch/tiny").owned_by == "pytorch"
    with pytest.raises(openai.NotFoundError, match="nobody"):
        client.models.retrieve("nobody")


@shows("openai", "completions.create", "whole", "stream")
def test_a_completion_is_answered_and_streamed(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="echo", prompt="one two three", max_tokens=2)
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == ("one two ", "length")
    pieces = client.completions.create(model="echo", prompt="one two three", max_tokens=2, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == "one two "


@shows("openai", "completions.create, several prompts and answers", "whole", "stream")
def test_several_prompts_have_several_answers_in_their_order(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="echo", prompt=["a b", "c"], n=2, echo=True)
    assert [(choice.index, choice.text) for choice in whole.choices] == [
        (0, "a ba b"),
        (1, "a ba b"),
        (2, "cc"),
        (3, "cc"),
    ]
    pieces = client.completions.create(model="echo", prompt=["a b", "c"], n=2, stream=True)
    texts = ["", "", "", ""]
    for piece in pieces:
        texts[piece.choices[0].index] += piece.choices[0].text
    assert texts == ["a b", "a b", "c", "c"]


@shows("openai", "completions.create, token ids", "whole")
def test_a_prompt_may_be_token_ids(client: openai.OpenAI) -> None:
    text = client.completions.create(model="tiny", prompt="ab", max_tokens=5, temperature=0)
    ids = client.completions.create(model="tiny", prompt=[64, 65], max_tokens=5, temperature=0)  # the bytes of "ab"
    assert ids.usage is not None
    assert ids.usage.prompt_tokens == 2
    assert ids.choices[0].text == text.choices[0].text


@shows("openai", "chat.completions.create", "whole", "stream")
def test_a_chat_is_answered_and_streamed(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="echo", messages=QUESTION)
    assert whole.choices[0].message.content == "one two three"
    stream = client.chat.completions.create(
        model="echo", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    *pieces, last = stream
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "one two three"
    assert pieces[0].choices[0].delta.role == "assistant"
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert last.usage == whole.usage


@shows("openai", "chat.completions.create, n=3", "whole", "stream")
def test_the_engine_answers_a_chat_with_several_choices(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(
        model="tiny", messages=QUESTION, n=3, max_completion_tokens=4, seed=3, temperature=0.5, stop="END"
    )
    assert [(choice.index, choice.finish_reason) for choice in whole.choices] == [(n, "length") for n in range(3)]
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 12
    pieces = client.chat.completions.create(model="tiny", messages=QUESTION, n=3, max_tokens=4, stream=True)
    ends = [choice.index for piece in pieces for choice in piece.choices if choice.finish_reason == "length"]
    assert sorted(ends) == [0, 1, 2]


def test_messages_may_have_every_role_and_come_in_parts(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(
        model="echo",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "system", "content": "And friendly."},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        ],
    )
    assert whole.choices[0].message.content == "one\ntwo"


@shows("openai", "chat.completions.create, tools", "whole")
def test_a_tool_is_called_and_its_answer_taken(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="caller", messages=QUESTION, tools=[WEATHER], tool_choice="auto")
    [choice] = first.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    [call] = choice.message.tool_calls or ()
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Paris"})
    answered: list[Any] = [*QUESTION, choice.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = client.chat.completions.create(model="caller", messages=answered, tools=[WEATHER])
    assert second.choices[0].message.content == "It said sunny."


@shows("openai", "chat.completions.create, tools", "stream")
def test_a_tool_is_called_in_a_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="caller", messages=QUESTION, tools=[WEATHER]) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [(event.name, json.loads(event.arguments)) for event in done] == [("weather", {"city": "Paris"})]
    assert final.choices[0].finish_reason == "tool_calls"


@shows("openai", "chat.completions.parse", "whole", "stream")
def test_a_document_of_a_form_is_read(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model="author", messages=QUESTION, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Paris", people=2)
    with client.chat.completions.stream(model="author", messages=QUESTION, response_format=City) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == City(city="Paris", people=2)


@shows("openai", "chat.completions.create, reasoning", "whole", "stream")
def test_thinking_is_kept_apart_under_both_names(client: openai.OpenAI) -> None:
    message = client.chat.completions.create(model="thinker", messages=QUESTION).choices[0].message
    assert message.content == "It is Paris."
    assert message.model_extra == {"reasoning": "Let me see.", "reasoning_content": "Let me see."}
    pieces = client.chat.completions.create(model="thinker", messages=QUESTION, stream=True)
    extras = [piece.choices[0].delta.model_extra or {} for piece in pieces]
    assert "".join(extra.get("reasoning", "") for extra in extras) == "Let me see."


def test_failures_are_the_exceptions_that_are_meant(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=QUESTION)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    picture: list[Any] = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    with pytest.raises(openai.BadRequestError, match="image_url") as image:
        client.chat.completions.create(model="echo", messages=picture)
    assert image.value.param == "messages.0.content.0"
    with pytest.raises(openai.BadRequestError) as unsupported:
        client.chat.completions.create(model="author", messages=QUESTION, logprobs=True)
    assert (unsupported.value.param, unsupported.value.code) == ("logprobs", "unsupported")
    with pytest.raises(openai.InternalServerError, match="Engine overloaded") as full:
        client.chat.completions.create(model="full", messages=QUESTION, stream=True)
    assert (full.value.status_code, full.value.response.headers["retry-after"]) == (503, "2")
    with pytest.raises(openai.InternalServerError, match="It broke"):
        client.chat.completions.create(model="breaker", messages=QUESTION)


def test_a_stream_that_breaks_raises_after_what_came(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="breaker", messages=QUESTION, stream=True)
    assert (next(stream).choices[0].delta.role, next(stream).choices[0].delta.content) == ("assistant", "so ")
    with pytest.raises(openai.APIError, match="It broke"):
        next(stream)


@shows("openai, async", "models.list", "whole")
@shows("openai, async", "chat.completions.create", "whole", "stream")
@shows("openai, async", "chat.completions.parse", "whole")
def test_the_client_without_waiting_does_the_same(server: str) -> None:
    async def test() -> None:
        async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client:
            assert "echo/echo" in [model.id async for model in client.models.list()]
            asked = [
                client.chat.completions.create(model="echo", messages=[{"role": "user", "content": f"word {n}"}])
                for n in range(8)
            ]
            answers = await asyncio.gather(*asked)
            assert [each.choices[0].message.content for each in answers] == [f"word {n}" for n in range(8)]
            stream = await client.chat.completions.create(model="tiny", messages=QUESTION, stream=True, max_tokens=4)
            assert [piece async for piece in stream][-1].choices[0].finish_reason == "length"
            parsed = await client.chat.completions.parse(model="author", messages=QUESTION, response_format=City)
            assert parsed.choices[0].message.parsed == City(city="Paris", people=2)
            with pytest.raises(openai.NotFoundError):
                await client.completions.create(model="nobody", prompt="a")

    asyncio.run(test())
