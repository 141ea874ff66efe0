from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry

from backends.base import BackendFailed, GenerationRequest, ModelNotFound
from backends.echo import EchoBackend
from server.hub import Hub
from tests.server.doubles import Client, ManualClock, Puppet
from tests.server.measures.engine import Engine, measured
from tests.server.serving import joined, serving

ECHO = {"model_name": "echo/echo"}
PUPPET = {"model_name": "puppet/toy"}


def read(hub: Hub, statuses: Counter[int] | None = None) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(measured(hub, statuses))
    return registry


async def answer(hub: Hub, prompt: str, model: str = "") -> None:
    async for _ in hub.generate(GenerationRequest("r", model, prompt=prompt)):
        """To the end."""


def test_an_engines_numbers_go_by_the_names_that_vllm_has_for_them():
    async def scenario() -> None:
        hub = Hub([Engine()])
        registry = read(hub)
        told = {
            "vllm:num_requests_running": 3,
            "vllm:num_requests_waiting": 2,
            "vllm:kv_cache_usage_perc": 0.5,
            "vllm:prefix_cache_queries_total": 100,
            "vllm:prefix_cache_hits_total": 40,
            "vllm:num_preemptions_total": 5,
            "vllm:spec_decode_num_draft_tokens_total": 9,
            "vllm:spec_decode_num_accepted_tokens_total": 6,
        }
        assert {name: registry.get_sample_value(name, ECHO) for name in told} == told

    asyncio.run(scenario())


def test_answers_of_chats_and_of_calls_are_measured_alike():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), joined(url) as client:
            await client.send(json.dumps({"message": "one two three"}))
            await client.until("ai")
            await answer(hub, "four five")
            registry = read(hub)
            assert registry.get_sample_value("vllm:generation_tokens_total", ECHO) == 5
            assert registry.get_sample_value("vllm:time_to_first_token_seconds_count", ECHO) == 2
            assert registry.get_sample_value("vllm:inter_token_latency_seconds_count", ECHO) == 3
            finished = {**ECHO, "finished_reason": "stop"}
            assert registry.get_sample_value("vllm:request_success_total", finished) == 2
            assert registry.get_sample_value("switchboard_websockets") == 1
            assert registry.get_sample_value("switchboard_sessions") == 1
            late = Client()
            late.session, late.epoch = client.session, "another"
            async with joined(url, late) as returned:
                await returned.until("snapshot")
            assert read(hub).get_sample_value("switchboard_snapshots_total") == 1

    asyncio.run(scenario())


def test_failures_are_counted_by_their_word_and_those_that_left_as_cancelled():
    async def scenario() -> None:
        puppet = Puppet()
        hub = Hub([puppet], clock=ManualClock())
        await hub.start()
        puppet.say("a", BackendFailed("It broke."))
        with pytest.raises(BackendFailed):
            await answer(hub, "Hi")
        with pytest.raises(ModelNotFound):
            await answer(hub, "Hi", "a name that some client made up")
        puppet.say("a")
        events = hub.generate(GenerationRequest("r", "", prompt="Hi"))
        await anext(events)
        assert read(hub).get_sample_value("switchboard_answers_running", PUPPET) == 1
        await events.aclose()
        registry = read(hub)
        assert registry.get_sample_value("switchboard_answers_failed_total", {**PUPPET, "code": "backend_error"}) == 1
        assert registry.get_sample_value("switchboard_answers_cancelled_total", PUPPET) == 1
        assert registry.get_sample_value("switchboard_answers_running", PUPPET) == 0
        unknown = {"model_name": "none", "code": "model_not_found"}
        assert registry.get_sample_value("switchboard_answers_failed_total", unknown) == 1
        await hub.close()

    asyncio.run(scenario())


def test_requests_are_counted_by_their_status():
    registry = read(Hub([]), Counter({200: 3, 404: 1}))
    assert registry.get_sample_value("switchboard_http_requests_total", {"status": "200"}) == 3
    assert registry.get_sample_value("switchboard_http_requests_total", {"status": "404"}) == 1
