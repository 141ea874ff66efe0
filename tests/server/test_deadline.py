from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from backends.base import BackendTimeout, Done, Event, GenerationRequest, Text
from server.deadline import within
from server.hub import Hub
from server.options import HubOptions
from tests.server.doubles import ManualClock, Puppet, eventually


def test_an_answer_that_never_ends_is_ended_and_its_work_cancelled():
    async def scenario() -> None:
        clock, puppet = ManualClock(), Puppet()
        hub = Hub([puppet], HubOptions(request_timeout_s=30), clock)
        await hub.start()
        puppet.say("a", "b")
        events = hub.generate(GenerationRequest("r", "", prompt="Hi"))
        assert [await anext(events), await anext(events)] == [Text("a", (1,)), Text("b", (1,))]
        third = asyncio.ensure_future(anext(events))
        await eventually(lambda: hub.active == 1 and not third.done())
        clock.advance(29.9)
        await asyncio.sleep(0)
        assert not third.done()
        clock.advance(0.1)
        with pytest.raises(BackendTimeout, match="30 seconds that REQUEST_TIMEOUT_S allows"):
            await third
        assert puppet.cancelled == ["r"]
        assert hub.active == 0
        assert hub.answer_measures.models["puppet/toy"].failed == {"backend_timeout": 1}
        await hub.close()

    asyncio.run(scenario())


def test_time_that_ran_out_while_the_caller_was_busy_counts_at_its_next_look():
    async def scenario() -> None:
        async def endless() -> AsyncGenerator[Event, None]:
            while True:
                yield Text("a")
                await asyncio.sleep(0)

        clock = ManualClock()
        events = within(endless(), 5, clock)
        assert await anext(events) == Text("a")
        clock.advance(6)
        with pytest.raises(BackendTimeout):
            await anext(events)

    asyncio.run(scenario())


def test_a_backends_own_timeout_is_not_taken_for_the_callers():
    async def scenario() -> None:
        async def broken() -> AsyncGenerator[Event, None]:
            yield Text("a")
            raise TimeoutError("of its own")

        events = within(broken(), 5, ManualClock())
        await anext(events)
        with pytest.raises(TimeoutError, match="of its own"):
            await anext(events)

    asyncio.run(scenario())


def test_an_answer_in_time_leaves_no_timer_behind():
    async def scenario() -> None:
        async def short() -> AsyncGenerator[Event, None]:
            yield Text("a")

        clock = ManualClock()
        assert [event async for event in within(short(), 5, clock)] == [Text("a")]
        assert clock.pending == 0

    asyncio.run(scenario())


def test_who_is_cancelled_in_the_same_moment_by_somebody_else_ends():
    async def scenario() -> None:
        clock, puppet = ManualClock(), Puppet()
        hub = Hub([puppet], HubOptions(request_timeout_s=30), clock)
        await hub.start()
        asking = asyncio.ensure_future(anext(hub.generate(GenerationRequest("r", "", prompt="Hi"))))
        await eventually(lambda: len(puppet.requests) == 1)
        clock.advance(30)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert puppet.cancelled == ["r"]
        await hub.close()

    asyncio.run(scenario())


def test_an_answer_whose_end_was_told_is_not_too_late_afterwards():
    async def scenario() -> None:
        async def short() -> AsyncGenerator[Event, None]:
            yield Done("stop")

        clock = ManualClock()
        events = within(short(), 5, clock)
        assert await anext(events) == Done("stop")
        clock.advance(6)
        assert await anext(events, None) is None

    asyncio.run(scenario())
