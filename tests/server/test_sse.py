"""Events on the wire, and what stands in for them while there are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from starlette.types import Message

from server.sse import EventStream, with_pauses

SOON_S = 0.01


def test_a_stream_begins_with_its_first_event_and_not_before() -> None:
    async def test() -> None:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        stream = EventStream(send)
        assert (stream.begun, sent) == (False, [])
        await stream.data(b"one")
        await stream.ping()
        await stream.finish()
        head, *bodies = sent
        assert stream.begun
        assert head["status"] == 200
        assert dict(head["headers"])[b"content-type"].startswith(b"text/event-stream")
        assert [(body["body"], body["more_body"]) for body in bodies] == [
            (b"data: one\n\n", True),
            (b": ping\n\n", True),
            (b"data: [DONE]\n\n", True),
            (b"", False),
        ]

    asyncio.run(test())


def test_a_client_that_takes_nothing_is_given_up() -> None:
    async def test() -> None:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await EventStream(send, stalled_s=SOON_S).data(b"one")

    asyncio.run(test())


class Source:
    """Gives what it is handed. Notes whether it was closed."""

    def __init__(self, *items: str) -> None:
        self.items: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.closed = False
        for item in items:
            self.items.put_nowait(item)

    async def __call__(self) -> AsyncGenerator[str, None]:
        try:
            while (item := await self.items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.closed = True


def test_items_come_as_they_are_and_silence_is_told() -> None:
    async def test() -> None:
        source = Source("a", "b")
        async with aclosing(with_pauses(source(), SOON_S)) as items:
            assert [await anext(items) for _ in range(2)] == ["a", "b"]
            assert [await anext(items) for _ in range(2)] == [None, None]
            source.items.put_nowait("c")
            while (item := await anext(items)) is None:
                pass
            assert item == "c", "nothing is lost to a pause"
            source.items.put_nowait(None)
            assert {item async for item in items} <= {None}
        assert source.closed

    asyncio.run(test())


def test_an_error_of_the_source_is_raised() -> None:
    async def test() -> None:
        source = Source("a")
        source.items.put_nowait(ValueError("broken"))
        async with aclosing(with_pauses(source(), 60)) as items:
            assert await anext(items) == "a"
            with pytest.raises(ValueError, match="broken"):
                await anext(items)

    asyncio.run(test())


@pytest.mark.parametrize("paused", [False, True])
def test_closing_it_closes_the_source(paused: bool) -> None:
    async def test() -> None:
        source = Source("a")
        items = with_pauses(source(), SOON_S)
        assert await anext(items) == "a"
        if paused:
            assert await anext(items) is None
        await items.aclose()
        assert source.closed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(test())


def test_cancelling_whoever_waits_for_it_closes_the_source() -> None:
    async def test() -> None:
        source = Source()

        async def read() -> None:
            async with aclosing(with_pauses(source(), 60)) as items:
                await anext(items)

        reading = asyncio.create_task(read())
        for _ in range(5):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait({reading})
        assert reading.cancelled()
        assert source.closed

    asyncio.run(test())
