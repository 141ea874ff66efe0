from __future__ import annotations

import asyncio
import math

import hypothesis.strategies as st
import pytest
from hypothesis import given
from starlette.types import Scope

from server.caller import Caller
from server.limiting.limiter import RateLimiter, Verdict, until_room
from server.limiting.windows import Windows
from tests.server.doubles import ManualClock


def scope_of(address: str | None, *, proxied: bool = False, caller: Caller | None = None) -> Scope:
    state = {name: value for name, value in (("proxied", proxied), ("caller", caller)) if value}
    return {"type": "http", "client": (address, 1) if address is not None else None, "state": state}


async def taken(limiter: RateLimiter, whom: str = "client 192.0.2.1") -> Verdict:
    verdict = await limiter.take(whom)
    assert verdict is not None
    return verdict


# Whom a request counts for


def test_a_stranger_counts_by_its_address_and_of_ipv6_by_its_network():
    limiter = RateLimiter("1/minute")
    assert limiter.whom(scope_of("203.0.113.7")) == "client 203.0.113.7"
    assert limiter.whom(scope_of("2001:db8:2::5")) == "client 2001:db8:2::/64"
    assert limiter.whom(scope_of("2001:db8:2::ffff:1")) == "client 2001:db8:2::/64"
    assert limiter.whom(scope_of("::ffff:203.0.113.7")) == "client 203.0.113.7"


def test_whoever_has_a_key_counts_by_it_from_wherever_they_come():
    caller = Caller("ann", "203.0.113.7", "key-1")
    assert RateLimiter("1/minute").whom(scope_of("203.0.113.7", caller=caller)) == "key key-1"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "", None])
def test_this_machine_is_not_counted_unless_that_is_wished(address: str | None):
    assert RateLimiter("1/minute").whom(scope_of(address)) is None
    assert RateLimiter("1/minute", loopback=True).whom(scope_of(address)) is not None


def test_who_came_by_a_proxy_is_counted_even_if_it_says_that_it_is_this_machine():
    assert RateLimiter("1/minute").whom(scope_of("127.0.0.1", proxied=True)) == "client 127.0.0.1"


def test_nobody_is_counted_when_the_limit_is_off():
    limiter = RateLimiter("off")
    assert limiter.whom(scope_of("203.0.113.7", proxied=True)) is None
    assert asyncio.run(limiter.take(None)) is None


# How many


def test_the_one_after_the_last_is_refused_and_told_when_to_come_back():
    async def scenario() -> None:
        clock = ManualClock()
        clock.advance(20)  # 1020 s: a minute of the limiter's begins
        limiter = RateLimiter("3/minute", clock=clock)
        left = [(await taken(limiter)).remaining for _ in range(3)]
        assert left == [2, 1, 0]
        refused = await taken(limiter)
        assert (refused.limit, refused.remaining, limiter.refused) == (3, 0, 1)
        assert refused.wait_s == pytest.approx(60, abs=0.01)
        assert refused.resets_at == pytest.approx(clock.today() + 60)
        clock.advance(refused.wait_s + 0.001)
        assert (await taken(limiter)).wait_s == 0
        assert (await taken(limiter, "client 192.0.2.2")).remaining == 2, "others are served meanwhile"

    asyncio.run(scenario())


def test_of_several_rates_the_tightest_is_told():
    async def scenario() -> None:
        limiter = RateLimiter("10/second; 3/hour", clock=ManualClock())
        assert [(await taken(limiter)).remaining for _ in range(3)] == [2, 1, 0]
        assert (await taken(limiter)).limit == 3

    asyncio.run(scenario())


@pytest.mark.parametrize("rate", ["", "many", "10", "10/fortnight", "-1/minute", "10/minute; some"])
def test_a_rate_that_is_none_is_refused(rate: str):
    with pytest.raises(ValueError, match=r"\w"):
        RateLimiter(rate)


@pytest.mark.parametrize("store", ["", "memory", "memcached://127.0.0.1", "file:///etc/passwd", "http://127.0.0.1"])
def test_a_store_that_is_none_is_refused(store: str):
    with pytest.raises(ValueError, match="memory://"):
        RateLimiter("1/minute", store)


@given(limit=st.integers(1, 50), expiry=st.integers(1, 3600), pace=st.lists(st.floats(0, 1000), max_size=120))
def test_who_comes_back_when_told_is_let_in_and_a_moment_before_is_not(limit: int, expiry: int, pace: list[float]):
    async def scenario() -> None:
        clock = ManualClock()
        windows = Windows(clock)
        for wait in pace:
            clock.advance(wait)
            await windows.acquire_sliding_window_entry("k", limit, expiry)
        while await windows.acquire_sliding_window_entry("k", limit, expiry):
            """Until it is full."""
        wait = until_room(limit, expiry, await windows.get_sliding_window("k", expiry))
        assert 0 <= wait <= 2 * expiry
        early = max(0.0, wait - expiry * 1e-6)
        clock.advance(early)
        assert early == 0 or not await windows.acquire_sliding_window_entry("k", limit, expiry)
        clock.advance(math.ceil((wait - early) * 1e6) / 1e6 + expiry * 1e-6)
        assert await windows.acquire_sliding_window_entry("k", limit, expiry)

    asyncio.run(scenario())
