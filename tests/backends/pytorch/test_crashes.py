"""An engine that breaks, seen by those who wait for its answers."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from backends.base import (
    BackendFailed,
    Loading,
    ModelInvalid,
    Params,
)
from backends.pytorch.adapter import PyTorchBackend
from backends.pytorch.answer import Answer
from engine.llm_engine import LLMEngine
from engine.output import StepOutput
from server.hub import Hub
from tests.backends.pytorch.serving import (
    SECONDS,
    answer,
    error_of,
    request,
    requests_of,
    started,
    until,
    within,
)


def test_an_engine_that_breaks_is_built_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            before = await answer(backend, request())
            with monkeypatch.context() as broken:
                broken.setattr(LLMEngine, "step", _break)
                errors = await asyncio.gather(*(error_of(backend, request(str(n))) for n in range(2)))
            assert {type(error) for error in errors} == {BackendFailed}
            assert "Error connecting to engine" in errors[0].message
            assert await answer(backend, request()) == before

    within(test)


def test_an_engine_that_keeps_breaking_stays_down(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            with monkeypatch.context() as broken:
                broken.setattr(LLMEngine, "step", _break)
                errors = [await error_of(backend, request(str(n))) for n in range(3)]
                assert {type(error) for error in errors} == {BackendFailed}
                await until(lambda: backend._active is not None and backend._active.info.state == "failed")
            assert isinstance(await error_of(backend, request("late")), ModelInvalid)
            assert "stays down" in str((await backend.health()).reason)
            assert [step async for step in backend.load("tiny")][-1] == Loading("tiny", "ready")
            assert await answer(backend, request("again"))

    within(test)


def _break(self: LLMEngine) -> None:
    raise RuntimeError("the tensors do not match")


def test_who_waits_while_it_is_built_anew_is_answered_then(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            expected = await answer(backend, request())
            with monkeypatch.context() as broken:
                broken.setattr(LLMEngine, "step", _break)
                await error_of(backend, request())
            assert not (await backend.health()).ok
            assert (await backend.list_models())[0].state == "loading"
            assert await answer(backend, request("waits")) == expected
            assert (await backend.health()).ok

    within(test)


def test_what_cannot_be_taken_ends_one_answer_and_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take = Answer.take

    def take_or_break(self: Answer, output: StepOutput, *rest: Any) -> None:
        if output.request_id == "bad" and output.text:
            raise RuntimeError("nobody foresaw this")
        take(self, output, *rest)

    monkeypatch.setattr(Answer, "take", take_or_break)

    async def test() -> None:
        async with started(folder) as backend:
            good, error = await asyncio.gather(answer(backend, request("good")), error_of(backend, request("bad")))
            assert good == await answer(backend, request("again"))
            assert isinstance(error, BackendFailed)
            assert "broke off" in error.message
            assert requests_of(backend) == 0

    within(test)


def test_a_model_that_breaks_while_it_drains_is_not_built_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            await answer(backend, request())
            long = request("long", params=Params(temperature=0, max_tokens=900))
            running = asyncio.create_task(error_of(backend, long))
            await until(lambda: requests_of(backend) == 1)
            [step async for step in backend.load("other")]
            assert [model.info.name for model in backend._draining] == ["tiny"]
            with monkeypatch.context() as broken:
                broken.setattr(LLMEngine, "step", _break)
                assert isinstance(await running, BackendFailed)
                await until(lambda: not backend._draining)
            states = {info.name: info.state for info in await backend.list_models()}
            assert states == {"other": "ready", "tiny": "available"}
            assert await answer(backend, request("next", model="other"))

    within(test)


def test_the_hub_cannot_answer_until_the_engine_is_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "Other-F16.gguf").unlink()  # or that one could be loaded instead

    async def test() -> None:
        backend = PyTorchBackend(folder / "Tiny.Q4_1.gguf", folder, threads=1)
        hub = Hub([backend])
        await hub.start()
        try:
            await answer(backend, request())
            await healthy(hub, True)
            may_load = hold_loading(monkeypatch)
            with monkeypatch.context() as broken:
                broken.setattr(LLMEngine, "step", _break)
                await error_of(backend, request())
            await healthy(hub, False)
            may_load.set()
            await healthy(hub, True)
            monkeypatch.setattr(LLMEngine, "step", _break)
            for number in range(2):
                await error_of(backend, request(str(number)))
            await healthy(hub, False)
            await until(lambda: [info.state for info in hub.models().models] == ["failed"])
            assert "stays down" in str(hub.health().reason)
        finally:
            await hub.close()

    within(test)


async def healthy(hub: Hub, wanted: bool) -> None:
    while hub.health().ok is not wanted:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def hold_loading(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """From now on, engines are built when the event is set."""
    may_load, build = threading.Event(), LLMEngine.from_gguf

    def wait_and_build(path: Path, **options: Any) -> LLMEngine:
        assert may_load.wait(SECONDS)
        return build(path, **options)

    monkeypatch.setattr(LLMEngine, "from_gguf", wait_and_build)
    return may_load
