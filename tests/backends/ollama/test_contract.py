"""What every backend promises, and what the one to Ollama does beyond: held against recordings and real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import pytest

from backends.base import (
    BackendFailed,
    Loading,
    ModelNotFound,
    ModelsChanged,
    Notice,
    Progress,
    Text,
    Unsupported,
)
from backends.ollama import OllamaBackend
from server.hub import Hub
from tests.backends.asking import (
    ANSWER,
    MODEL,
    WEATHER_TOOL,
    ask,
    events_of,
    failure_of,
    loadings_of,
    reasoning_of,
    text_of,
)
from tests.backends.contract import Contract, Subject
from tests.backends.ollama.conftest import Server

T = TypeVar("T")


@pytest.fixture
def subject(server: Server) -> Subject:
    return Subject(server.label, lambda: OllamaBackend(server.url, options={"num_thread": 1}))


class TestContract(Contract):
    """Kept with each of the servers."""


def run(server: Server, work: Callable[[OllamaBackend], Awaitable[T]]) -> T:
    """Do `work` with a backend for `server`, on an event loop of its own."""

    async def main() -> T:
        backend = OllamaBackend(server.url, options={"num_thread": 1})
        try:
            return await work(backend)
        finally:
            await backend.close()

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


def test_what_ollama_has_no_word_for_is_refused_by_name(server: Server) -> None:
    for field, value in {"n": 2, "logprobs": 1, "token_ids": (1, 2), "resume_token_ids": (1,)}.items():
        error = run(server, lambda backend, fields={field: value}: failure_of(backend, ask(**fields)))
        assert isinstance(error, Unsupported)
        assert field in error.message


def test_the_hub_asks_it_for_several_answers_one_by_one(server: Server) -> None:
    async def twice(backend: OllamaBackend) -> list[str]:
        hub = Hub([backend])
        await hub.start()
        async with aclosing(hub.generate(ask(model=f"ollama/{MODEL}", n=2))) as answer:
            events = [event async for event in answer if isinstance(event, Text)]
        return [text_of([event for event in events if event.index == index]) for index in range(2)]

    assert run(server, twice) == [ANSWER, ANSWER]


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
