"""What no API takes: more than there is room for, and numbers no model could use. Each says so in its own words."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.whole_server import play, whole
from tests.server.doubles import eventually
from tests.server.watched_engine import Steps
from tests.tiny_model import write_tiny_model

SAID = [{"role": "user", "content": "Go"}]
LONG: dict[str, Any] = {"max_tokens": 900, "temperature": 0}
ASKED: dict[str, dict[str, Any]] = {
    "/generate": {"prompt": "Go", "params": LONG},
    "/v1/completions": {"prompt": "Go", **LONG},
    "/v1/chat/completions": {"messages": SAID, **LONG},
    "/api/generate": {"model": "tiny", "prompt": "Go", "options": {"num_predict": 900}},
    "/api/chat": {"model": "tiny", "messages": SAID, "options": {"num_predict": 900}},
}


def sentence(answer: httpx.Response) -> str:
    """Why not, in whichever form."""
    error = answer.json()["error"]
    return str(error["message"] if isinstance(error, dict) else error)


def test_26_where_there_is_no_room_every_api_says_so_at_once_and_the_server_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch)
    path = write_tiny_model(tmp_path / "tiny.gguf")
    settings = {"model_path": str(path), "model_dir": str(tmp_path), "torch_threads": 1}

    async def scenario() -> None:
        async with (
            whole(backends=["pytorch"], max_batch_size=1, max_queue_size=1, **settings) as server,
            server.http() as http,
        ):
            steps.hold_after(3)
            running = asyncio.create_task(http.post("/generate", json=ASKED["/generate"]))
            await eventually(steps.held.is_set)
            waiting = asyncio.create_task(http.post("/generate", json=ASKED["/generate"]))
            await eventually(lambda: server.hub.active == 2)
            for address, body in ASKED.items():
                refused = await http.post(address, json=body)
                assert refused.status_code == 503, address
                assert sentence(refused) == "Engine overloaded."
                assert int(refused.headers["retry-after"]) >= 1
            assert (await http.get("/health/live")).status_code == 200
            assert (await http.get("/health/ready")).status_code == 503
            running.cancel()
            waiting.cancel()
            await eventually(lambda: server.hub.active == 0)
            steps.release()
            assert (await http.post("/generate", json={"prompt": "Go", "params": {"max_tokens": 2}})).is_success

    play(scenario)


ABUSED: list[dict[str, object]] = [
    {"max_tokens": -1},
    {"max_tokens": 0},
    {"max_tokens": 10**9},
    {"max_tokens": 1.5},
    {"max_tokens": "10"},
    {"max_tokens": True},
    {"temperature": -1},
    {"temperature": 1e308},
    {"temperature": [1]},
    {"top_p": -0.1},
    {"top_p": 1.5},
    {"top_k": 2**63},
    {"top_k": -5},
    {"min_p": 2},
    {"seed": -1},
    {"seed": 2**64},
    {"stop": ["x"] * 10_000},
    {"stop": ["x" * 10_000]},
    {"stop": [7]},
    {"n": 0},
    {"n": 10**6},
    {"n_discard": -1},
    {"logit_bias": {str(token): 1 for token in range(5_000)}},
]


def bodies(params: dict[str, object]) -> dict[str, dict[str, object]]:
    """A request with these in each API."""
    return {
        "/generate": {"prompt": "Go", "params": params},
        "/api/chat": {"message": "Go", "params": params},
        "/v1/completions": {"prompt": "Go", **params},
        "/v1/chat/completions": {"messages": SAID, **params},
    }


def test_35_numbers_no_model_could_use_are_refused_by_name_and_the_model_never_sees_them() -> None:
    async def scenario() -> None:
        async with whole() as server, server.http() as http:
            for params in ABUSED:
                for address, body in bodies(params).items():
                    answer = await http.post(address, json=body)
                    assert answer.status_code in (400, 422), f"{address} {params}"
                    assert next(iter(params)) in sentence(answer), address
            assert not server.recital.requests

    play(scenario)
