"""Models that leave memory when their time is over."""

from __future__ import annotations

import asyncio
import math

from backends.base import BackendFailed
from server.residence import Residence
from tests.server.doubles import ManualClock, eventually, turn_over


class Memory:
    """Notes what was unloaded, and when."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.unloaded: list[tuple[str, float]] = []
        self.error: BackendFailed | None = None
        self.residence = Residence(self.unload, self.clock)

    async def unload(self, model: str) -> None:
        self.unloaded.append((model, self.clock.now() - 1000))
        if self.error is not None:
            raise self.error

    def use(self, model: str, keep_alive: float | None) -> None:
        with self.residence.used(model, keep_alive):
            assert self.residence.ends_at(model) is None, "it does not end while it is used"


def test_a_model_stays_for_as_long_as_it_was_asked_to() -> None:
    async def test() -> None:
        memory = Memory()
        memory.use("toy", 60)
        assert memory.residence.ends_at("toy") == memory.clock.today() + 60
        memory.clock.advance(59)
        await turn_over()
        assert memory.unloaded == []
        memory.clock.advance(1)
        await eventually(lambda: memory.unloaded)
        assert memory.unloaded == [("toy", 60)]
        assert memory.residence.ends_at("toy") is None

    asyncio.run(test())


def test_what_is_said_last_counts() -> None:
    async def test() -> None:
        memory = Memory()
        for last in (None, math.inf):
            memory.use("toy", 60)
            memory.use("toy", last)
            assert memory.clock.pending == 0
        memory.use("toy", 60)
        memory.clock.advance(30)
        memory.use("toy", 60)
        memory.clock.advance(59)
        await turn_over()
        assert memory.unloaded == []

    asyncio.run(test())


def test_its_time_begins_when_the_last_answer_has_ended() -> None:
    async def test() -> None:
        memory = Memory()
        with memory.residence.used("toy", 10), memory.residence.used("other", 0):
            memory.use("toy", 0)
            memory.clock.advance(100)
            await turn_over()
            assert memory.unloaded == [], "somebody is still answered"
        memory.clock.advance(0)
        await eventually(lambda: memory.unloaded)
        assert memory.unloaded == [("other", 100)]
        memory.clock.advance(10)
        await eventually(lambda: len(memory.unloaded) == 2)
        assert memory.unloaded[1] == ("toy", 110)

    asyncio.run(test())


def test_a_model_that_cannot_be_unloaded_harms_nobody() -> None:
    async def test() -> None:
        memory = Memory()
        memory.error = BackendFailed("It does not go.")
        memory.use("toy", 0)
        memory.clock.advance(0)
        await eventually(lambda: memory.unloaded)
        await turn_over()
        await memory.residence.close()

    asyncio.run(test())


def test_nothing_is_unloaded_once_the_server_ends() -> None:
    async def test() -> None:
        memory = Memory()
        memory.use("toy", 5)
        await memory.residence.close()
        assert memory.clock.pending == 0

    asyncio.run(test())
