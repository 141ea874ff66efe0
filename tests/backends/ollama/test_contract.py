"""What the adapter promises, held against recorded answers and against real servers of two versions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

import pytest

from backends.base import (
    BackendFailed,
    Loading,
    Message,
    ModelNotFound,
    ModelsChanged,
    Notice,
    Progress,
    Text,
    Unsupported,
)
from backends.ollama import OllamaBackend
from tests.backends.asking import (
    ANSWER,
    MODEL,
    WEATHER_TOOL,
    ask,
    done_of,
    events_of,
    failure_of,
    likeliest,
    loadings_of,
    reasoning_of,
    text_of,
)
from tests.backends.ollama.conftest import Server

T = TypeVar("T")


@asynccontextmanager
async def backend_of(server: Server) -> AsyncIterator[OllamaBackend]:
    backend = OllamaBackend(server.url, options={"num_thread": 1})
    try:
        yield backend
    finally:
        await backend.close()


def run(server: Server, work: Callable[[OllamaBackend], Awaitable[T]]) -> T:
    """Do `work` with a backend for `server`, on an event loop of its own."""

    async def main() -> T:
        async with backend_of(server) as backend:
            return await work(backend)

    return asyncio.run(main())


async def state_of_model(backend: OllamaBackend) -> str:
    return next(info.state for info in await backend.list_models() if info.name == MODEL)


async def unloaded(backend: OllamaBackend) -> None:
    """Unload the model, and wait until it is: the server does it behind its answer."""
    await backend.unload(MODEL)
    async with asyncio.timeout(20):
        while await state_of_model(backend) != "available":
            continue


def test_its_models_are_listed_with_what_is_known_of_them(server: Server) -> None:
    models = run(server, lambda backend: backend.list_models())
    found = next(info for info in models if info.name == MODEL)
    assert found.context_length == 8192
    assert found.quantization == "Q4_1"
    assert found.capabilities == ("completion",)
    assert 90_000_000 < (found.size or 0) < 110_000_000


def test_it_is_healthy_while_it_has_a_model(server: Server) -> None:
    assert run(server, lambda backend: backend.health()).ok


def test_an_answer_comes_in_pieces_and_ends_in_done(server: Server) -> None:
    events = run(server, lambda backend: events_of(backend, ask()))
    assert text_of(events) == ANSWER
    assert len(events) > 5, "The answer came in one piece."
    done = done_of(events)
    assert done.finish_reason == "stop"
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (16, 8)
    timings = done.timings
    assert timings.ttft_ms is not None
    assert timings.total_ms is not None
    assert 0 < timings.ttft_ms <= timings.total_ms
    assert 1 < (timings.tokens_per_second or 0) < 10_000


def test_a_limit_ends_the_answer_with_length(server: Server) -> None:
    events = run(server, lambda backend: events_of(backend, ask(params=likeliest(max_tokens=3))))
    assert text_of(events) == "The capital of"
    assert done_of(events).finish_reason == "length"


def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(server: Server) -> None:
    events = run(server, lambda backend: events_of(backend, ask(params=likeliest(stop=(" Paris",)))))
    assert text_of(events) == "The capital of France is"
    assert done_of(events).finish_reason == "stop"


def test_a_prompt_is_gone_on_from_as_it_stands(server: Server) -> None:
    request = ask(prompt="The capital of France is", params=likeliest(max_tokens=8))
    events = run(server, lambda backend: events_of(backend, request))
    assert text_of(events).startswith(" Paris")
    assert done_of(events).usage.completion_tokens == 8


def test_earlier_turns_and_the_system_prompt_are_part_of_the_question(server: Server) -> None:
    turns = (
        Message("system", "You are a helpful AI assistant."),
        Message("user", "My name is Ada."),
        Message("assistant", "Hello Ada!"),
        Message("user", "What is my name?"),
    )
    events = run(server, lambda backend: events_of(backend, ask(messages=turns, params=likeliest(max_tokens=3))))
    assert done_of(events).usage.prompt_tokens == 45


def test_a_json_schema_shapes_the_answer(server: Server) -> None:
    schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string", "maxLength": 12}}}
    response_format = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    events = run(server, lambda backend: events_of(backend, ask(response_format=response_format)))
    assert set(json.loads(text_of(events))) == {"city"}


def test_a_model_that_cannot_think_answers_all_the_same(server: Server) -> None:
    events = run(server, lambda backend: events_of(backend, ask(think=True)))
    assert (reasoning_of(events), text_of(events)) == ("", ANSWER)


def test_tools_are_refused_for_a_model_that_cannot_call_them(server: Server) -> None:
    error = run(server, lambda backend: failure_of(backend, ask(tools=(WEATHER_TOOL,))))
    assert isinstance(error, Unsupported)
    assert "tools" in error.message


def test_thinking_comes_apart_from_the_answer(server: Server) -> None:
    if server.version == "0.5.4":
        pytest.skip("Ollama 0.5.4 has no parser for thinking.")
    events = run(server, lambda backend: events_of(backend, ask(model="thinker")))
    assert reasoning_of(events).strip() == "capital of France"
    assert text_of(events) == "Paris."
    events = run(server, lambda backend: events_of(backend, ask(model="thinker", think=False)))
    assert (reasoning_of(events), text_of(events)) == ("", ANSWER)


def test_an_answer_is_not_begun_anew_where_it_cannot_be_gone_on_with(server: Server) -> None:
    """The template that the server finds for the model closes every message."""
    error = run(server, lambda backend: failure_of(backend, ask(resume_text="The capital")))
    assert isinstance(error, Unsupported)
    assert "cannot go on" in error.message


def test_a_seed_of_any_size_that_chats_have_is_taken(server: Server) -> None:
    for seed in (0, 2**31 - 1):
        events = run(server, lambda backend, seed=seed: events_of(backend, ask(params=likeliest(seed=seed))))
        assert text_of(events) == ANSWER


def test_an_unknown_model_is_not_found(server: Server) -> None:
    error = run(server, lambda backend: failure_of(backend, ask(model="nosuch")))
    assert isinstance(error, ModelNotFound)
    assert "ollama pull nosuch" in error.message


def test_a_model_that_can_be_had_nowhere_does_not_load(server: Server) -> None:
    with pytest.raises(ModelNotFound, match="nosuch"):
        run(server, lambda backend: loadings_of(backend, "nosuch"))


def test_a_model_is_loaded_and_unloaded(server: Server) -> None:
    async def states(backend: OllamaBackend) -> tuple[list[Loading], str]:
        notices: list[Notice] = []
        backend.notify = notices.append
        await unloaded(backend)
        loadings = await loadings_of(backend, MODEL)
        assert ModelsChanged() in notices
        return loadings, await state_of_model(backend)

    loadings, state = run(server, states)
    assert state == "ready"
    assert loadings[-1] == Loading(MODEL, "ready")
    assert loadings[0] == Loading(MODEL, "Loading into memory")


def test_a_cold_model_is_said_to_load_before_it_answers(server: Server) -> None:
    async def asked_cold(backend: OllamaBackend) -> list[object]:
        await unloaded(backend)
        return [event async for event in backend.generate(ask())]

    events = run(server, asked_cold)
    assert events[0] == Progress("loading")
    assert "".join(event.text for event in events if isinstance(event, Text)) == ANSWER


def test_unloading_what_is_not_there_is_no_failure(server: Server) -> None:
    run(server, lambda backend: backend.unload("nosuch"))


def test_an_answer_that_is_left_leaves_the_backend_usable(server: Server) -> None:
    async def leave_and_ask_again(backend: OllamaBackend) -> str:
        async with aclosing(backend.generate(ask())) as events:
            await anext(events)
        return text_of(await events_of(backend, ask()))

    assert run(server, leave_and_ask_again) == ANSWER


def test_what_ollama_has_no_word_for_is_refused_by_name(server: Server) -> None:
    for field, value in {"n": 2, "logprobs": 1, "token_ids": (1, 2), "resume_token_ids": (1,)}.items():
        error = run(server, lambda backend, fields={field: value}: failure_of(backend, ask(**fields)))
        assert isinstance(error, Unsupported)
        assert field in error.message


def test_errors_are_sentences_without_paths_or_addresses(server: Server) -> None:
    errors = [run(server, lambda backend: failure_of(backend, ask(model="nosuch")))]
    try:
        run(server, lambda backend: loadings_of(backend, "nosuch"))
    except (ModelNotFound, BackendFailed) as error:
        errors.append(error)
    for error in errors:
        assert error.message.endswith(".")
        assert "/" not in error.message
        assert "127.0.0.1" not in error.message
