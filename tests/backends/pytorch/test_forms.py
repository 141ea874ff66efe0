"""Documents, penalties and log probabilities as they are asked for and given at the interface of backends."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.base import Done, Params, Progress, Text, TokenLogprob, Unsupported
from tests.backends.pytorch.serving import (
    answer,
    error_of,
    events_of,
    request,
    requests_of,
    started,
    text_of,
    until,
    within,
)

SHORT = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"], "additionalProperties": False}
JSON_SCHEMA = {"type": "json_schema", "schema": SHORT}
HOT = Params(temperature=1.0, seed=2, max_tokens=300)


def test_an_answer_is_the_document_that_was_asked_for(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            events = await events_of(backend, request(response_format=JSON_SCHEMA, params=HOT, n=3))
            for index in range(3):
                text = "".join(event.text for event in events if isinstance(event, Text) and event.index == index)
                assert json.loads(text)["a"] in ("x", "y")
            assert [event.finish_reason for event in events if isinstance(event, Done)] == ["stop"] * 3

    within(test)


def test_a_stop_string_of_the_template_cuts_no_document(folder: Path) -> None:
    schema = {"const": "User: \n\n\n"}

    async def test() -> None:
        async with started(folder) as backend:
            await answer(backend, request("first"))
            assert backend._active is not None
            backend._active._engine().tokenizer._template.stop = ("User:",)
            asked = request(response_format={"type": "json_schema", "schema": schema}, params=HOT)
            assert json.loads(await answer(backend, asked)) == "User: \n\n\n"

    within(test)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"type": "json_schema", "schema": {"uniqueItems": True, "type": "array"}}, "uniqueItems"),
        ({"type": "json_schema", "schema": {"type": "integer", "minimum": 2, "maximum": 1}}, "nsatisfiable"),
        ({"type": "json_schema", "schema": [SHORT]}, "json_schema"),
        ({"type": "grammar"}, "json_schema"),
        ({}, "json_schema"),
    ],
)
def test_a_form_that_cannot_be_kept_is_refused_by_name(folder: Path, form: dict[str, Any], reason: str) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            error = await error_of(backend, request(response_format=form))
            assert isinstance(error, Unsupported)
            assert error.field == "response_format"
            assert reason in error.message
            assert requests_of(backend) == 0

    within(test)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        (Params(logit_bias=((5_000, 1.0),)), "logit_bias"),
        (Params(presence_penalty=float("nan")), "presence_penalty"),
        (Params(repeat_penalty=-1.0), "repeat_penalty"),
    ],
)
def test_the_field_that_is_wrong_is_named(folder: Path, params: Params, field: str) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            error = await error_of(backend, request(params=params))
            assert isinstance(error, Unsupported)
            assert error.field == field

    within(test)


def test_every_token_of_a_text_has_its_log_probability(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            events = await events_of(
                backend, request(logprobs=2, params=Params(temperature=1.0, seed=3, max_tokens=40))
            )
            told: list[TokenLogprob] = []
            for event in events:
                if isinstance(event, Text):
                    assert event.logprobs is not None
                    assert tuple(one.token_id for one in event.logprobs) == event.token_ids
                    told += event.logprobs
            assert b"".join(one.data for one in told).decode(errors="replace") == text_of(events)
            for one in told:
                first, second = one.top
                assert 0 >= first.logprob >= second.logprob
                assert first.logprob >= one.logprob
            usage = next(event.usage for event in events if isinstance(event, Done))
            assert usage.completion_tokens - len(told) in (0, 1), "the end token is no part of the text"

    within(test)


def test_who_does_not_ask_is_told_no_log_probabilities(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            events = await events_of(backend, request())
            assert all(event.logprobs is None for event in events if isinstance(event, Text))

    within(test)


def test_penalties_and_biases_reach_the_engine(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            forced = Params(temperature=0, max_tokens=5, logit_bias=((66, 100.0),))
            assert await answer(backend, request(params=forced)) == "c" * 5
            usual = await answer(backend, request(params=Params(temperature=0, max_tokens=60)))
            penalties = Params(temperature=0, max_tokens=60, presence_penalty=2, frequency_penalty=2, repeat_penalty=2)
            assert await answer(backend, request(params=penalties)) != usual

    within(test)


def test_what_was_remembered_of_a_prompt_is_told_in_the_usage(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            asked = request(prompt="the same beginning of sixty-four characters " * 4)
            ends = [event for _ in range(2) for event in await events_of(backend, asked) if isinstance(event, Done)]
            first, second = (end.usage for end in ends)
            assert first.cached_tokens == 0
            assert 0 < second.cached_tokens < second.prompt_tokens == first.prompt_tokens
            assert second.cached_tokens % 16 == 0
            several = [
                event.usage for event in await events_of(backend, replace(asked, n=3)) if isinstance(event, Done)
            ]
            assert {usage.cached_tokens for usage in several} == {second.cached_tokens}, "one prompt is read for all"

    within(test)


@pytest.mark.parametrize("leaves_at", [Progress, Text], ids=["while it is read", "while it is written"])
def test_who_leaves_frees_all_blocks_within_a_step(folder: Path, leaves_at: type[Progress | Text]) -> None:
    """A prompt of several steps, and a long answer. The engine measures itself when it comes to rest."""
    numbers = {"type": "json_schema", "schema": {"type": "array", "items": {"type": "integer"}, "minItems": 1000}}
    long = request(prompt="word " * 140, params=HOT, response_format=numbers, n=2)

    async def test() -> None:
        async with started(folder) as backend:
            await answer(backend, request("first"))
            async with aclosing(backend.generate(long)) as events:
                async for event in events:
                    if isinstance(event, leaves_at) and (isinstance(event, Text) or 0 < event.done < event.total):
                        break
                else:
                    raise AssertionError("it was over before anybody left")
            await until(lambda: (stats := backend.stats()) is not None and stats.running == stats.waiting == 0)
            stats = backend.stats()
            assert stats is not None
            assert stats.blocks_used == 0
            assert requests_of(backend) == 0

    within(test)


def test_a_document_goes_on_where_it_broke_off(folder: Path) -> None:
    """As after a crash: with the tokens that are known, and only what is new is given."""
    lists = {
        "type": "json_schema",
        "schema": {"type": "array", "items": {"enum": ["ab", "cd"]}, "minItems": 6, "maxItems": 6},
    }
    asked = request(response_format=lists, params=HOT)

    async def test() -> None:
        async with started(folder) as backend:
            texts = [event for event in await events_of(backend, asked) if isinstance(event, Text)]
            whole = "".join(text.text for text in texts)
            for cut in range(0, len(texts) + 1, 3):
                known = tuple(token for text in texts[:cut] for token in text.token_ids)
                rest = await answer(backend, replace(asked, resume_token_ids=known))
                assert "".join(text.text for text in texts[:cut]) + rest == whole
            assert len(json.loads(whole)) == 6

    within(test)
