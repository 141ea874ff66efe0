"""OpenAI's official client and the engine with the embedded model: what is promised holds for a model of words."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel, Field

from tests.clients.table import shows

MODEL = "pytorch/smollm2-135m-instruct"
CAPITAL: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "How the weather is in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Person(BaseModel):
    name: str = Field(max_length=12)
    age: int = Field(ge=0, le=120)


@pytest.fixture
def client(embedded: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{embedded}/v1", api_key="none", max_retries=0) as client:
        yield client


@shows("openai, async", "chat.completions.parse, the engine", "whole")
def test_documents_at_any_temperature_are_valid(embedded: str) -> None:
    async def test() -> None:
        async with openai.AsyncOpenAI(base_url=f"{embedded}/v1", api_key="none", max_retries=0) as client:
            asked = [
                client.chat.completions.parse(
                    model=MODEL,
                    messages=[{"role": "user", "content": f"Make up person number {number}."}],
                    response_format=Person,
                    temperature=1,
                    max_tokens=60,
                )
                for number in range(8)
            ]
            for answer in await asyncio.gather(*asked):
                assert answer.choices[0].finish_reason == "stop"
                assert isinstance(answer.choices[0].message.parsed, Person)

    asyncio.run(test())


@shows("openai", "chat.completions.create, logprobs", "whole", "stream")
def test_probabilities_belong_to_the_tokens_of_the_text(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(
        model=MODEL, messages=CAPITAL, temperature=0, max_tokens=6, logprobs=True, top_logprobs=3
    ).choices[0]
    assert whole.logprobs is not None
    tokens = whole.logprobs.content or []
    assert len(tokens) == 6
    assert b"".join(bytes(token.bytes or ()) for token in tokens).decode() == whole.message.content
    for token in tokens:
        assert [top.token for top in token.top_logprobs][:1] == [token.token], "at temperature 0 the likeliest is taken"
        assert len(token.top_logprobs) == 3
        assert sum(math.exp(top.logprob) for top in token.top_logprobs) <= 1.0001
    pieces = client.chat.completions.create(
        model=MODEL, messages=CAPITAL, temperature=0, max_tokens=6, logprobs=True, top_logprobs=3, stream=True
    )
    logprobs = [piece.choices[0].logprobs for piece in pieces]
    streamed = [token for each in logprobs if each is not None for token in each.content or ()]
    assert [token.token for token in streamed] == [token.token for token in tokens]


@shows("openai", "completions.create, logprobs", "whole")
def test_probabilities_of_a_completion_have_offsets_into_its_text(client: openai.OpenAI) -> None:
    [choice] = client.completions.create(
        model=MODEL, prompt="The capital of France is", temperature=0, max_tokens=5, logprobs=2
    ).choices
    assert choice.logprobs is not None
    tokens, offsets = choice.logprobs.tokens or [], choice.logprobs.text_offset or []
    assert [choice.text[offset:].startswith(token) for token, offset in zip(tokens, offsets, strict=True)] == [True] * 5


@shows("openai", "chat.completions.create, tool_choice, the engine", "whole", "stream")
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_call_that_must_be_made_is_made(client: openai.OpenAI, choice: Any) -> None:
    asked: dict[str, Any] = {"tools": [WEATHER], "tool_choice": choice, "max_tokens": 60, "parallel_tool_calls": False}
    [answer] = client.chat.completions.create(model=MODEL, messages=CAPITAL, **asked).choices
    assert (answer.finish_reason, answer.message.content) == ("tool_calls", None)
    [call] = answer.message.tool_calls or ()
    assert call.type == "function"
    assert (call.function.name, [*json.loads(call.function.arguments)]) == ("weather", ["city"])
    with client.chat.completions.stream(model=MODEL, messages=CAPITAL, **asked) as stream:
        [streamed] = stream.get_final_completion().choices
    assert streamed.finish_reason == "tool_calls"
    assert streamed.message.tool_calls


@shows("openai", "chat.completions.create, logit_bias and penalties", "whole")
def test_biases_and_penalties_weigh_on_the_answer(client: openai.OpenAI) -> None:
    def answer(**more: Any) -> str:
        asked = client.chat.completions.create(model=MODEL, messages=CAPITAL, temperature=0, max_tokens=6, **more)
        return asked.choices[0].message.content or ""

    plain = answer()
    the = client.completions.create(model=MODEL, prompt="a", temperature=0, max_tokens=1, logit_bias={"504": 100})
    assert answer(logit_bias={"504": 100}) == the.choices[0].text * 6
    assert answer(frequency_penalty=2, presence_penalty=2, extra_body={"repetition_penalty": 2}) != plain


@shows("openai", "chat.completions.create, stop", "stream")
def test_no_piece_holds_a_part_of_a_stop_string(client: openai.OpenAI) -> None:
    pieces = client.chat.completions.create(
        model=MODEL, messages=CAPITAL, temperature=0, max_tokens=20, stop=[" of France"], stream=True
    )
    choices = [piece.choices[0] for piece in pieces]
    text = "".join(choice.delta.content or "" for choice in choices)
    assert text == "The capital"
    assert choices[-1].finish_reason == "stop"


def test_what_was_read_before_is_told(client: openai.OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": "Count the words of this sentence, and of the next one. " * 5}]
    usages = [
        client.chat.completions.create(model=MODEL, messages=asked, max_tokens=1, stop="x").usage for _ in range(2)
    ]
    cached = [usage.prompt_tokens_details.cached_tokens for usage in usages if usage and usage.prompt_tokens_details]
    assert cached[1] is not None
    assert cached[1] > (cached[0] or 0) >= 0


def test_what_the_engine_cannot_do_is_refused_by_its_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as bias:
        client.chat.completions.create(model=MODEL, messages=CAPITAL, logit_bias={"999999": 1})
    assert bias.value.param == "logit_bias"
    looking_ahead: Any = {"name": "x", "schema": {"type": "string", "pattern": "(?=x)"}}
    form_of: Any = {"type": "json_schema", "json_schema": looking_ahead}
    with pytest.raises(openai.BadRequestError) as form:
        client.chat.completions.create(model=MODEL, messages=CAPITAL, response_format=form_of)
    assert form.value.param == "response_format"
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model=MODEL, prompt="word " * 20_000)
    assert long.value.code == "context_length_exceeded"
