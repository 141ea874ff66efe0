from __future__ import annotations

import asyncio

import hypothesis.strategies as st
from hypothesis import given

from server.limiting.windows import Windows
from tests.server.doubles import ManualClock


def test_no_more_than_the_limit_fits_in_a_window_and_room_comes_back_bit_by_bit():
    async def scenario() -> None:
        clock = ManualClock()
        clock.advance(20)  # 1020 s: a window of 60 s begins
        windows = Windows(clock)
        assert [await windows.acquire_sliding_window_entry("k", 6, 60) for _ in range(8)] == [True] * 6 + [False] * 2
        clock.advance(60)  # all six weigh whole
        assert not await windows.acquire_sliding_window_entry("k", 6, 60)
        clock.advance(10.1)  # they weigh less than five, which counts as four
        assert [await windows.acquire_sliding_window_entry("k", 6, 60) for _ in range(3)] == [True, True, False]
        assert await windows.acquire_sliding_window_entry("other", 6, 60)

    asyncio.run(scenario())


def test_who_is_idle_for_two_windows_is_forgotten():
    async def scenario() -> None:
        clock = ManualClock()
        windows = Windows(clock)
        for number in range(100):
            await windows.acquire_sliding_window_entry(str(number), 5, 60)
        clock.advance(120)
        await windows.acquire_sliding_window_entry("late", 5, 60)
        assert len(windows) == 1

    asyncio.run(scenario())


def test_there_are_never_too_many_and_whoever_asks_is_not_forgotten():
    async def scenario() -> None:
        windows = Windows(ManualClock(), max_keys=10)
        for number in range(1000):
            await windows.acquire_sliding_window_entry(str(number), 2, 60)
            await windows.acquire_sliding_window_entry("busy", 2, 60)
            assert len(windows) <= 10
        assert not await windows.acquire_sliding_window_entry("busy", 2, 60)

    asyncio.run(scenario())


@given(
    limit=st.integers(1, 20),
    expiry=st.integers(1, 100),
    waits=st.lists(st.floats(0, 50, allow_nan=False), min_size=1, max_size=60),
)
def test_whatever_the_pace_a_whole_window_holds_no_more_than_the_limit(limit: int, expiry: int, waits: list[float]):
    """The windows that begin at a multiple of `expiry`; in between, the one before counts by its share."""

    async def scenario() -> None:
        clock, taken = ManualClock(), dict[int, int]()
        windows = Windows(clock)
        for wait in waits:
            clock.advance(wait)
            if await windows.acquire_sliding_window_entry("k", limit, expiry):
                window = int(clock.now() / expiry)
                taken[window] = taken.get(window, 0) + 1
            before, weighs, now, lasts = await windows.get_sliding_window("k", expiry)
            assert 0 <= now <= limit
            assert 0 <= before <= limit
            assert 0 < weighs <= expiry < lasts <= 2 * expiry
        assert max(taken.values(), default=0) <= limit

    asyncio.run(scenario())
