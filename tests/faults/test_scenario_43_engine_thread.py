"""The engine's thread dies: whoever waits is told, nobody is sent here until it is back, the third death is final."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from engine.llm_engine import LLMEngine
from engine.output import StepOutput
from tests.faults.whole_server import Whole, say, whole
from tests.server.serving import joined
from tests.tiny_model import write_tiny_model

SECONDS = 30


@asynccontextmanager
async def served(tmp_path: Path) -> AsyncGenerator[tuple[Whole, httpx.AsyncClient]]:
    model = write_tiny_model(tmp_path / "Tiny.Q4_1.gguf")
    settings = {"model_path": str(model), "model_dir": str(tmp_path), "database_url": "off"}
    async with (
        whole(backends=["pytorch"], torch_threads=1, **settings) as server,
        httpx.AsyncClient(base_url=server.url, timeout=SECONDS, verify=False) as client,
    ):
        await until_ready(client, 200)
        yield server, client


async def until_ready(client: httpx.AsyncClient, status: int, reason: str = "") -> None:
    """Ask the probe until it answers so, and names that reason."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await client.get("/health/ready")
            if answer.status_code == status and reason in answer.text:
                return
            await asyncio.sleep(0.01)


def die(_: LLMEngine) -> NoReturn:
    raise RuntimeError("the thread is dead")


def die_with(answers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread dies as soon as so many answers are being written."""
    step = LLMEngine.step

    def step_or_die(engine: LLMEngine) -> list[StepOutput]:
        return die(engine) if len(engine.request_ids()) == answers else step(engine)

    monkeypatch.setattr(LLMEngine, "step", step_or_die)


def hold_loading(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """From now on, engines are built when the event is set."""
    may_load, build = threading.Event(), LLMEngine.from_gguf

    def wait_and_build(path: Path, **options: object) -> LLMEngine:
        assert may_load.wait(SECONDS)
        return build(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(LLMEngine, "from_gguf", wait_and_build)
    return may_load


def test_43_who_waits_is_told_and_the_engine_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (server, http), AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(joined(server.ws)) for _ in range(2)]
            may_load = hold_loading(monkeypatch)
            with monkeypatch.context() as broken:
                die_with(len(clients), broken)
                for client in clients:
                    await client.send(say("Hello", params={"max_tokens": 900}))
                errors = [await client.until("error") for client in clients]
            assert {error["code"] for error in errors} == {"backend_error"}
            await until_ready(http, 503)
            assert (await http.get("/health/live")).status_code == 200
            await clients[0].send(say("Are you back?", params={"max_tokens": 5}))  # it waits, and is answered then
            may_load.set()
            assert (await clients[0].until("ai", "error"))["type"] == "ai"
            await until_ready(http, 200)

    asyncio.run(scenario())


def test_43_a_third_death_within_a_minute_is_the_last_until_somebody_loads_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (server, http), joined(server.ws) as client:
            with monkeypatch.context() as broken:
                broken.setattr(LLMEngine, "step", die)
                for number in range(3):
                    await client.send(say(f"Hello {number}"))
                    await client.until("error")
                await until_ready(http, 503, "broke 3 times within a minute and stays down")
            (model,) = (await http.get("/api/models")).json()["models"]
            assert model["state"] == "failed"
            await client.send(say("Anybody?"))
            assert "stays down" in str((await client.until("error"))["message"])
            loaded = await http.post("/api/models/load", json={"model": "tiny"})
            assert loaded.json() == {"success": True, "model": "pytorch/tiny"}
            await until_ready(http, 200)
            await client.send(say("And now?", params={"max_tokens": 5}))
            assert (await client.until("ai", "error"))["type"] == "ai"

    asyncio.run(scenario())
