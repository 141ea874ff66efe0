"""What is over is freed at once, and not when the garbage collector comes by: it comes seldom."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from backends.base import Done
from server.hub import Hub
from server.options import HubOptions
from server.protocol import UserCommand
from server.session import Session
from tests.server.doubles import ManualClock, Puppet, Reader, eventually
from tests.server.serving import joined, serving


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_forgotten_conversation_is_freed_with_its_answers() -> None:
    async def test() -> None:
        clock, puppet = ManualClock(), Puppet()
        hub = Hub([puppet], HubOptions(window_s=10), clock)
        await hub.start()

        async def talk() -> weakref.ref[Session]:
            session = hub.create()
            reader = Reader(session.subscribe())
            hub.execute(session, UserCommand(message="Hi"))
            puppet.say("Hello", Done("stop"))
            await reader.until("ai")
            reader.subscriber.close()
            return weakref.ref(session)

        talked = await talk()
        await eventually(lambda: not hub.active)
        clock.advance(30)
        await asyncio.sleep(0)
        assert talked() is None, "something still holds the conversation"
        await hub.close()

    asyncio.run(test())


def test_a_socket_that_left_is_freed_with_its_conversation() -> None:
    async def test() -> None:
        async with serving([Puppet()], HubOptions(window_s=0.001)) as (hub, url):
            async with joined(url) as client:
                session = await hub.get(client.session)
                assert session is not None
                left, session = weakref.ref(session), None
            await eventually(lambda: not len(hub.sessions))
            await eventually(lambda: left() is None)

    asyncio.run(test())
