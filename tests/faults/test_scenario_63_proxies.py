"""Whoever is behind a proxy is limited by their own address, and nobody by one that they made up."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from server.limiting.limiter import RateLimiter
from server.limiting.windows import MAX_KEYS
from tests.server.doubles import PATIENCE_S

MEMORY = 20 * 1024 * 1024
PROMPT = {"prompt": "Hi", "max_tokens": 1}
ANN, BEN = "203.0.113.7", "203.0.113.8"


def statuses(address: str, *forwarded_for: str | None) -> list[int]:
    """How requests are answered that say they come from there."""
    with httpx.Client(base_url=address) as client:
        headers = [{} if each is None else {"x-forwarded-for": each} for each in forwarded_for]
        return [client.post("/v1/completions", json=PROMPT, headers=each).status_code for each in headers]


def test_63_behind_a_trusted_proxy_each_client_has_its_own_limit(serve: Callable[..., str]) -> None:
    address = serve(trusted_proxies="127.0.0.1", rate_limit="2/minute")
    assert statuses(address, ANN, ANN, ANN) == [200, 200, 429]
    assert statuses(address, BEN, BEN, BEN) == [200, 200, 429]


def test_63_an_address_that_a_client_makes_up_is_not_the_one_that_counts(serve: Callable[..., str]) -> None:
    address = serve(trusted_proxies="127.0.0.1,10.0.0.0/8", rate_limit="2/minute")
    made_up = [f"198.51.100.{number}, {ANN}, 10.0.0.1" for number in range(3)]
    assert statuses(address, *made_up) == [200, 200, 429]
    assert statuses(address, f"127.0.0.1, {ANN}") == [429], "nor is it taken for this machine"


def test_63_what_a_peer_forwards_that_nobody_trusts_is_ignored(serve: Callable[..., str]) -> None:
    address = serve(rate_limit="2/minute", rate_limit_loopback="on")
    assert statuses(address, ANN, BEN, None) == [200, 200, 429]


def test_63_an_ipv6_client_is_its_network(serve: Callable[..., str]) -> None:
    address = serve(trusted_proxies="127.0.0.1", rate_limit="2/minute")
    near = [f"2001:db8:7:1::{number:x}" for number in range(3)]
    assert statuses(address, *near, "2001:db8:7:2::1") == [200, 200, 429, 200]


def test_63_a_websockets_prompts_count_with_the_clients_other_requests(serve: Callable[..., str]) -> None:
    address = serve(trusted_proxies="127.0.0.1", rate_limit="3/minute")

    async def scenario() -> None:
        url = address.replace("http", "ws") + "/ws"
        async with connect(url, additional_headers={"x-forwarded-for": ANN}) as socket:
            for number in range(2):
                await tell(socket, type="user", message="Hi", cmd_id=f"c{number}")
                assert (await until(socket, "ack", "error"))["type"] == "ack"
            assert statuses(address, ANN, ANN) == [200, 429]
            await tell(socket, type="user", message="Hi", cmd_id="one too many")
            refused = await until(socket, "error", "ack")
            assert (refused["code"], refused["cmd_id"]) == ("rate_limited", "one too many")
            assert 0 < refused["retry_after"] <= 120
            await tell(socket, type="user", message="Hi", cmd_id="c1")
            assert (await until(socket, "ack", "error"))["duplicate"] is True, "what was done is not work"
            await tell(socket, type="ping", cmd_id="p")
            assert (await until(socket, "pong"))["cmd_id"] == "p"

    asyncio.run(scenario())


def test_63_behind_a_trusted_proxy_each_client_has_its_own_share_of_connections(serve: Callable[..., str]) -> None:
    address = serve(trusted_proxies="127.0.0.1", max_connections_per_client=2)

    async def scenario() -> None:
        url = address.replace("http", "ws") + "/ws"
        ann, ben = {"x-forwarded-for": ANN}, {"x-forwarded-for": BEN}
        async with connect(url, additional_headers=ann), connect(url, additional_headers=ann):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers=ann)
            assert refused.value.response.status_code == 429
            assert refused.value.response.headers["retry-after"] == "5"
            assert statuses(address, ANN) == [429]
            async with connect(url, additional_headers=ben):
                assert statuses(address, BEN) == [200]
        assert any(statuses(address, ANN) == [200] for _ in range(500)), "the server has not seen them go"

    asyncio.run(scenario())


def test_63_a_hundred_thousand_addresses_take_little_memory() -> None:
    async def flood() -> int:
        limiter = RateLimiter("100/minute")
        process = psutil.Process()
        await limiter.take("client 192.0.2.1")
        gc.collect()
        before = process.memory_info().rss
        for number in range(100_000):
            await limiter.take(f"client 10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        return process.memory_info().rss - before

    assert asyncio.run(flood()) < MEMORY
    assert MAX_KEYS >= 10_000, "few enough for the memory, enough for a busy server"


async def tell(socket: ClientConnection, **command: object) -> None:
    await socket.send(json.dumps(command))


async def until(socket: ClientConnection, *kinds: str) -> dict[str, object]:
    async with asyncio.timeout(PATIENCE_S):
        while (frame := json.loads(await socket.recv()))["type"] not in kinds:
            pass
        return frame
