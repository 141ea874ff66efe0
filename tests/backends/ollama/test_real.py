"""What only a real Ollama server can show: work ends with its connection, servers die, downloads go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import psutil
import pytest

from backends.base import BackendError, BackendFailed, BackendUnreachable, Event, Loading, Progress, Text
from backends.ollama import OllamaBackend
from tests.backends.asking import ANSWER, MODEL, ask, events_of, failure_of, likeliest, loadings_of, text_of
from tests.backends.ollama.model_registry import Registry
from tests.backends.ollama.real import CONTINUER, WEIGHTS, RealOllama

T = TypeVar("T")
COUNTING = ", ".join(map(str, range(1, 13))) + ","  # goes on for thousands of tokens
LONG = ask(prompt=COUNTING, params=likeliest(max_tokens=2000))


def run(real: RealOllama, work: Callable[[OllamaBackend], Awaitable[T]]) -> T:
    async def main() -> T:
        backend = OllamaBackend(real.url, options={"num_thread": 1}, insecure_registry=True)
        try:
            async with asyncio.timeout(60):
                return await work(backend)
        finally:
            await backend.close()

    return asyncio.run(main())


async def _begun(backend: OllamaBackend, work: Callable[[], Awaitable[None]]) -> tuple[str, BackendError | None]:
    """Ask for a long answer, do `work` once three pieces of it have come: the text that came, and the error."""
    pieces: list[str] = []
    try:
        async with aclosing(backend.generate(LONG)) as events:
            async for event in events:
                if isinstance(event, Text):
                    pieces.append(event.text)
                    if len(pieces) == 3:
                        await work()
    except BackendError as error:
        return "".join(pieces), error
    return "".join(pieces), None


def test_leaving_an_answer_ends_the_work_behind_it(real_ollama: RealOllama) -> None:
    async def leave(backend: OllamaBackend) -> float:
        async with aclosing(backend.generate(LONG)) as events:
            async for event in events:
                if isinstance(event, Text):
                    break
        left = time.monotonic()
        await asyncio.to_thread(_wait_until_idle, real_ollama.runners())
        return time.monotonic() - left

    assert run(real_ollama, leave) < 8, "The runner went on for an answer that nobody reads."


def _wait_until_idle(runners: list[psutil.Process]) -> None:
    """Return when the runners have used no processor for a quarter of a second."""
    deadline = time.monotonic() + 20
    while sum(runner.cpu_percent(interval=0.25) for runner in runners) > 5:
        assert time.monotonic() < deadline, "The runners never came to rest."


def test_a_runner_killed_in_mid_answer_is_one_error_after_the_text(real_ollama: RealOllama) -> None:
    async def kill_runner() -> None:
        for runner in real_ollama.runners():
            runner.kill()

    async def ask_and_kill(backend: OllamaBackend) -> tuple[str, BackendError | None, str]:
        text, error = await _begun(backend, kill_runner)
        await _until_it_answers(backend)
        return text, error, text_of(await events_of(backend, ask()))

    text, error, again = run(real_ollama, ask_and_kill)
    assert text.startswith(" 13"), "The text that came before has to be kept."
    assert isinstance(error, BackendFailed)
    assert again == ANSWER, "The same server has to answer the next question."


async def _until_it_answers(backend: OllamaBackend) -> None:
    """Ask until the server has noticed that its runner is gone, and starts another."""
    async with asyncio.timeout(20):
        while True:
            try:
                await events_of(backend, ask(params=likeliest(max_tokens=1)))
            except BackendFailed:
                continue
            return


def test_a_server_killed_in_mid_answer_is_used_again_when_it_is_back(real_ollama: RealOllama) -> None:
    async def kill_server() -> None:
        await asyncio.to_thread(real_ollama.kill)

    async def ask_and_kill(backend: OllamaBackend) -> tuple[str, BackendError | None, BackendError, str]:
        text, error = await _begun(backend, kill_server)
        down = await failure_of(backend, ask())
        await asyncio.to_thread(real_ollama.start)
        return text, error, down, text_of(await events_of(backend, ask()))

    text, error, down, again = run(real_ollama, ask_and_kill)
    assert text.startswith(" 13"), "The text that came before has to be kept."
    assert isinstance(error, BackendFailed)
    assert isinstance(down, BackendUnreachable)
    assert again == ANSWER


def test_a_second_request_is_said_to_be_queued(real_ollama: RealOllama) -> None:
    async def ask_twice(backend: OllamaBackend) -> Event:
        async with aclosing(backend.generate(LONG)) as first:
            async for event in first:
                if isinstance(event, Text):
                    break
            async with aclosing(backend.generate(LONG)) as second:
                return await anext(second)

    assert run(real_ollama, ask_twice) == Progress("queued")


def test_a_model_is_downloaded_left_and_gone_on_with(real_ollama: RealOllama) -> None:
    async def pull(backend: OllamaBackend) -> tuple[list[Loading], list[Loading], str]:
        registry.gate.clear()
        left: list[Loading] = []
        async with aclosing(backend.load(registry.model)) as loading:
            async for event in loading:
                left.append(event)
                if event.done > 30_000_000:
                    break
        registry.gate.set()
        resumed = await loadings_of(backend, registry.model)
        return left, resumed, text_of(await events_of(backend, ask(model=registry.model)))

    with Registry(WEIGHTS).serving() as registry:
        left, resumed, answer = run(real_ollama, pull)
    size = WEIGHTS.stat().st_size
    assert left[-1].done < size
    assert left[-1].total >= size
    first = next(loading for loading in resumed if loading.total)
    assert first.done > 0, "The second download began from nothing."
    assert any(not wanted.startswith("bytes=0-") for wanted in registry.ranges[1:])
    fetched = [loading.done for loading in resumed if loading.total]
    assert fetched == sorted(fetched)
    assert resumed[-1].message == "ready"
    assert answer == ANSWER


@pytest.mark.parametrize("begun", ["The capital", "The capital of France is"])
def test_an_answer_is_gone_on_with_where_it_broke_off(real_ollama: RealOllama, begun: str) -> None:
    async def go_on(backend: OllamaBackend) -> tuple[list[str], str]:
        capable = [info.name for info in await backend.list_models() if "continue" in info.capabilities]
        return capable, text_of(await events_of(backend, ask(model=CONTINUER, resume_text=begun)))

    capable, rest = run(real_ollama, go_on)
    assert capable == [f"{CONTINUER}:latest"]
    assert begun + rest == ANSWER


def test_a_model_in_memory_is_listed_as_ready(real_ollama: RealOllama) -> None:
    async def loaded(backend: OllamaBackend) -> str:
        await loadings_of(backend, MODEL.upper())
        return next(info.state for info in await backend.list_models() if info.name == MODEL)

    assert run(real_ollama, loaded) == "ready"
