from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from backends.base import BackendUnreachable, GenerationRequest, Health, ModelInfo, Overloaded
from backends.echo import EchoBackend
from server.hub import Hub
from server.protocol import PROTOCOL_VERSION
from server.routes.health import health_router
from tests.server.doubles import ManualClock, Puppet

ROOT = Path(__file__).resolve().parents[3]


def probe(hub: Hub, path: str) -> tuple[int, dict[str, object]]:
    app = FastAPI()
    app.include_router(health_router(hub))
    answer = TestClient(app).get(path)
    return answer.status_code, answer.json()


def started(*backends: Puppet | EchoBackend, clock: ManualClock | None = None) -> Hub:
    """A hub that has asked its backends. It is left as it is; nothing runs in it."""
    hub = Hub(backends, clock=clock or ManualClock())
    asyncio.run(hub.start())
    return hub


def test_a_server_with_a_model_takes_traffic() -> None:
    hub = started(EchoBackend())
    assert probe(hub, "/health/ready") == (200, {"status": "ready"})
    status, body = probe(hub, "/health")
    assert (status, body["status"]) == (200, "healthy")


def test_the_report_counts_what_was_asked_and_how_long_it_runs() -> None:
    clock = ManualClock()
    hub = started(EchoBackend(), clock=clock)

    async def ask() -> None:
        async for _ in hub.generate(GenerationRequest("r", "", prompt="one two")):
            """To the end."""

    asyncio.run(ask())
    clock.advance(2.5)
    assert probe(hub, "/health") == (
        200,
        {
            "status": "healthy",
            "engine": "ready",
            "is_ready": True,
            "uptime_seconds": 2.5,
            "request_count": 1,
            "active_requests": 0,
            "tokens_generated": 2,
            "sessions": 0,
            "backends": {"echo": {"ok": True}},
        },
    )


def test_without_any_engine_the_report_says_so() -> None:
    status, body = probe(Hub([]), "/health")
    assert (status, body["status"], body["reason"]) == (503, "unhealthy", "Engine not initialized")
    assert (body["engine"], body["is_ready"]) == ("uninitialized", False)


def test_the_release_is_the_one_that_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert probe(Hub([]), "/version") == (200, {"version": project["version"], "protocol": PROTOCOL_VERSION})


def test_a_server_that_starts_takes_none_yet() -> None:
    hub = Hub([EchoBackend()])
    assert probe(hub, "/health/ready") == (503, {"status": "not ready", "reason": "The server is starting."})


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        (Puppet(ModelInfo("toy", state="loading")), "The model puppet/toy is loading."),
        (
            Puppet(ModelInfo("toy", state="loading"), ModelInfo("other", state="available")),
            "The model puppet/toy is loading.",
        ),
        (Puppet(ModelInfo("toy", state="failed", reason="The engine keeps failing.")), "The engine keeps failing."),
    ],
)
def test_a_server_whose_engine_cannot_answer_takes_none_and_says_why(backend: Puppet, reason: str) -> None:
    assert probe(started(backend), "/health/ready") == (503, {"status": "not ready", "reason": reason})


def test_a_server_whose_backends_are_all_out_of_reach_takes_none() -> None:
    puppet = Puppet()
    puppet.models = BackendUnreachable("Nobody answers there.")
    assert probe(started(puppet), "/health/ready")[0] == 503


def test_a_server_that_is_overloaded_takes_none_for_as_long_as_it_told_somebody_to_wait() -> None:
    clock, puppet = ManualClock(), Puppet()
    hub = started(puppet, clock=clock)

    async def ask() -> None:
        puppet.say(Overloaded("Engine overloaded.", retry_after=3))
        async for _ in hub.generate(GenerationRequest("r", "", prompt="Hi")):
            pass

    with pytest.raises(Overloaded):
        asyncio.run(ask())
    assert probe(hub, "/health/ready") == (503, {"status": "not ready", "reason": "The server is overloaded."})
    assert probe(hub, "/health/live") == (200, {"status": "alive"})
    clock.advance(3)
    assert probe(hub, "/health/ready")[0] == 200


def test_a_server_that_stops_takes_none() -> None:
    hub = started(EchoBackend())
    hub.sessions.close()
    hub.draining = True
    assert probe(hub, "/health/ready") == (503, {"status": "not ready", "reason": "The server is shutting down."})


def test_being_alive_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub([])

    def asked(*_: object) -> Health:
        raise AssertionError("the probe asked the hub")

    names: list[Callable[..., object]] = [hub.ready, hub.health, hub.models]
    for method in names:
        monkeypatch.setattr(hub, method.__name__, asked)
    assert probe(hub, "/health/live") == (200, {"status": "alive"})
