from __future__ import annotations

import asyncio

from backends.base import ModelInfo, ModelsChanged, Stats, StatsChanged
from server.hub import Hub
from server.routes.engine import engine_router
from tests.server.doubles import Puppet
from tests.server.routed import routed
from tests.server.serving import joined, serving

BUSY = Stats(
    "toy",
    running=2,
    waiting=1,
    slots=2,
    blocks_used=5,
    blocks_cached=3,
    blocks_free=8,
    prompt_tokens=90,
    cached_tokens=32,
    completion_tokens=12,
    preemptions=1,
    tokens_per_second=40.0,
    computing="in wood",
    step_ms={"forward": 9.5},
)


class Measured(Puppet):
    """A puppet with numbers."""

    numbers: Stats | None = None

    def stats(self) -> Stats | None:
        return self.numbers


def test_the_report_has_every_number() -> None:
    puppet = Measured()
    hub = Hub([puppet])
    with routed(hub, engine_router(hub)) as client:
        assert client.get("/api/engine").json() == {"engines": []}
        puppet.numbers = BUSY
        [engine] = client.get("/api/engine").json()["engines"]
        stats = client.get("/v1/engine/stats").json()
    assert stats == {"engines": [engine], "requests_processed": 0, "tokens_generated": 12, "active_requests": 0}
    assert engine == {
        "model": "puppet/toy",
        "running": 2,
        "waiting": 1,
        "slots": 2,
        "blocks_used": 5,
        "blocks_cached": 3,
        "blocks_total": 16,
        "prompt_tokens": 90,
        "cached_tokens": 32,
        "completion_tokens": 12,
        "requests_finished": 0,
        "preemptions": 1,
        "evictions": 0,
        "copies": 0,
        "forks": 0,
        "drafts_proposed": 0,
        "drafts_accepted": 0,
        "computing": "in wood",
        "tokens_per_second": 40.0,
        "step_ms": {"forward": 9.5},
    }


def test_an_engine_is_healthy_once_an_answer_would_begin() -> None:
    puppet = Measured(ModelInfo("toy", state="loading"))
    hub = Hub([puppet])
    with routed(hub, engine_router(hub)) as client:
        loading = client.get("/v1/engine/health")
        assert (loading.status_code, loading.headers["retry-after"]) == (503, "5")
        assert loading.json() == {
            "status": "unhealthy",
            "state": "loading",
            "model": "puppet/toy",
            "reason": "The model puppet/toy is loading.",
        }
        puppet.models = (ModelInfo("toy"),)
        assert client.portal is not None
        client.portal.call(puppet.notify, ModelsChanged())
        while (ready := client.get("/v1/engine/health")).status_code != 200:
            pass
        assert (ready.status_code, ready.json()) == (
            200,
            {"status": "healthy", "state": "ready", "model": "puppet/toy"},
        )
        hub.draining = True
        assert client.get("/v1/engine/health").json()["state"] == "draining"


def test_a_page_is_told_the_numbers_when_it_comes_and_when_they_change() -> None:
    async def scenario() -> None:
        puppet = Measured()
        puppet.numbers = BUSY
        async with serving([puppet]) as (_, url), joined(url) as client:
            first = await client.until("engine")
            assert (first["model"], first["running"]) == ("puppet/toy", 2)
            assert client.types() == ["system", "engine"], "the hello is always first"
            puppet.numbers = Stats("toy", 0, 0, slots=2, blocks_used=0, blocks_cached=8, blocks_free=8)
            puppet.notify(StatsChanged())
            then = await client.until("engine")
            assert (then["running"], then["blocks_cached"]) == (0, 8)
            assert "tokens_per_second" not in then
            assert client.state.seq == 0, "numbers are no events of the conversation"

    asyncio.run(scenario())
