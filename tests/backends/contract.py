"""What every backend promises that asks a model server, whatever the server speaks: one suite for all of them.

A test module of an adapter has a class that is a `Contract`, and a fixture `subject` that gives each server in turn.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from backends.base import Backend, Done, GenerationRequest, Message, ModelNotFound, Text, Unsupported
from tests.backends.asking import (
    ANSWER,
    MODEL,
    QUESTION,
    done_of,
    events_of,
    failure_of,
    likeliest,
    reasoning_of,
    text_of,
)
from tests.backends.asking import ask as plain_ask

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Subject:
    """A backend before one server, and what has to be known of the server.

    `system` is told first, where the model's template would otherwise say something of its own.
    """

    label: str
    make: Callable[[], Backend]
    model: str = MODEL
    system: str = ""
    tells_models_apart: bool = True  # llama.cpp's server has one model, and answers by any name

    def ask(self, **fields: Any) -> GenerationRequest:
        """The question to which `ANSWER` is the answer."""
        if self.system and not {"prompt", "token_ids", "messages"} & fields.keys():
            fields["messages"] = (Message("system", self.system), Message("user", QUESTION))
        return plain_ask(**{"model": self.model, **fields})

    def run(self, work: Callable[[Backend], Awaitable[T]]) -> T:
        """Do `work` with a backend for the server, on an event loop of its own."""

        async def main() -> T:
            backend = self.make()
            try:
                return await work(backend)
            finally:
                await backend.close()

        return asyncio.run(main())


class Contract:
    """The suite. Greedy answers are compared to the letter: all servers have the same weights."""

    def test_its_models_are_listed_with_what_is_known_of_them(self, subject: Subject) -> None:
        models = subject.run(lambda backend: backend.list_models())
        found = next(info for info in models if info.name == subject.model)
        assert found.context_length is None or found.context_length >= 1024
        assert "completion" in found.capabilities
        assert found.state in ("ready", "available")

    def test_it_is_healthy_while_it_has_a_model(self, subject: Subject) -> None:
        assert subject.run(lambda backend: backend.health()).ok

    def test_an_answer_comes_in_pieces_and_ends_in_done(self, subject: Subject) -> None:
        events = subject.run(lambda backend: events_of(backend, subject.ask()))
        assert text_of(events) == ANSWER
        assert len(events) > 5, "The answer came in one piece."
        done = done_of(events)
        assert done.finish_reason == "stop"
        assert done.usage.prompt_tokens > 10
        assert done.usage.completion_tokens in (7, 8)
        timings = done.timings
        assert timings.ttft_ms is not None
        assert timings.total_ms is not None
        assert 0 < timings.ttft_ms <= timings.total_ms
        assert (timings.tokens_per_second or 0) > 1

    def test_a_limit_ends_the_answer_with_length(self, subject: Subject) -> None:
        events = subject.run(lambda backend: events_of(backend, subject.ask(params=likeliest(max_tokens=3))))
        assert text_of(events) == "The capital of"
        assert done_of(events).finish_reason == "length"
        assert done_of(events).usage.completion_tokens == 3

    def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(self, subject: Subject) -> None:
        events = subject.run(lambda backend: events_of(backend, subject.ask(params=likeliest(stop=(" Paris",)))))
        assert text_of(events) == "The capital of France is"
        assert done_of(events).finish_reason == "stop"

    def test_a_prompt_is_gone_on_from_as_it_stands(self, subject: Subject) -> None:
        request = subject.ask(prompt="The capital of France is", params=likeliest(max_tokens=8))
        events = subject.run(lambda backend: events_of(backend, request))
        assert text_of(events).startswith(" Paris")
        assert done_of(events).usage.completion_tokens == 8

    def test_earlier_turns_and_the_system_prompt_are_part_of_the_question(self, subject: Subject) -> None:
        turns = (
            Message("system", "You are a helpful AI assistant."),
            Message("user", "My name is Ada."),
            Message("assistant", "Hello Ada!"),
            Message("user", "What is my name?"),
        )
        request = subject.ask(messages=turns, params=likeliest(max_tokens=3))
        events = subject.run(lambda backend: events_of(backend, request))
        assert done_of(events).usage.prompt_tokens == 45

    def test_a_json_schema_shapes_the_answer(self, subject: Subject) -> None:
        schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string", "maxLength": 12}}}
        request = subject.ask(response_format={"type": "json_schema", "schema": schema})
        events = subject.run(lambda backend: events_of(backend, request))
        assert set(json.loads(text_of(events))) == {"city"}

    def test_a_model_that_cannot_think_answers_all_the_same(self, subject: Subject) -> None:
        for think in (True, False):
            request = subject.ask(think=think)
            events = subject.run(lambda backend, request=request: events_of(backend, request))
            assert (reasoning_of(events), text_of(events)) == ("", ANSWER)

    def test_an_answer_is_gone_on_with_where_the_model_says_so_and_never_begun_anew(self, subject: Subject) -> None:
        async def go_on(backend: Backend) -> None:
            models = await backend.list_models()
            found = next(info for info in models if info.name == subject.model)
            request = subject.ask(resume_text="The capital of")
            if backend.continues and "continue" in found.capabilities:
                assert text_of(await events_of(backend, request)) == ANSWER.removeprefix("The capital of")
            else:
                error = await failure_of(backend, request)
                assert isinstance(error, Unsupported)
                assert error.field == "resume_text"

        subject.run(go_on)

    def test_a_seed_of_any_size_that_chats_have_is_taken(self, subject: Subject) -> None:
        for seed in (0, 2**31 - 1):
            request = subject.ask(params=likeliest(seed=seed))
            events = subject.run(lambda backend, request=request: events_of(backend, request))
            assert text_of(events) == ANSWER

    def test_an_unknown_model_is_not_found(self, subject: Subject) -> None:
        if subject.tells_models_apart:
            error = subject.run(lambda backend: failure_of(backend, subject.ask(model="nosuch")))
            assert isinstance(error, ModelNotFound)
            assert "nosuch" in error.message

    def test_an_answer_that_is_left_leaves_the_backend_usable(self, subject: Subject) -> None:
        async def leave_and_ask_again(backend: Backend) -> str:
            async with aclosing(backend.generate(subject.ask())) as events:
                async for event in events:
                    if isinstance(event, Text):
                        break
            return text_of(await events_of(backend, subject.ask()))

        assert subject.run(leave_and_ask_again) == ANSWER

    def test_two_answers_at_once_do_not_mix(self, subject: Subject) -> None:
        async def both(backend: Backend) -> list[str]:
            short = subject.ask(request_id="short", params=likeliest(max_tokens=3))
            told = await asyncio.gather(events_of(backend, subject.ask()), events_of(backend, short))
            return [text_of(events) for events in told]

        assert subject.run(both) == [ANSWER, "The capital of"]

    def test_several_choices_and_sampled_tokens_are_refused_by_name(self, subject: Subject) -> None:
        """The hub asks for each choice by itself, and never gives tokens to a backend that does not resume."""
        for field, value in {"n": 2, "resume_token_ids": (1,)}.items():
            request = subject.ask(**{field: value})
            error = subject.run(lambda backend, request=request: failure_of(backend, request))
            assert isinstance(error, Unsupported)
            assert error.field == field
            assert field in error.message

    def test_errors_are_sentences_without_paths_or_addresses(self, subject: Subject) -> None:
        fields: dict[str, Any] = {"model": "nosuch"} if subject.tells_models_apart else {"n": 2}
        error = subject.run(lambda backend: failure_of(backend, subject.ask(**fields)))
        assert error.message.endswith(".")
        assert "/" not in error.message
        assert "127.0.0.1" not in error.message

    def test_there_is_one_end_and_nothing_after_it(self, subject: Subject) -> None:
        events = subject.run(lambda backend: events_of(backend, subject.ask()))
        assert [type(event) for event in events].count(Done) == 1
        assert isinstance(events[-1], Done)
