"""Whoever asks over HTTP and leaves, in whatever API's words and at whatever moment, costs one step of the engine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from backends.pytorch import PyTorchBackend
from tests.faults.whole_server import Whole, play, whole
from tests.server.doubles import eventually
from tests.server.watched_engine import Steps
from tests.tiny_model import write_tiny_model

Asked = tuple[str, dict[str, Any]]


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def endless(api: str, stream: bool, text: str) -> Asked:
    """What asks for the longest answer there is."""
    long: dict[str, Any] = {"max_tokens": 900, "temperature": 0}
    options = {"num_predict": 900, "temperature": 0}
    asked: dict[str, Asked] = {
        "generate": ("/generate", {"prompt": text, "params": long}),
        "openai completions": ("/v1/completions", {"prompt": text, "stream": stream, **long}),
        "openai chat": ("/v1/chat/completions", {**said(text), "stream": stream, **long}),
        "ollama generate": ("/api/generate", {"model": "tiny", "prompt": text, "stream": stream, "options": options}),
        "ollama chat": ("/api/chat", {"model": "tiny", **said(text), "stream": stream, "options": options}),
    }
    return asked[api]


APIS = [
    ("generate", True),
    *((api, stream) for api in ("openai completions", "openai chat") for stream in (False, True)),
    *((api, stream) for api in ("ollama generate", "ollama chat") for stream in (False, True)),
]


@pytest.mark.parametrize(("outputs", "text"), [(1, "a" * 700), (5, "a")], ids=["in mid-prefill", "in mid-decode"])
@pytest.mark.parametrize(("api", "stream"), APIS, ids=[f"{api}{', streamed' * stream}" for api, stream in APIS])
def test_13_whoever_leaves_costs_one_step_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: str, stream: bool, outputs: int, text: str
) -> None:
    steps = Steps(monkeypatch)
    path, body = endless(api, stream, text)
    settings = {"model_path": str(write_tiny_model(tmp_path / "tiny.gguf")), "model_dir": str(tmp_path)}

    async def scenario() -> None:
        async with (
            whole(backends=["pytorch"], torch_threads=1, max_batch_size=1, **settings) as server,
            server.http() as http,
        ):
            steps.hold_after(outputs)
            asking = asyncio.create_task(http.post(path, json=body))
            await eventually(steps.held.is_set)
            request_id, prefilled = steps.outputs[0].request_id, steps.outputs[-1].prefilled
            assert (prefilled < len(text)) is (len(text) > 1), "it is held where it should be"
            asking.cancel()
            await eventually(lambda: server.hub.active == 0)
            steps.release()
            answer = await http.post("/v1/completions", json={"prompt": "b", "max_tokens": 3})
            assert answer.is_success, "the only slot is free"
            assert steps.of(request_id) <= outputs + 1
            await eventually(lambda: _idle(server))

    play(scenario)


def _idle(server: Whole) -> bool:
    backend = server.backend("pytorch")
    assert isinstance(backend, PyTorchBackend)
    stats = backend.stats()
    return stats is not None and not (stats.running or stats.waiting or stats.blocks_used)
