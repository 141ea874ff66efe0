"""The counts in a real Redis, and what becomes of requests when it goes away."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from server.limiting.limiter import RateLimiter
from server.limiting.stores import RETRY_S
from tests.redis_server import MISSING, PATIENCE_S, PROGRAM, RedisServer
from tests.server.doubles import ManualClock

NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    if PROGRAM is None:
        pytest.skip(MISSING)
    server = RedisServer(tmp_path)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def admitted(limiter: RateLimiter, tries: int, whom: str = "client 192.0.2.1") -> int:
    verdicts = [await limiter.take(whom) for _ in range(tries)]
    return sum(verdict is not None and verdict.wait_s == 0 for verdict in verdicts)


def test_several_servers_count_together(redis: RedisServer):
    async def scenario() -> None:
        one, two = (RateLimiter("5/minute", redis.url, patience_s=PATIENCE_S) for _ in range(2))
        try:
            assert await admitted(one, 3) == 3
            assert await admitted(two, 4) == 2
            refused = await one.take("client 192.0.2.1")
            assert refused is not None
            assert refused.remaining == 0
            assert 0 < refused.wait_s <= 120
            assert await admitted(two, 2, "client 192.0.2.2") == 2
        finally:
            await one.close()
            await two.close()

    asyncio.run(scenario())


def test_requests_at_once_are_not_let_past_the_limit(redis: RedisServer):
    async def scenario() -> None:
        limiter = RateLimiter("10/minute", redis.url, patience_s=PATIENCE_S)
        try:
            assert sum(await asyncio.gather(*(admitted(limiter, 1) for _ in range(60)))) == 10
        finally:
            await limiter.close()

    asyncio.run(scenario())


def test_while_redis_is_gone_this_process_counts_alone_and_says_so(redis: RedisServer):
    async def scenario() -> None:
        clock = ManualClock()
        limiter = RateLimiter("3/minute", redis.url, clock, patience_s=PATIENCE_S)
        try:
            assert await admitted(limiter, 3) == 3
            with capture_logs() as lines:
                redis.stop()
                assert await admitted(limiter, 5) == 3, "its own count begins with nothing"
                clock.advance(RETRY_S)
                assert await admitted(limiter, 1, "client 192.0.2.2") == 1
                redis.start()
                assert await admitted(limiter, 1, "client 192.0.2.3") == 1, "it is not asked yet"
                clock.advance(RETRY_S)
                assert await admitted(limiter, 5) == 3, "what Redis knew is gone with it"
            assert [line["log_level"] for line in lines] == ["warning", "info"]
            assert "RATE_LIMIT_STORE is gone" in lines[0]["event"]
            assert redis.url not in str(lines)
        finally:
            await limiter.close()

    asyncio.run(scenario())


def test_an_address_where_nobody_answers_holds_nobody_up():
    async def scenario() -> None:
        limiter = RateLimiter("2/minute", NOBODY)
        try:
            assert await admitted(limiter, 4) == 2
        finally:
            await limiter.close()

    asyncio.run(scenario())


def test_without_the_package_the_setting_is_refused_with_what_to_do():
    program = (
        "import sys; sys.modules['redis'] = sys.modules['redis.asyncio'] = None\n"
        "from server.limiting.limiter import RateLimiter\n"
        f"RateLimiter('1/minute', {NOBODY!r})"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert "pip install redis" in ended.stderr.splitlines()[-1]


def test_a_redis_that_hangs_holds_a_request_up_for_as_long_as_it_is_waited_for(redis: RedisServer):
    async def scenario() -> None:
        clock = ManualClock()
        limiter = RateLimiter("2/minute", redis.url, clock, patience_s=0.05)
        try:
            with redis.hanging():
                assert await admitted(limiter, 4) == 2
        finally:
            await limiter.close()

    asyncio.run(scenario())
