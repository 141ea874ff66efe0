"""What every backend promises, and what the one to OpenAI-compatible servers does beyond: held against real ones."""

from __future__ import annotations

import json
import urllib.request
from contextlib import aclosing
from typing import Any

from backends.base import Backend, ContextOverflow, Text
from tests.backends.asking import ANSWER, done_of, events_of, failure_of, likeliest, text_of
from tests.backends.contract import Contract, Subject


class TestContract(Contract):
    """Kept with each of the servers."""


def test_how_much_a_model_reads_is_known(subject: Subject) -> None:
    (found,) = subject.run(lambda backend: backend.list_models())
    assert found.context_length == (8192 if subject.tells_models_apart else 2048)


def test_tokens_are_gone_on_from_as_they_stand(subject: Subject) -> None:
    """`The capital of France is`, as the model's tokenizer has it."""
    request = subject.ask(token_ids=(504, 3575, 282, 4649, 314), params=likeliest(max_tokens=2))
    events = subject.run(lambda backend: events_of(backend, request))
    assert text_of(events) == " Paris."
    assert done_of(events).usage.prompt_tokens == 5


def test_every_token_comes_with_its_probability(subject: Subject) -> None:
    for fields in ({}, {"prompt": "The capital of France is"}):
        request = subject.ask(logprobs=2, params=likeliest(max_tokens=3), **fields)
        events = subject.run(lambda backend, request=request: events_of(backend, request))
        tokens = [token for event in events if isinstance(event, Text) for token in event.logprobs or ()]
        assert b"".join(token.data for token in tokens).decode() == text_of(events)
        assert len(tokens) == 3
        for token in tokens:
            assert -20 < token.logprob <= 0
            assert max(other.logprob for other in token.top) <= token.logprob + 1e-6, "The likeliest was taken."


def test_a_document_without_a_schema_is_one(subject: Subject) -> None:
    request = subject.ask(response_format={"type": "json_object"}, params=likeliest(max_tokens=200))
    events = subject.run(lambda backend: events_of(backend, request))
    whole = done_of(events).finish_reason == "stop"  # the model may go on for as long as it likes
    assert isinstance(json.loads(text_of(events)), dict) if whole else text_of(events).lstrip().startswith("{")


def test_a_prompt_that_is_read_twice_is_known_the_second_time(subject: Subject) -> None:
    async def twice(backend: Backend) -> int:
        await events_of(backend, subject.ask())
        return done_of(await events_of(backend, subject.ask())).usage.cached_tokens

    assert subject.run(twice) > 0


def test_a_conversation_that_is_too_long_is_told_as_such(subject: Subject) -> None:
    error = subject.run(lambda backend: failure_of(backend, subject.ask(prompt="one two three " * 4000)))
    assert isinstance(error, ContextOverflow)
    assert "Shorten it" in error.message


def test_an_answer_that_is_left_ends_upstream(subject: Subject, request: Any) -> None:
    """The server itself says that nothing runs any more."""
    address = request.getfixturevalue(request.node.callspec.params["subject"])
    is_ours = subject.tells_models_apart

    def running() -> int:
        with urllib.request.urlopen(address + ("/v1/engine/stats" if is_ours else "/slots"), timeout=10) as answer:
            told = json.load(answer)
        return int(told["active_requests"]) if is_ours else sum(slot["is_processing"] for slot in told)

    async def leave(backend: Backend) -> bool:
        request = subject.ask(prompt="Once upon a time", params=likeliest(max_tokens=1500))
        async with aclosing(backend.generate(request)) as events:
            async for event in events:
                if isinstance(event, Text):
                    return running() == 1
        return False

    assert subject.run(leave), "It did not run while it was read."
    assert any(running() == 0 for _ in range(2_000)), "It went on upstream."
    assert text_of(subject.run(lambda backend: events_of(backend, subject.ask()))) == ANSWER
