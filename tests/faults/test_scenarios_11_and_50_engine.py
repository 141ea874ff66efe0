"""The engine in this process behind the whole server: stopped, left, broken, and never in the event loop's way."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from backends.base import Stats
from backends.pytorch import PyTorchBackend
from tests.faults.loop_watch import watched_loop
from tests.faults.whole_server import Whole, play, say, whole
from tests.server.doubles import eventually
from tests.server.serving import SocketClient, joined
from tests.server.watched_engine import Steps
from tests.tiny_model import write_tiny_model

ENDLESS = {"max_tokens": 900, "temperature": 0}


def engine(folder: Path, **settings: object) -> dict[str, object]:
    """Settings for the engine with the tiny model and one slot."""
    path = write_tiny_model(folder / "tiny.gguf")
    usual = {"model_path": str(path), "model_dir": str(folder), "torch_threads": 1, "max_batch_size": 1}
    return {"backends": ["pytorch"], **usual, **settings}


def stats(server: Whole) -> Stats:
    backend = server.backend("pytorch")
    assert isinstance(backend, PyTorchBackend)
    known = backend.stats()
    assert known is not None
    return known


async def answered(client: SocketClient, message: str) -> dict[str, object]:
    """The end of a short answer."""
    await client.send(say(message, params={"max_tokens": 3, "temperature": 0}))
    return await client.until("ai", "error")


def test_11_stop_frees_the_engine_within_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch)

    async def scenario() -> None:
        async with whole(**engine(tmp_path)) as server, joined(server.ws) as client:
            await client.send(say("Go", params=ENDLESS))
            await client.until("delta")
            await client.send('{"type":"stop","cmd_id":"s"}')
            end = await client.until("ai")
            worked = steps.of(str(end["id"]))
            assert end["finish_reason"] == "cancelled"
            assert worked < 900, "it was not stopped: it had come to its end"
            assert (await answered(client, "Next"))["type"] == "ai", "the only slot is free"
            assert steps.of(str(end["id"])) <= worked + 1
            await eventually(lambda: not (stats(server).running or stats(server).waiting or stats(server).blocks_used))
            steps.outputs.clear()
            began = time.process_time()
            await asyncio.sleep(0.1)  # what an idle server must spend next to nothing in
            assert not steps.outputs
            assert time.process_time() - began < 0.05

    play(scenario)


def test_50_nothing_a_person_does_holds_up_the_event_loop(tmp_path: Path) -> None:
    """Whoever serves here is watched: loading, a long prompt, its template, its tokens, lists and the history."""

    async def scenario() -> None:
        async with whole(**engine(tmp_path)) as server, joined(server.ws) as client, server.http() as http:
            assert (await answered(client, "Go"))["type"] == "ai"
            long = "word " * 6_000
            assert (await answered(client, long))["type"] in ("ai", "error")
            assert (await http.post("/v1/completions", json={"prompt": long * 30})).status_code == 400
            for number in range(5):
                assert (await answered(client, f"{number}"))["type"] == "ai"
            assert (await http.post("/api/models/load", json={"model": "pytorch/tiny"})).is_success
            for path in ("/api/models", "/api/sessions", "/api/sessions?q=word", "/api/export", "/health", "/"):
                assert (await http.get(path)).is_success, path

    play(scenario)


def test_50_a_loop_that_is_held_up_is_noticed() -> None:
    def hold_up() -> None:
        until = time.thread_time() + 0.06
        while time.thread_time() < until:
            pass

    async def scenario() -> None:
        asyncio.get_running_loop().call_soon(hold_up)
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="hold_up"), watched_loop():
        asyncio.run(scenario())
